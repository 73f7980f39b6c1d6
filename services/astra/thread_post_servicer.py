"""ThreadPostService."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aucert.astra.v1 import thread_post_service_pb2 as pb
from aucert.astra.v1.thread_post_service_pb2_grpc import ThreadPostServiceServicer
from services.astra import convert
from services.astra.thread_post_store import ThreadPostStore
from services.common.caller import current_caller

if TYPE_CHECKING:
    from services.common.door import Context


class ThreadPostServicer(ThreadPostServiceServicer):
    """The ledger of what was posted into threads."""

    def __init__(self, posts: ThreadPostStore) -> None:
        self._posts = posts

    async def BeginThreadPost(
        self, request: pb.BeginThreadPostRequest, context: Context
    ) -> pb.BeginThreadPostResponse:
        """Write down the parts of a post."""
        del context
        posts, created = await self._posts.begin(
            current_caller().tenant_id,
            request.task_run_id,
            request.fence,
            convert.POST_KIND.word(request.kind),
            request.parts,
        )
        return pb.BeginThreadPostResponse(posts=posts, created=created)

    async def FinishThreadPost(
        self, request: pb.FinishThreadPostRequest, context: Context
    ) -> pb.FinishThreadPostResponse:
        """Note that the vendor has a part."""
        del context
        await self._posts.finish(
            current_caller().tenant_id,
            request.thread_post_id,
            external_id=request.external_id,
            url=request.url,
        )
        return pb.FinishThreadPostResponse()
