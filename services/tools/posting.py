"""A post reaches its thread once: the ledger's row comes first, and what is unclear is looked up.

The row says whether this call wrote it. If it did, the vendor cannot have the post and it is sent at once.
If an earlier call did and no outcome is on record, that call may have died with its request under way: we
wait until the vendor must be done with it, look for the post's marker, and only then send. Before every send
but the first the ledger is asked again, so that an attempt which was overtaken meanwhile sends nothing more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aucert.astra.v1.thread_post_pb2 import ThreadPost, ThreadPostKind
from aucert.astra.v1.thread_post_service_pb2 import BeginThreadPostRequest, FinishThreadPostRequest
from aucert.common.v1.thread_pb2 import ThreadAddress
from services.common.crashpoints import CrashPoint, reach
from services.tools.poster import Poster, Posters, poster_of
from services.tools.threads import Posted
from services.tools.vendor_errors import VendorUnavailable

if TYPE_CHECKING:
    from aucert.astra.v1.thread_post_service_pb2_grpc import ThreadPostServiceAsyncStub

SENDS_MAX = 2


@dataclass(slots=True)
class _Sending:
    """A part on its way. `unclear`: it may be there already. `fresh`: its fence was looked at just now."""

    poster: Poster
    address: ThreadAddress
    post: ThreadPost
    unclear: bool
    fresh: bool


class Posting:
    """Posts through the ledger, with the poster of each address."""

    def __init__(self, ledger: ThreadPostServiceAsyncStub, posters: Posters) -> None:
        self._ledger = ledger
        self._posters = posters

    async def post(
        self, address: ThreadAddress, task_run_id: str, fence: int, kind: ThreadPostKind.ValueType, text: str
    ) -> Sequence[ThreadPost]:
        """Post a text in as many parts as the vendor needs; parts that are there already stay.

        Raises the errors of `vendor_errors`; repeating the call is safe and goes on where it stopped.
        """
        poster = poster_of(self._posters, address)
        asked = BeginThreadPostRequest(
            task_run_id=task_run_id, fence=fence, kind=kind, parts=poster.parts(text)
        )
        begun = await self._ledger.BeginThreadPost(asked)
        unsent = [post for post in begun.posts if not post.posted]
        if unsent and not begun.created:
            # Counted from now: when the last request was sent is known to nobody once its sender died.
            await asyncio.sleep(poster.settle_seconds)
        fresh = begun.created  # the fence was looked at just now
        for post in unsent:
            sending = _Sending(poster, address, post, unclear=not begun.created, fresh=fresh)
            await self._finish(post, await self._send(asked, sending))
            fresh = False
        return begun.posts

    async def _send(self, asked: BeginThreadPostRequest, sending: _Sending) -> Posted:
        """Send one part. Raises the ledger's FENCE_STALE when a newer attempt has taken the run over."""
        poster, address, post = sending.poster, sending.address, sending.post
        for _ in range(SENDS_MAX):
            if sending.unclear and (found := await poster.find(address, post)):
                return found
            if not sending.fresh:
                known = (await self._ledger.BeginThreadPost(asked)).posts[post.part]
                if known.posted:  # an earlier attempt came to its end after we looked
                    return Posted(known.external_id, known.url)
            sending.fresh = False
            try:
                return await poster.post(address, post)
            except VendorUnavailable:
                sending.unclear = True
                await asyncio.sleep(poster.settle_seconds)
        if found := await poster.find(address, post):
            return found
        raise VendorUnavailable("The vendor did not take the post. Try again later.")

    async def _finish(self, post: ThreadPost, posted: Posted) -> None:
        reach(CrashPoint.ANSWER_POSTED_UNRECORDED)
        await self._ledger.FinishThreadPost(
            FinishThreadPostRequest(
                thread_post_id=post.thread_post_id, external_id=posted.external_id, url=posted.url
            )
        )
        post.posted, post.external_id, post.url = True, posted.external_id, posted.url
