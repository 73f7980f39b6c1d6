"""Reads Slack's events into one shape, an `Act`: who wrote or reacted, where.

Payloads are read leniently by key instead of through a full model: Slack adds fields freely, and a required
part that is missing means the payload is not understood and starts nothing. What starts nothing whatever it
says is sorted out here: our own words, bots', edits, deletions and the channel's own notices.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from services.dispatcher.domain import TEXT_CHARS_MAX, Ignored, IgnoredReason

Payload = Mapping[str, Any]
EVENT, RATE_LIMITED = "event_callback", "app_rate_limited"
DIRECT = "im"
KEPT_SUBTYPES = frozenset({"", "file_share", "thread_broadcast"})
"""Words of people: all other subtypes are edits, deletions and notices of the channel."""
BOT_SUBTYPE = "bot_message"
SLACKBOT = "USLACKBOT"
_ID = re.compile(r"[A-Z0-9]{1,32}")
_TS = re.compile(r"[0-9]{1,15}\.[0-9]{1,9}", re.ASCII)


class ActKind(StrEnum):
    """What a person did."""

    MESSAGE = "message"
    REACTION = "reaction"


@dataclass(frozen=True, slots=True)
class Act:
    """Something a person did on Slack; `ts` is the message they wrote or reacted to.

    `thread_ts` is empty for a message that opens a thread, and unknown for a reaction. `bot_user_id` is our
    own. `on_ours`: the reaction is to something we wrote.
    """

    kind: ActKind
    team_id: str
    channel_id: str
    ts: str
    thread_ts: str
    user_id: str
    bot_user_id: str
    event_ts: str
    text: str = ""
    reaction: str = ""
    is_direct: bool = False
    on_ours: bool = False

    @property
    def thread_key(self) -> str:
        """`<team>/<channel>/<first message of the thread>`, as far as the event tells."""
        return f"{self.team_id}/{self.channel_id}/{self.thread_ts or self.ts}"


def envelope(body: bytes) -> Payload:
    """The payload as it came; empty for anything but a JSON object."""
    try:
        told: object = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return cast("Payload", told) if isinstance(told, dict) else {}


def read(body: bytes) -> Act | Ignored:
    """What a person did, or why the delivery is nothing to look at."""
    return read_envelope(envelope(body))


def read_envelope(payload: Payload) -> Act | Ignored:
    """As `read`, of a payload that was taken apart already."""
    if payload.get("type") == RATE_LIMITED:
        return Ignored(IgnoredReason.VENDOR_DROPS_DELIVERIES)
    if payload.get("type") != EVENT:
        return Ignored(IgnoredReason.EVENT_NOT_HANDLED)
    try:
        event: Payload = payload["event"]
        reader = _READERS.get(event["type"])
        return reader(payload, event) if reader else Ignored(IgnoredReason.EVENT_NOT_HANDLED)
    except (LookupError, TypeError, ValueError, AttributeError):
        return Ignored(IgnoredReason.PAYLOAD_NOT_UNDERSTOOD)


def _message(payload: Payload, event: Payload) -> Act | Ignored:
    bot_user_id, user_id = _bot_user(payload), event.get("user") or ""
    if bot_user_id and user_id == bot_user_id:
        return Ignored(IgnoredReason.SELF_AUTHORED)
    subtype = event.get("subtype") or ""
    # A bot's message of today has a bot_id and no subtype; older ones have the subtype.
    if event.get("bot_id") or subtype == BOT_SUBTYPE or user_id == SLACKBOT:
        return Ignored(IgnoredReason.BOT_AUTHORED)
    if subtype not in KEPT_SUBTYPES or event.get("hidden"):
        return Ignored(IgnoredReason.ACTION_NOT_HANDLED)
    thread_ts = event.get("thread_ts") or ""
    return Act(
        kind=ActKind.MESSAGE,
        team_id=_id(payload["team_id"]),
        channel_id=_id(event["channel"]),
        ts=_ts(event["ts"]),
        thread_ts=_ts(thread_ts) if thread_ts and thread_ts != event["ts"] else "",
        user_id=_id(user_id),
        bot_user_id=bot_user_id,
        event_ts=_ts(event.get("event_ts") or event["ts"]),
        text=_text(event.get("text")),
        is_direct=event.get("channel_type") == DIRECT,
    )


def _reaction(payload: Payload, event: Payload) -> Act | Ignored:
    item: Payload = event["item"]
    if item["type"] != "message":
        return Ignored(IgnoredReason.ACTION_NOT_HANDLED)
    bot_user_id, user_id = _bot_user(payload), _id(event["user"])
    if user_id == bot_user_id:
        return Ignored(IgnoredReason.SELF_AUTHORED)
    return Act(
        kind=ActKind.REACTION,
        team_id=_id(payload["team_id"]),
        channel_id=_id(item["channel"]),
        ts=_ts(item["ts"]),
        thread_ts="",
        user_id=user_id,
        bot_user_id=bot_user_id,
        event_ts=_ts(event["event_ts"]),
        reaction=_text(event["reaction"]).partition("::")[0],  # a skin tone follows a double colon
        is_direct=item["channel"].startswith("D"),
        on_ours=bool(bot_user_id) and event.get("item_user") == bot_user_id,
    )


def _bot_user(payload: Payload) -> str:
    """Our own user in this workspace: the installation the event was sent for. Empty: not told."""
    for each in payload.get("authorizations") or ():
        if each.get("is_bot"):
            return _id(each["user_id"])
    return ""


def _id(value: object) -> str:
    if not (isinstance(value, str) and _ID.fullmatch(value)):
        raise ValueError("no id")
    return value


def _ts(value: object) -> str:
    if not (isinstance(value, str) and _TS.fullmatch(value)):
        raise ValueError("no timestamp")
    return value


def _text(value: object) -> str:
    """Text that PostgreSQL and protobuf take: no NUL, no lone surrogates, bounded. Absent: empty."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError("no text")
    return (
        value[:TEXT_CHARS_MAX].encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
    )


_READERS: dict[str, Callable[[Payload, Payload], Act | Ignored]] = {
    "app_mention": _message,
    "message": _message,
    "reaction_added": _reaction,
}
