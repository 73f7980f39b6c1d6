"""Reads a Slack thread with the people in it: what Slack's events leave out."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from aucert.common.v1.thread_pb2 import SlackThread, ThreadAddress
from aucert.tools.v1.thread_service_pb2 import FetchThreadRequest, FetchThreadResponse, ThreadMessage
from services.tools.slack_client import Json, Me, SlackClient
from services.tools.slack_format import file_lines, mentions, plain
from services.tools.slack_people import SlackPeople, storable
from services.tools.vendor_errors import VendorTooLong

MESSAGES_DEFAULT, MESSAGES_MAX = 20, 100
TEXT_CHARS_MAX = 65_536
RESOLVED = "white_check_mark"
"""The reaction to a thread's first message that says it is done."""
PAGE_SIZE = 200
PAGES_MAX = 20


@dataclass(frozen=True, slots=True)
class _Talk:
    """Messages as Slack shows them; `left_out` stood between the first and the others."""

    messages: Sequence[Json]
    left_out: int


class SlackThreads:
    """Raises the errors of `vendor_errors`; VendorTooLong for a thread of too many messages."""

    def __init__(self, slack: SlackClient) -> None:
        self._slack = slack
        self._people = SlackPeople(slack)

    async def fetch(self, request: FetchThreadRequest) -> FetchThreadResponse:
        """The thread up to the item. An address whose thread is a reply's is corrected: its root is read."""
        thread, me = request.address.slack, await self._slack.me()
        most = min(request.messages_max or MESSAGES_DEFAULT, MESSAGES_MAX)
        talk = await self._talk(thread.channel_id, thread.thread_ts, thread.item_ts, most)
        root_ts = _root_of(talk, thread.thread_ts)
        if root_ts != thread.thread_ts:
            talk = await self._talk(thread.channel_id, root_ts, thread.item_ts, most)
        authors = [author_of(each) for each in talk.messages]
        mentioned = [each for message in talk.messages for each in mentions(str(message.get("text") or ""))]
        ids = dict.fromkeys([*request.person_ids, *authors, *mentioned])
        people = await self._people.find(list(ids), me)
        names = {each.person_id: each.display_name for each in people}
        found = SlackThread(
            team_id=thread.team_id,
            channel_id=thread.channel_id,
            thread_ts=root_ts,
            item_ts=thread.item_ts,
        )
        return FetchThreadResponse(
            address=ThreadAddress(slack=found),
            messages=[_message(each, found, me, names) for each in talk.messages],
            left_out_count=talk.left_out,
            people=people,
            resolved=any(_is_resolved(each, me) for each in talk.messages[:1]),
        )

    async def _talk(self, channel: str, ts: str, until: str, most: int) -> _Talk:
        """The first message and the last of the others, up to `until` (empty: to the end)."""
        arguments: dict[str, str | int | bool] = {"channel": channel, "ts": ts, "limit": PAGE_SIZE}
        if until:
            arguments |= {"latest": until, "inclusive": True}
        first: list[Json] = []
        others: deque[Json] = deque(maxlen=max(0, most - 1))
        seen = 0
        for _ in range(PAGES_MAX):
            page = await self._slack.read("conversations.replies", **arguments)
            messages = page["messages"]
            first, rest = (first, messages) if first else (messages[:1], messages[1:])
            others.extend(rest)
            seen += len(rest)
            arguments["cursor"] = (page.get("response_metadata") or {}).get("next_cursor") or ""
            if not arguments["cursor"]:
                return _Talk([*first, *others], seen - len(others))
        raise VendorTooLong("The thread is too long to be read.")


def _root_of(talk: _Talk, asked: str) -> str:
    """Slack answers a reply's timestamp with that reply alone, which names its thread."""
    for message in talk.messages[:1]:
        return str(message.get("thread_ts") or message["ts"])
    return asked


def _is_resolved(first: Json, me: Me) -> bool:
    """By us, or by a person; a person's check mark on our own words asks for it and does not say so."""
    people = [
        each
        for reaction in first.get("reactions") or ()
        if reaction["name"] == RESOLVED
        for each in reaction["users"]
    ]
    return me.user_id in people or bool(people and not is_ours(first, me))


def is_ours(message: Json, me: Me) -> bool:
    """Whether our app wrote it."""
    return message.get("user") == me.user_id or (bool(me.bot_id) and message.get("bot_id") == me.bot_id)


def author_of(message: Json) -> str:
    """Slack's id of who wrote it. Empty: Slack itself."""
    return str(message.get("user") or message.get("bot_id") or "")


def _message(message: Json, thread: SlackThread, me: Me, names: Mapping[str, str]) -> ThreadMessage:
    ts, written = str(message["ts"]), plain(str(message.get("text") or "")[:TEXT_CHARS_MAX], names)
    text = "\n".join([*filter(None, [written]), *file_lines(message.get("files"))])
    shown = ThreadMessage(
        external_id=ts,
        author_id=author_of(message),
        ours=is_ours(message, me),
        text=storable(text[:TEXT_CHARS_MAX]),
        url=me.permalink(thread.channel_id, ts, thread.thread_ts),
    )
    shown.created_time.FromDatetime(datetime.fromtimestamp(float(ts), UTC))
    return shown
