"""What Slack's world consists of, as values: people, channels, messages, refusals."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

TEXT_CHARS_MAX = 40_000
"""Slack cuts a message's text there."""


class RefusedError(ValueError):
    """What Slack answers with `ok: false`; the text is its error code."""


class Standing(StrEnum):
    """What a person is to the workspace."""

    MEMBER = "member"
    GUEST = "guest"
    EXTERNAL = "external"


def stable_id(prefix: str, name: str) -> str:
    """The same id for the same name in every sandbox."""
    return f"{prefix}0{zlib.crc32(name.lower().encode()):08X}"


def channel_id(name: str) -> str:
    """The id of a channel, or for `@name` of the direct messages with somebody."""
    return stable_id("D" if name.startswith("@") else "C", name)


@dataclass(frozen=True, slots=True)
class Person:
    """A person, or with a `bot_id` the app's bot."""

    id: str
    name: str
    team_id: str
    standing: Standing = Standing.MEMBER
    bot_id: str = ""


@dataclass(frozen=True, slots=True)
class Channel:
    """`kind` as in `channel_type`: channel, group (a private one) or im. `joined`: the app's bot is in it."""

    id: str
    name: str
    kind: str = "channel"
    topic: str = ""
    joined: bool = True


@dataclass(frozen=True, slots=True)
class Message:
    """`thread_ts` empty: it stands in the channel itself. `ts` is its id within the channel."""

    ts: str
    channel: Channel
    by: Person
    text: str
    thread_ts: str = ""
    subtype: str = ""
    metadata: Mapping[str, object] = field(default_factory=dict[str, object])

    @property
    def root_ts(self) -> str:
        """The message that opens its thread, perhaps itself."""
        return self.thread_ts or self.ts
