"""DriveService: the six tools that find files on Google Drive and take part in their comments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aucert.tools.v1 import drive_service_pb2 as pb
from aucert.tools.v1.drive_service_pb2_grpc import DriveServiceServicer
from services.tools import drive_reading as reading
from services.tools import drive_writing as writing
from services.tools.effects import Effects
from services.tools.google_access import GoogleAccess

if TYPE_CHECKING:
    from services.common.door import Context


class DriveServicer(DriveServiceServicer):
    """Opens each call at Google; what is written goes through the ledger."""

    def __init__(self, access: GoogleAccess, effects: Effects) -> None:
        self._access = access
        self._effects = effects

    async def SearchFiles(self, request: pb.SearchFilesRequest, context: Context) -> pb.SearchFilesResponse:
        """Search files."""
        del context
        async with self._access.opened() as call:
            return await reading.search_files(call, request)

    async def ListFileComments(
        self, request: pb.ListFileCommentsRequest, context: Context
    ) -> pb.ListFileCommentsResponse:
        """Read the comments on a file."""
        del context
        async with self._access.opened() as call:
            return await reading.list_comments(call, request)

    async def GetFileComment(
        self, request: pb.GetFileCommentRequest, context: Context
    ) -> pb.GetFileCommentResponse:
        """Read a comment."""
        del context
        async with self._access.opened() as call:
            return await reading.get_comment(call, request)

    async def CreateFileComment(
        self, request: pb.CreateFileCommentRequest, context: Context
    ) -> pb.CreateFileCommentResponse:
        """Begin a comment."""
        del context
        async with self._access.opened() as call:
            change = writing.comment_creation(call, request)
            return await self._effects.once("drive_create_comment", request, call.run, change)

    async def ReplyToFileComment(
        self, request: pb.ReplyToFileCommentRequest, context: Context
    ) -> pb.ReplyToFileCommentResponse:
        """Reply to a comment."""
        del context
        async with self._access.opened() as call:
            change = writing.comment_reply(call, request)
            return await self._effects.once("drive_reply_to_comment", request, call.run, change)

    async def ResolveFileComment(
        self, request: pb.ResolveFileCommentRequest, context: Context
    ) -> pb.ResolveFileCommentResponse:
        """Mark a comment as resolved."""
        del context
        async with self._access.opened() as call:
            change = writing.comment_resolution(call, request)
            return await self._effects.once("drive_resolve_comment", request, call.run, change)
