"""What was said on Slack since a time, told again as the events that may have been lost.

A channel's history holds the messages that stand in it; what was said below one is read where Slack shows
that it is new, and for the threads we are asked about. Only what could be for an agent is told: it has an at
sign or a slash, or stands in such a thread or in direct messages. Reactions bear no time and are not told.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from typing import TypeAlias

import structlog

from aucert.tools.v1.catch_up_service_pb2 import MissedDelivery, ScanContainerRequest, ScanContainerResponse
from services.tools.slack_client import Json, Me, SlackClient, is_refusal
from services.tools.vendor_errors import VendorRateLimited, VendorRefused, VendorTooLong

OVERLAP_SECONDS = 120.0
"""Read again each time: clocks differ, and Slack shows a message a moment after it was written."""
DELIVERIES_MAX = 500
PAGE_SIZE = 200
PAGES_MAX = 50
DIRECT_MESSAGES = "IM"
KEPT_SUBTYPES = frozenset({"", "file_share", "thread_broadcast"})
Arguments: TypeAlias = dict[str, str | int | bool]
Place: TypeAlias = tuple[str, str]
"""A channel and the last of its threads that was read; empty: of the channel, what stands in it."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Cursor:
    """Messages are read back to `since`, in a round that was begun at `begun` and has come to `place`."""

    since: str
    begun: str
    place: Place = ("", "")

    @classmethod
    def read(cls, text: str, now: str) -> _Cursor:
        """One time: a new round, with some overlap. More: in the middle of a round."""
        since, *more = text.split(" ")
        if not more:
            return cls(f"{float(since) - OVERLAP_SECONDS:.6f}", now)
        begun, channel, *thread = more
        return cls(since, begun, (channel, "".join(thread)))

    def at(self, place: Place) -> str:
        """A place in this round."""
        return " ".join([self.since, self.begun, *filter(None, place)])


class SlackCatcher:
    """Reads the channels of our workspace. Raises the errors of `vendor_errors`."""

    def __init__(self, slack: SlackClient) -> None:
        self._slack = slack

    async def scan(self, request: ScanContainerRequest) -> ScanContainerResponse:
        """The messages since the cursor, as far as Slack lets us read; times are as Slack writes them."""
        now, me = f"{time.time():.6f}", await self._slack.me()
        team, _, channel = request.container.partition(":")[2].upper().partition("/")
        if team != me.team_id:
            raise VendorRefused("The container is in another workspace than the app.")
        if not request.cursor:
            return ScanContainerResponse(next_cursor=now)
        cursor = _Cursor.read(request.cursor, now)
        found, place = dict[str, MissedDelivery](), cursor.place
        try:
            for each in await self._channels(channel, cursor.place[0]):
                threads = {at.slack.thread_ts for at in request.threads if at.slack.channel_id == each}
                async for thread_ts, messages in self._read(each, cursor, threads):
                    for message in messages:
                        if _could_be_for_us(message, me, threads, direct=channel == DIRECT_MESSAGES):
                            found[f"{message['ts']}/{each}"] = _told(message, each, me)
                    place = max(place, (each, thread_ts))
        except VendorRateLimited:
            if place == cursor.place or len(found) > DELIVERIES_MAX:
                raise
            return ScanContainerResponse(
                deliveries=[found[name] for name in _sorted(found)], next_cursor=cursor.at(place), more=True
            )
        names = _sorted(found)
        more = len(names) > DELIVERIES_MAX
        # What is left is newer than the last one told, but for the overlap, which would be told for ever.
        resume = float(names[DELIVERIES_MAX - 1].partition("/")[0]) + OVERLAP_SECONDS if more else 0.0
        return ScanContainerResponse(
            deliveries=[found[name] for name in names[:DELIVERIES_MAX]],
            next_cursor=f"{resume:.6f}" if more else cursor.begun,
            more=more,
        )

    async def _channels(self, channel: str, onward: str) -> list[str]:
        """Those of a container from one on."""
        if channel != DIRECT_MESSAGES:
            return [channel]
        pages = self._pages("users.conversations", "channels", {"types": "im"})
        return sorted([str(each["id"]) async for each in pages if each["id"] >= onward])

    async def _read(
        self, channel: str, cursor: _Cursor, threads: Collection[str]
    ) -> AsyncIterator[tuple[str, list[Json]]]:
        """What stands in the channel, then, by their times, its threads that went on and were not read."""
        arguments: Arguments = {"channel": channel, "oldest": cursor.since, "inclusive": True}
        messages = [each async for each in self._pages("conversations.history", "messages", arguments)]
        yield "", messages
        open_threads = {*threads, *(str(each["ts"]) for each in messages if each.get("reply_count"))}
        for thread_ts in sorted(open_threads):
            if (channel, thread_ts) > cursor.place:
                yield thread_ts, await self._replies({**arguments, "ts": thread_ts}, cursor.since)

    async def _replies(self, arguments: Arguments, since: str) -> list[Json]:
        """None of a thread that is gone; one of too many is left out for the others' sake."""
        try:
            pages = self._pages("conversations.replies", "messages", arguments)
            return [each async for each in pages if float(each["ts"]) >= float(since)]
        except VendorTooLong:
            log.warning("thread_left_out", channel=arguments["channel"], thread_ts=arguments["ts"])
        except VendorRefused as refused:
            if not is_refusal(refused, "thread_not_found"):
                raise
        return []

    async def _pages(self, method: str, key: str, arguments: Arguments) -> AsyncIterator[Json]:
        asked: Arguments = {**arguments, "limit": PAGE_SIZE}
        for _ in range(PAGES_MAX):
            page = await self._slack.read(method, **asked)
            for each in page[key]:
                yield each
            asked["cursor"] = (page.get("response_metadata") or {}).get("next_cursor") or ""
            if not asked["cursor"]:
                return
        raise VendorTooLong("Too much happened since the cursor to be read.")


def _sorted(found: Collection[str]) -> list[str]:
    """Names by the times they begin with."""
    return sorted(found, key=lambda name: float(name.partition("/")[0]))


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
