"""What the ledger's answers mean for a post under way; ThreadService's own tests hold it against vendors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from aucert.astra.v1.thread_post_pb2 import THREAD_POST_KIND_ANSWER, ThreadPost
from aucert.astra.v1.thread_post_service_pb2 import BeginThreadPostResponse, FinishThreadPostResponse
from aucert.common.v1.thread_pb2 import ManualThread, ThreadAddress
from services.tools.posting import Posting
from services.tools.threads import Posted

ADDRESS = ThreadAddress(manual=ManualThread())


class Ledger:
    """Answers each begin with the next of the given, and keeps what was finished."""

    def __init__(self, begun: Sequence[BeginThreadPostResponse]) -> None:
        self.begun = iter(begun)
        self.finished: list[str] = []

    async def BeginThreadPost(self, _request: Any) -> BeginThreadPostResponse:
        return next(self.begun)

    async def FinishThreadPost(self, request: Any) -> FinishThreadPostResponse:
        self.finished.append(request.external_id)
        return FinishThreadPostResponse()


class Thread:
    """A thread in which nothing is found, whose settle time is over at once."""

    settle_seconds = 0.0

    def __init__(self) -> None:
        self.posted: list[str] = []

    def parts(self, text: str) -> list[str]:
        return [text]

    async def find(self, _address: ThreadAddress, _post: ThreadPost) -> Posted | None:
        return None

    async def post(self, _address: ThreadAddress, post: ThreadPost) -> Posted:
        self.posted.append(post.text)
        return Posted("2", "https://vendor.example/2")


async def test_a_part_an_earlier_attempt_has_recorded_meanwhile_is_not_posted_again() -> None:
    unsent = ThreadPost(thread_post_id="p", text="Done.")
    recorded = ThreadPost(
        thread_post_id="p", text="Done.", posted=True, external_id="1", url="https://vendor.example/1"
    )
    ledger = Ledger([BeginThreadPostResponse(posts=[each]) for each in (unsent, recorded)])
    thread = Thread()
    posting = Posting(cast("Any", ledger), cast("Any", {"manual": thread}))

    (told,) = await posting.post(ADDRESS, "run", 2, THREAD_POST_KIND_ANSWER, "Done.")

    assert ([], ["1"]) == (thread.posted, ledger.finished)
    assert (True, "https://vendor.example/1") == (told.posted, told.url)
