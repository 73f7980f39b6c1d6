"""Slack's channels, messages and people, as the contract has them and as a model reads them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from aucert.common.v1.thread_pb2 import STANDING_GUEST, STANDING_MEMBER
from aucert.tools.v1 import slack_service_pb2 as pb
from services.tools.quoting import one_line, quoted
from services.tools.slack_client import Json, Me
from services.tools.slack_format import plain
from services.tools.slack_people import name_of, standing_of, storable
from services.tools.slack_threads import author_of, is_ours

REACTIONS_MAX = 10
"""Different ones shown of a message."""
FILES_MAX = 10
_STANDINGS = {STANDING_MEMBER: "member", STANDING_GUEST: "guest"}


def channel_of(found: Json) -> pb.SlackChannel:
    """A channel."""
    return pb.SlackChannel(
        channel_id=found["id"],
        name=_line(found.get("name")),
        is_private=bool(found.get("is_private")),
    )


def channel_lines(found: Json) -> list[str]:
    """One channel of a list, with what people say it is for."""
    shown = channel_of(found)
    facts = [*(["private"] if shown.is_private else []), *(["archived"] if found.get("is_archived") else [])]
    head = "  ".join([shown.channel_id, f"#{shown.name}", *facts])
    lines = [head]
    for name in ("topic", "purpose"):
        if text := str((found.get(name) or {}).get("value") or ""):
            lines += [f"{name}:", *_quoted(text)]
    return lines


def message_of(found: Json, channel_id: str, me: Me) -> pb.SlackMessage:
    """A message."""
    ts, thread_ts = str(found["ts"]), str(found.get("thread_ts") or "")
    is_reply = bool(thread_ts) and thread_ts != ts
    return pb.SlackMessage(
        ts=ts,
        thread_ts=thread_ts if is_reply else "",
        author_id=author_of(found),
        reply_count=int(found.get("reply_count") or 0),
        url=me.permalink(channel_id, ts, thread_ts if is_reply else ts),
    )


def message_lines(found: Json, me: Me, names: Mapping[str, str]) -> list[str]:
    """A message with who wrote it and what came of it. `names`: of people, by their ids."""
    author_id = author_of(found)
    by = "you" if is_ours(found, me) else _person(author_id, names)
    when = datetime.fromtimestamp(float(found["ts"]), UTC).isoformat(timespec="seconds")
    replies = int(found.get("reply_count") or 0)
    facts = [f"{found['ts']} by {by} at {when}", *([f"{replies} replies"] if replies else [])]
    reactions = [f":{_line(each['name'])}: {each['count']}" for each in found.get("reactions") or ()]
    facts += [f"reactions {' '.join(reactions[:REACTIONS_MAX])}"] if reactions else []
    files = [_line(each.get("name") or each.get("id")) for each in found.get("files") or ()]
    facts += [f"files {', '.join(files[:FILES_MAX])}"] if files else []
    return [f"{', '.join(facts)}:", *_quoted(plain(str(found.get("text") or ""), names)), ""]


def user_of(found: Json, me: Me) -> pb.GetUserResponse:
    """A person, with the text a model reads."""
    standing = _STANDINGS.get(standing_of(found, me), "external")
    profile = found.get("profile") or {}
    name = _line(name_of(found) or found["id"])
    facts = {
        "full name": profile.get("real_name"),
        "title": profile.get("title"),
        "time zone": found.get("tz"),
        "here as": standing,
        "app": "yes" if found.get("is_bot") else "",
        "deactivated": "yes" if found.get("deleted") else "",
    }
    lines = [f"{name} ({found['id']})", *(f"{key}: {_line(each)}" for key, each in facts.items() if each)]
    return pb.GetUserResponse(
        text="\n".join(lines),
        user_id=found["id"],
        display_name=name,
        standing=standing,
        is_bot=bool(found.get("is_bot")),
    )


def _person(author_id: str, names: Mapping[str, str]) -> str:
    """With the id, so that nobody passes for somebody else by their name."""
    return f"{_line(names.get(author_id)) or 'somebody'} ({author_id})" if author_id else "Slack"


def _line(text: object) -> str:
    return storable(one_line(str(text or "")))


def _quoted(text: str) -> list[str]:
    return quoted(storable(text))
