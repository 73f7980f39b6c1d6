"""What was said on Slack since a time, told again as the events that may have been lost.

A channel's history holds the messages that stand in it; what was said below one is read where Slack shows
that it is new, and for the threads we are asked about. Only what could be for an agent is told: it has an at
sign or a slash, or stands in such a thread or in direct messages. Reactions bear no time and are not told.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Collection
from typing import TypeAlias

from aucert.tools.v1.catch_up_service_pb2 import MissedDelivery, ScanContainerRequest, ScanContainerResponse
from services.tools.slack_client import Json, Me, SlackClient, is_refusal
from services.tools.vendor_errors import VendorRefused, VendorUnavailable

OVERLAP_SECONDS = 120.0
"""Read again each time: clocks differ, and Slack shows a message a moment after it was written."""
DELIVERIES_MAX = 500
PAGE_SIZE = 200
PAGES_MAX = 50
DIRECT_MESSAGES = "IM"
KEPT_SUBTYPES = frozenset({"", "file_share", "thread_broadcast"})
Arguments: TypeAlias = dict[str, str | int | bool]


class SlackCatcher:
    """Reads the channels of our workspace. Raises the errors of `vendor_errors`."""

    def __init__(self, slack: SlackClient) -> None:
        self._slack = slack

    async def scan(self, request: ScanContainerRequest) -> ScanContainerResponse:
        """The messages since the cursor, which is a time as Slack writes it."""
        begun, me = f"{time.time():.6f}", await self._slack.me()
        team, _, channel = request.container.partition(":")[2].upper().partition("/")
        if team != me.team_id:
            raise VendorRefused("The container is in another workspace than the app.")
        if not request.cursor:
            return ScanContainerResponse(next_cursor=begun)
        since = f"{float(request.cursor) - OVERLAP_SECONDS:.6f}"
        found: dict[str, MissedDelivery] = {}
        async for each in self._channels(channel):
            threads = {at.slack.thread_ts for at in request.threads if at.slack.channel_id == each}
            async for message in self._messages(each, since, threads):
                if _could_be_for_us(message, me, threads, direct=channel == DIRECT_MESSAGES):
                    found[f"{message['ts']}/{each}"] = _told(message, each, me)
        names = sorted(found, key=lambda name: float(name.partition("/")[0]))
        more = len(names) > DELIVERIES_MAX
        # What is left is newer than the last one told, but for the overlap, which would be told for ever.
        resume = float(names[DELIVERIES_MAX - 1].partition("/")[0]) + OVERLAP_SECONDS if more else 0.0
        return ScanContainerResponse(
            deliveries=[found[name] for name in names[:DELIVERIES_MAX]],
            next_cursor=f"{resume:.6f}" if more else begun,
            more=more,
        )

    async def _channels(self, channel: str) -> AsyncIterator[str]:
        if channel != DIRECT_MESSAGES:
            yield channel
            return
        async for each in self._pages("users.conversations", "channels", {"types": "im"}):
            yield each["id"]

    async def _messages(self, channel: str, since: str, threads: Collection[str]) -> AsyncIterator[Json]:
        """Messages since a time: those of the channel, and of its threads that went on."""
        open_threads = set(threads)
        arguments: Arguments = {"channel": channel, "oldest": since, "inclusive": True}
        async for message in self._pages("conversations.history", "messages", arguments):
            yield message
            if message.get("reply_count"):
                open_threads.add(message["ts"])
        for thread_ts in sorted(open_threads):
            try:
                async for reply in self._pages(
                    "conversations.replies", "messages", {**arguments, "ts": thread_ts}
                ):
                    if float(reply["ts"]) >= float(since):
                        yield reply
            except VendorRefused as refused:
                if not is_refusal(refused, "thread_not_found"):
                    raise

    async def _pages(self, method: str, key: str, arguments: Arguments) -> AsyncIterator[Json]:
        asked: Arguments = {**arguments, "limit": PAGE_SIZE}
        for _ in range(PAGES_MAX):
            page = await self._slack.read(method, **asked)
            for each in page[key]:
                yield each
            asked["cursor"] = (page.get("response_metadata") or {}).get("next_cursor") or ""
            if not asked["cursor"]:
                return
        raise VendorUnavailable("Too much happened since the cursor to be read.")


def _could_be_for_us(message: Json, me: Me, threads: Collection[str], *, direct: bool) -> bool:
    if message.get("bot_id") or message.get("user") in (None, me.user_id):
        return False
    if (message.get("subtype") or "") not in KEPT_SUBTYPES:
        return False
    text = str(message.get("text") or "")
    return direct or message.get("thread_ts") in threads or "@" in text or text.lstrip().startswith("/")


def _told(message: Json, channel: str, me: Me) -> MissedDelivery:
    """The event Slack would have sent, as much of it as is read."""
    external_id = f"catch-up/{channel}/{message['ts']}"
    kind = "im" if channel.startswith("D") else "channel"
    event = {
        **{name: message[name] for name in ("user", "text", "ts", "thread_ts", "subtype") if name in message},
        "type": "message",
        "channel": channel,
        "channel_type": kind,
        "event_ts": message["ts"],
    }
    body = {
        "type": "event_callback",
        "team_id": me.team_id,
        "event_id": external_id,
        "event": event,
        "authorizations": [{"team_id": me.team_id, "user_id": me.user_id, "is_bot": True}],
    }
    return MissedDelivery(external_id=external_id, body=json.dumps(body).encode())
