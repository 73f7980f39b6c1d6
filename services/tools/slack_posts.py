"""Messages and reactions in a Slack thread: post one, find one of ours, show that something was seen.

A post carries the ledger row's id in its metadata, which people do not see: Slack has no idempotency key, so
that is how one that was sent is recognised.
"""

from __future__ import annotations

from collections.abc import Mapping

from aucert.astra.v1.thread_post_pb2 import ThreadPost
from aucert.common.v1.thread_pb2 import SlackThread, ThreadAddress
from aucert.tools.v1.thread_service_pb2 import FetchThreadRequest, FetchThreadResponse
from services.tools.slack_client import Json, Me, SlackClient, is_refusal
from services.tools.slack_format import to_mrkdwn
from services.tools.slack_marks import Mark, find_marked
from services.tools.slack_threads import RESOLVED, SlackThreads
from services.tools.threads import Posted, split_markdown
from services.tools.vendor_errors import VendorRefused

TEXT_CHARS_MAX = 12_000
"""Slack cuts a text at 40,000, by a count it does not describe; so many characters are fewer in any."""
AS_WRITTEN: Mapping[str, object] = {
    "parse": "none",
    "link_names": False,
    "unfurl_links": False,
    "unfurl_media": False,
}
"""Arguments by which Slack makes nothing of a text but what it says: no mentions, no previews."""
SEEN = "eyes"


class SlackPosts:
    """Speaks in Slack threads. Raises the errors of `vendor_errors`."""

    def __init__(self, slack: SlackClient, *, settle_seconds: float = 0.0) -> None:
        self.settle_seconds = settle_seconds
        self._slack = slack
        self._threads = SlackThreads(slack)

    def parts(self, text: str) -> list[str]:
        """In mrkdwn, at most TEXT_CHARS_MAX characters each."""
        return [part.text for part in split_markdown(to_mrkdwn(text), TEXT_CHARS_MAX)]

    async def post(self, address: ThreadAddress, post: ThreadPost) -> Posted:
        """Post once, below the thread's first message. After VendorUnavailable: look before posting again."""
        thread, me = address.slack, await self._slack.me()
        answer = await self._slack.write(
            "chat.postMessage",
            channel=thread.channel_id,
            thread_ts=thread.thread_ts,
            text=post.text,
            metadata=_mark(post.thread_post_id).metadata,
            **AS_WRITTEN,
        )
        return _posted(thread, me, answer)

    async def find(self, address: ThreadAddress, post: ThreadPost) -> Posted | None:
        """Look for a post by the row's id among the replies since it was written down."""
        thread, me = address.slack, await self._slack.me()
        since = post.created_time if post.HasField("created_time") else None
        found = await find_marked(
            self._slack, _mark(post.thread_post_id), thread.channel_id, thread.thread_ts, since
        )
        return _posted(thread, me, found) if found else None

    async def acknowledge(self, address: ThreadAddress) -> None:
        """React with eyes to what the person wrote; Slack keeps one such reaction."""
        await self._react(address, address.slack.item_ts or address.slack.thread_ts, SEEN)

    async def resolve(self, address: ThreadAddress) -> bool:
        """Put a check mark on the thread's first message."""
        await self._react(address, address.slack.thread_ts, RESOLVED)
        return True

    async def fetch(self, request: FetchThreadRequest) -> FetchThreadResponse:
        """Read a thread."""
        return await self._threads.fetch(request)

    async def _react(self, address: ThreadAddress, ts: str, name: str) -> None:
        channel = address.slack.channel_id
        try:
            await self._slack.write("reactions.add", channel=channel, timestamp=ts, name=name)
        except VendorRefused as refused:
            if not is_refusal(refused, "already_reacted"):
                raise


def _mark(thread_post_id: str) -> Mark:
    return Mark("astra_post", "thread_post_id", thread_post_id)


def _posted(thread: SlackThread, me: Me, message: Json) -> Posted:
    ts = str(message["ts"])
    return Posted(external_id=ts, url=me.permalink(thread.channel_id, ts, thread.thread_ts))
