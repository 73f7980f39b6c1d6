"""Messages and reactions in a Slack thread: post one, find one of ours, show that something was seen.

A post carries the ledger row's id in its metadata, which people do not see: Slack has no idempotency key, so
that is how one that was sent is recognised.
"""

from __future__ import annotations

from datetime import UTC, timedelta

from aucert.astra.v1.thread_post_pb2 import ThreadPost
from aucert.common.v1.thread_pb2 import SlackThread, ThreadAddress
from aucert.tools.v1.thread_service_pb2 import FetchThreadRequest, FetchThreadResponse
from services.tools.slack_client import Json, Me, SlackClient, is_refusal
from services.tools.slack_format import to_mrkdwn
from services.tools.slack_threads import RESOLVED, SlackThreads
from services.tools.threads import Posted, split_markdown
from services.tools.vendor_errors import VendorRefused, VendorUnavailable

TEXT_CHARS_MAX = 12_000
"""Slack cuts a text at 40,000, by a count it does not describe; so many characters are fewer in any."""
PAGE_SIZE = 200
PAGES_MAX = 20
CLOCK_SKEW = timedelta(minutes=2)
EVENT_TYPE, ROW_FIELD = "astra_post", "thread_post_id"
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
            metadata={"event_type": EVENT_TYPE, "event_payload": {ROW_FIELD: post.thread_post_id}},
            parse="none",
            link_names=False,
            unfurl_links=False,
            unfurl_media=False,
        )
        return _posted(thread, me, answer)

    async def find(self, address: ThreadAddress, post: ThreadPost) -> Posted | None:
        """Look for a post by the row's id among the replies since it was written down."""
        thread, me = address.slack, await self._slack.me()
        arguments: dict[str, str | int | bool] = {
            "channel": thread.channel_id,
            "ts": thread.thread_ts,
            "include_all_metadata": True,
            "limit": PAGE_SIZE,
        }
        if post.HasField("created_time"):
            since = post.created_time.ToDatetime(UTC) - CLOCK_SKEW
            arguments["oldest"] = f"{since.timestamp():.6f}"
        for _ in range(PAGES_MAX):
            page = await self._slack.read("conversations.replies", **arguments)
            for message in page["messages"]:
                if _row_of(message) == post.thread_post_id:
                    return _posted(thread, me, message)
            arguments["cursor"] = (page.get("response_metadata") or {}).get("next_cursor") or ""
            if not arguments["cursor"]:
                return None
        raise VendorUnavailable("The thread is too long to be searched for an earlier post.")

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


def _row_of(message: Json) -> str:
    payload = (message.get("metadata") or {}).get("event_payload") or {}
    return str(payload.get(ROW_FIELD, ""))


def _posted(thread: SlackThread, me: Me, message: Json) -> Posted:
    ts = str(message["ts"])
    return Posted(external_id=ts, url=me.permalink(thread.channel_id, ts, thread.thread_ts))
