"""PlaneService: the seven tools that read and change work items in the Plane projects on the allow-list."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aucert.tools.v1 import plane_service_pb2 as pb
from aucert.tools.v1.plane_service_pb2_grpc import PlaneServiceServicer
from services.tools import plane_reading as reading
from services.tools import plane_writing as writing
from services.tools.effects import Effects
from services.tools.failures import told_as_errors
from services.tools.plane_access import PlaneAccess, PlaneCall

if TYPE_CHECKING:
    from services.common.door import Context


class PlaneServicer(PlaneServiceServicer):
    """Opens Plane for each call; what is written goes through the ledger."""

    def __init__(self, access: PlaneAccess, effects: Effects) -> None:
        self._access = access
        self._effects = effects

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[PlaneCall]:
        """A tool's failures leave the block as errors of the door."""
        with told_as_errors():
            yield await self._access.open()

    async def ListProjects(
        self, request: pb.ListProjectsRequest, context: Context
    ) -> pb.ListProjectsResponse:
        """List projects."""
        del context
        async with self._opened() as call:
            return await reading.list_projects(call, request.continuation)

    async def SearchWorkItems(
        self, request: pb.SearchWorkItemsRequest, context: Context
    ) -> pb.SearchWorkItemsResponse:
        """Search work items."""
        del context
        async with self._opened() as call:
            return await reading.search_work_items(call, request)

    async def GetWorkItem(self, request: pb.GetWorkItemRequest, context: Context) -> pb.GetWorkItemResponse:
        """Read a work item."""
        del context
        async with self._opened() as call:
            return await reading.get_work_item(call, request)

    async def CreateWorkItem(
        self, request: pb.CreateWorkItemRequest, context: Context
    ) -> pb.CreateWorkItemResponse:
        """Open a work item."""
        del context
        async with self._opened() as call:
            change = writing.work_item_creation(call, request)
            return await self._effects.once("plane_create_issue", request, call.run, change)

    async def UpdateWorkItem(
        self, request: pb.UpdateWorkItemRequest, context: Context
    ) -> pb.UpdateWorkItemResponse:
        """Change a work item."""
        del context
        async with self._opened() as call:
            change = writing.work_item_update(call, request)
            return await self._effects.once("plane_update_issue", request, call.run, change)

    async def ListWorkItemComments(
        self, request: pb.ListWorkItemCommentsRequest, context: Context
    ) -> pb.ListWorkItemCommentsResponse:
        """Read the comments on a work item."""
        del context
        async with self._opened() as call:
            return await reading.list_comments(call, request)

    async def AddWorkItemComment(
        self, request: pb.AddWorkItemCommentRequest, context: Context
    ) -> pb.AddWorkItemCommentResponse:
        """Comment on a work item."""
        del context
        async with self._opened() as call:
            change = writing.work_item_comment(call, request)
            return await self._effects.once("plane_add_comment", request, call.run, change)
