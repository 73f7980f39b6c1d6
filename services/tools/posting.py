"""A post reaches its thread once: the ledger's row comes first, and what is unclear is looked up.

The row says whether this call wrote it. If it did, the vendor cannot have the post and it is sent at once.
If an earlier call did and no outcome is on record, that call may have died with its request under way: we
wait until the vendor must be done with it, look for the post's marker, and only then send.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC
from typing import TYPE_CHECKING

from aucert.astra.v1.thread_post_pb2 import ThreadPost, ThreadPostKind
from aucert.astra.v1.thread_post_service_pb2 import BeginThreadPostRequest, FinishThreadPostRequest
from aucert.common.v1.thread_pb2 import GitHubThread, ThreadAddress
from services.common.crashpoints import CrashPoint, reach
from services.tools.github_posts import TEXT_CHARS_MAX, GitHubPosts
from services.tools.threads import Posted, split_markdown
from services.tools.vendor_errors import VendorUnavailable

if TYPE_CHECKING:
    from aucert.astra.v1.thread_post_service_pb2_grpc import ThreadPostServiceAsyncStub

SENDS_MAX = 2
IN_RECORD = Posted(external_id="record", url="")


class Posting:
    """Posts through the ledger. `settle_seconds`: the longest the vendor works on a request."""

    def __init__(
        self, ledger: ThreadPostServiceAsyncStub, github: GitHubPosts, *, settle_seconds: float
    ) -> None:
        self._ledger = ledger
        self._github = github
        self._settle_seconds = settle_seconds

    async def post(
        self, address: ThreadAddress, task_run_id: str, fence: int, kind: ThreadPostKind.ValueType, text: str
    ) -> Sequence[ThreadPost]:
        """Post a text in as many parts as the vendor needs; parts that are there already stay.

        Raises the errors of `vendor_errors`; repeating the call is safe and goes on where it stopped.
        """
        begun = await self._ledger.BeginThreadPost(
            BeginThreadPostRequest(
                task_run_id=task_run_id, fence=fence, kind=kind, parts=parts_for(address, text)
            )
        )
        unsent = [post for post in begun.posts if not post.posted]
        if unsent and not begun.created and address.HasField("github"):
            # Counted from now: when the last request was sent is known to nobody once its sender died.
            await asyncio.sleep(self._settle_seconds)
        for post in unsent:
            await self._finish(post, await self._send(address, post, unclear=not begun.created))
        return begun.posts

    async def _send(self, address: ThreadAddress, post: ThreadPost, *, unclear: bool) -> Posted:
        if not address.HasField("github"):
            return IN_RECORD
        thread = address.github
        for _ in range(SENDS_MAX):
            if unclear and (found := await self._found(thread, post)):
                return found
            try:
                return await self._github.post(thread, post.thread_post_id, post.text)
            except VendorUnavailable:
                unclear = True
                await asyncio.sleep(self._settle_seconds)
        if found := await self._found(thread, post):
            return found
        raise VendorUnavailable("GitHub did not take the post. Try again later.")

    async def _found(self, thread: GitHubThread, post: ThreadPost) -> Posted | None:
        return await self._github.find(thread, post.thread_post_id, since=post.created_time.ToDatetime(UTC))

    async def _finish(self, post: ThreadPost, posted: Posted) -> None:
        reach(CrashPoint.ANSWER_POSTED_UNRECORDED)
        await self._ledger.FinishThreadPost(
            FinishThreadPostRequest(
                thread_post_id=post.thread_post_id, external_id=posted.external_id, url=posted.url
            )
        )
        post.posted, post.external_id, post.url = True, posted.external_id, posted.url


def parts_for(address: ThreadAddress, text: str) -> list[str]:
    """The texts a thread's vendor takes; the record takes any."""
    if not address.HasField("github"):
        return [text]
    return [part.text for part in split_markdown(text, TEXT_CHARS_MAX)]
