"""What was said on Slack since a time, told again as the events that may have been lost.

A channel's history holds the messages that stand in it; what was said below one is read where Slack shows
that it is new, and for the threads we are asked about. Only what could be for an agent is told: it has an at
sign or a slash, or stands in such a thread or in direct messages. Reactions bear no time and are not told.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TypeAlias

import structlog

from aucert.tools.v1.catch_up_service_pb2 import MissedDelivery, ScanContainerRequest, ScanContainerResponse
from services.tools.slack_client import Json, Me, SlackClient, is_refusal
from services.tools.vendor_errors import VendorRateLimited, VendorRefused, VendorTooLong

OVERLAP_SECONDS = 120.0
"""Read again each time: clocks differ, and Slack shows a message a moment after it was written."""
DELIVERIES_MAX = 500
PARTS_MAX = 40
"""Pages of a channel and threads that one scan reads; the next one goes on."""
PAGE_SIZE = 200
PAGES_MAX = 50
"""Of one thread, and of the list of direct messages."""
DIRECT_MESSAGES = "IM"
KEPT_SUBTYPES = frozenset({"", "file_share", "thread_broadcast"})
Arguments: TypeAlias = dict[str, str | int | bool]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Cursor:
    """Messages are read back to `since`, in a round that was begun at `begun`.

    The round reads each channel from its newest page to its oldest, and behind a page the threads on it. It
    has come to the page that ends at `latest` (empty: the newest), to a thread of it (empty: to the page
    itself), and there behind the message `after`; with a thread and no `after` it is behind the thread.
    """

    since: str
    begun: str
    channel: str = ""
    latest: str = ""
    thread: str = ""
    after: str = ""

    @classmethod
    def read(cls, text: str, now: str) -> _Cursor:
        """One time: a new round, with some overlap. Else what `written` wrote."""
        if text.startswith("{"):
            return cls(**json.loads(text))
        return cls(f"{float(text.partition(' ')[0]) - OVERLAP_SECONDS:.6f}", now)

    def written(self) -> str:
        """As the dispatcher keeps it."""
        return json.dumps({name: value for name, value in asdict(self).items() if value})

    def has_read(self, thread_ts: str) -> bool:
        """Whether the round is behind a thread of this page."""
        return thread_ts < self.thread or (thread_ts == self.thread and not self.after)


@dataclass(frozen=True, slots=True)
class _Part:
    """What is read at once: a page of a channel, or a thread. `place`: where the round is with it."""

    place: _Cursor
    messages: Sequence[Json]


class SlackCatcher:
    """Reads the channels of our workspace. Raises the errors of `vendor_errors`."""

    def __init__(self, slack: SlackClient) -> None:
        self._slack = slack

    async def scan(self, request: ScanContainerRequest) -> ScanContainerResponse:
        """The messages since the cursor, as far as one scan comes; times are as Slack writes them."""
        now, me = f"{time.time():.6f}", await self._slack.me()
        team, _, channel = request.container.partition(":")[2].upper().partition("/")
        if team != me.team_id:
            raise VendorRefused("The container is in another workspace than the app.")
        if not request.cursor:
            return ScanContainerResponse(next_cursor=now)
        cursor = _Cursor.read(request.cursor, now)
        found, place, parts = dict[str, Json](), cursor, 0
        try:
            async for part in self._parts(channel, cursor, request):
                told = _told_of(part, me, request, direct=channel == DIRECT_MESSAGES)
                rest = told[: DELIVERIES_MAX - len(found)]
                found |= {f"{each['ts']}/{part.place.channel}": each for each in rest}
                parts += 1
                place = _behind(part) if len(rest) == len(told) else replace(part.place, after=rest[-1]["ts"])
                if len(found) >= DELIVERIES_MAX or parts >= PARTS_MAX:
                    return _answer(found, me, place.written(), more=True)
        except VendorRateLimited:
            if place == cursor:
                raise
            return _answer(found, me, place.written(), more=True)
        return _answer(found, me, cursor.begun)

    async def _parts(
        self, container: str, cursor: _Cursor, request: ScanContainerRequest
    ) -> AsyncIterator[_Part]:
        """What the round has not read yet."""
        for channel in await self._channels(container, cursor.channel):
            at = cursor if channel == cursor.channel else _Cursor(cursor.since, cursor.begun, channel)
            named = {each.slack.thread_ts for each in request.threads if each.slack.channel_id == channel}
            while True:
                page = await self._slack.read("conversations.history", **_window(at), limit=PAGE_SIZE)
                messages: list[Json] = page["messages"]
                if not at.thread:
                    yield _Part(at, messages)
                threads = {str(each["ts"]) for each in messages if each.get("reply_count")}
                for thread_ts in sorted(threads if at.latest else {*threads, *named}):
                    if not at.has_read(thread_ts):
                        after = at.after if thread_ts == at.thread else ""
                        place = replace(at, thread=thread_ts, after=after)
                        yield _Part(place, await self._replies(place))
                if not (page.get("has_more") and messages):
                    break
                oldest = min((str(each["ts"]) for each in messages), key=float)
                at = _Cursor(cursor.since, cursor.begun, channel, latest=oldest)

    async def _channels(self, channel: str, onward: str) -> list[str]:
        """Those of a container from one on."""
        if channel != DIRECT_MESSAGES:
            return [channel]
        pages = self._pages("users.conversations", "channels", {"types": "im"})
        return sorted([str(each["id"]) async for each in pages if each["id"] >= onward])

    async def _replies(self, place: _Cursor) -> list[Json]:
        """None of a thread that is gone; one of too many is left out for the others' sake."""
        arguments: Arguments = {**_window(replace(place, latest="")), "ts": place.thread}
        try:
            pages = self._pages("conversations.replies", "messages", arguments)
            return [each async for each in pages if float(each["ts"]) >= float(place.since)]
        except VendorTooLong:
            log.warning("thread_left_out", channel=place.channel, thread_ts=place.thread)
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


def _window(place: _Cursor) -> Arguments:
    """From `since` to `latest`, both counted. What is newer than the round is the next one's."""
    return {
        "channel": place.channel,
        "oldest": place.since,
        "latest": place.latest or place.begun,
        "inclusive": True,
    }


def _told_of(part: _Part, me: Me, request: ScanContainerRequest, *, direct: bool) -> list[Json]:
    """What could be for an agent of what was not told yet, oldest first."""
    place = part.place
    threads = {each.slack.thread_ts for each in request.threads if each.slack.channel_id == place.channel}
    told = [
        {**each, "channel": place.channel}
        for each in part.messages
        if float(each["ts"]) > float(place.after or 0) and _could_be_for_us(each, me, threads, direct=direct)
    ]
    return sorted(told, key=lambda each: float(each["ts"]))


def _behind(part: _Part) -> _Cursor:
    """The place once a part is read whole: of a page its threads are next."""
    if part.place.thread:
        return replace(part.place, after="")
    return replace(part.place, after=max((str(each["ts"]) for each in part.messages), key=float, default="0"))


def _answer(found: Mapping[str, Json], me: Me, cursor: str, *, more: bool = False) -> ScanContainerResponse:
    messages = [found[name] for name in _sorted(found)]
    told = [_told(message, message["channel"], me) for message in messages]
    return ScanContainerResponse(deliveries=told, next_cursor=cursor, more=more)


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
