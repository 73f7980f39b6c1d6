"""ThreadService: answers, notices and acknowledgements in the thread an event came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aucert.astra.v1.thread_post_pb2 import THREAD_POST_KIND_ANSWER, ThreadPost
from aucert.tools.v1 import thread_service_pb2 as pb
from aucert.tools.v1.thread_service_pb2_grpc import ThreadServiceServicer
from services.tools.credentials import working_for
from services.tools.poster import Posters, poster_of
from services.tools.posting import Posting

if TYPE_CHECKING:
    from services.common.door import Context


class ThreadServicer(ThreadServiceServicer):
    """Posts through the ledger; looks and reacts directly."""

    def __init__(self, posting: Posting, posters: Posters) -> None:
        self._posting = posting
        self._posters = posters

    async def PostAnswer(self, request: pb.PostAnswerRequest, context: Context) -> pb.PostAnswerResponse:
        """Post a run's answer, once."""
        del context
        with working_for(request.task_run_id):
            posts = await self._posting.post(
                request.address, request.task_run_id, request.fence, THREAD_POST_KIND_ANSWER, request.text
            )
        return pb.PostAnswerResponse(url=posts[0].url, posts=posts)

    async def PostNotice(self, request: pb.PostNoticeRequest, context: Context) -> pb.PostNoticeResponse:
        """Post a notice of a run, each kind once."""
        del context
        with working_for(request.task_run_id):
            posts = await self._posting.post(
                request.address, request.task_run_id, request.fence, request.kind, request.text
            )
        return pb.PostNoticeResponse(url=posts[0].url)

    async def FindPost(self, request: pb.FindPostRequest, context: Context) -> pb.FindPostResponse:
        """Look in the thread for a post."""
        del context
        poster = poster_of(self._posters, request.address)
        found = await poster.find(request.address, ThreadPost(thread_post_id=request.thread_post_id))
        if found is None:
            return pb.FindPostResponse()
        return pb.FindPostResponse(found=True, external_id=found.external_id, url=found.url)

    async def Acknowledge(self, request: pb.AcknowledgeRequest, context: Context) -> pb.AcknowledgeResponse:
        """Show the author that the event was seen."""
        del context
        await poster_of(self._posters, request.address).acknowledge(request.address)
        return pb.AcknowledgeResponse()

    async def ResolveThread(
        self, request: pb.ResolveThreadRequest, context: Context
    ) -> pb.ResolveThreadResponse:
        """Mark a thread done."""
        del context
        poster = poster_of(self._posters, request.address)
        return pb.ResolveThreadResponse(resolved=await poster.resolve(request.address))

    async def FetchThread(self, request: pb.FetchThreadRequest, context: Context) -> pb.FetchThreadResponse:
        """Read a thread."""
        del context
        return await poster_of(self._posters, request.address).fetch(request)
