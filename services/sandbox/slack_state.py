"""Slack's world as far as we call it, in memory and bounded.

`SlackState` alone adds to it, and refuses what Slack refuses. It knows nothing of HTTP, JSON or events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from services.sandbox.settings import SlackSettings
from services.sandbox.slack_domain import (
    TEXT_CHARS_MAX,
    Channel,
    Message,
    Person,
    RefusedError,
    Standing,
    channel_id,
    stable_id,
)

CHANNELS_MAX = 500
PEOPLE_MAX = 2_000
MESSAGES_PER_CHANNEL_MAX = 10_000
CHARS_KEPT_MAX = 64 * 1024 * 1024
EXTERNAL_TEAM_ID = "T0ELSEWHERE"


class SlackState:
    """Messages are known by channel and timestamp, which only ever grows."""

    def __init__(self, settings: SlackSettings, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._team_id = settings.team_id
        self._last_micros = 0
        self._channels: dict[str, Channel] = {}
        self._messages: dict[str, dict[str, Message]] = {}
        self._reactions: dict[tuple[str, str], dict[str, list[str]]] = {}
        self._chars_left = CHARS_KEPT_MAX
        self.bot = Person(
            settings.bot_user_id, settings.bot_name, settings.team_id, Standing.MEMBER, settings.bot_id
        )
        self._people: dict[str, Person] = {self.bot.id: self.bot}

    def person(self, name: str, standing: Standing = Standing.MEMBER) -> Person:
        """Somebody by name, made when first named; a new standing replaces the old one."""
        team_id = EXTERNAL_TEAM_ID if standing is Standing.EXTERNAL else self._team_id
        person = Person(stable_id("U", name), name, team_id, standing)
        if person.id not in self._people and len(self._people) >= PEOPLE_MAX:
            raise RefusedError("too_many_users")
        self._people[person.id] = person
        return person

    def find_person(self, user_id: str) -> Person:
        """Raises `RefusedError`."""
        try:
            return self._people[user_id]
        except KeyError:
            raise RefusedError("user_not_found") from None

    def add_channel(self, name: str) -> Channel:
        """A channel, or for `@name` the direct messages with somebody. The same name gives the same one."""
        found = Channel(channel_id(name), name, "im" if name.startswith("@") else "channel")
        if found.id not in self._channels and len(self._channels) >= CHANNELS_MAX:
            raise RefusedError("too_many_channels")
        self._messages.setdefault(found.id, {})
        return self._channels.setdefault(found.id, found)

    def describe(self, channel: Channel, *, topic: str, is_private: bool, joined: bool) -> Channel:
        """Say what a channel is for, who sees it, and whether the app's bot is in it."""
        kind = "group" if is_private else channel.kind
        self._channels[channel.id] = replace(channel, topic=topic, kind=kind, joined=joined)
        return self._channels[channel.id]

    def channels(self) -> list[Channel]:
        """In the order they were added."""
        return list(self._channels.values())

    def channel(self, channel_id: str) -> Channel:
        """Raises `RefusedError`."""
        try:
            return self._channels[channel_id]
        except KeyError:
            raise RefusedError("channel_not_found") from None

    def add_message(
        self,
        channel: Channel,
        by: Person,
        text: str,
        *,
        thread_ts: str = "",
        subtype: str = "",
        metadata: Mapping[str, object] | None = None,
    ) -> Message:
        """Write into a channel, or with `thread_ts` below a message that stands in it."""
        held = self._messages[channel.id]
        if not text:
            raise RefusedError("no_text")
        if thread_ts and (thread_ts not in held or held[thread_ts].thread_ts):
            raise RefusedError("thread_not_found")
        text = text[:TEXT_CHARS_MAX]
        if len(held) >= MESSAGES_PER_CHANNEL_MAX or len(text) > self._chars_left:
            raise RefusedError("msg_too_long")
        self._chars_left -= len(text)
        message = Message(self._next_ts(), channel, by, text, thread_ts, subtype, metadata or {})
        return held.setdefault(message.ts, message)

    def edit(self, message: Message, text: str) -> Message:
        """Change its words."""
        changed = replace(message, text=text[:TEXT_CHARS_MAX])
        self._messages[message.channel.id][message.ts] = changed
        return changed

    def delete(self, message: Message) -> None:
        """Take it away; what was said below it stays."""
        del self._messages[message.channel.id][message.ts]

    def message(self, channel: Channel, ts: str) -> Message:
        """Raises `RefusedError`."""
        try:
            return self._messages[channel.id][ts]
        except KeyError:
            raise RefusedError("message_not_found") from None

    def history(self, channel: Channel) -> list[Message]:
        """What stands in the channel itself, oldest first."""
        return [each for each in self._messages[channel.id].values() if not each.thread_ts]

    def replies(self, channel: Channel, ts: str) -> list[Message]:
        """A thread from its first message on; for a reply's timestamp that reply alone."""
        held = self._messages[channel.id]
        thread = [each for each in held.values() if each.root_ts == ts]
        alone = [held[ts]] if ts in held else []
        if not (thread or alone):
            raise RefusedError("thread_not_found")
        return thread or alone

    def react(self, message: Message, by: Person, name: str) -> None:
        """Raises `RefusedError` when this person reacted so already."""
        people = self._reactions.setdefault((message.channel.id, message.ts), {}).setdefault(name, [])
        if by.id in people:
            raise RefusedError("already_reacted")
        people.append(by.id)

    def reactions(self, message: Message) -> Mapping[str, list[str]]:
        """Who reacted how: ids of people by the reaction's name."""
        return self._reactions.get((message.channel.id, message.ts), {})

    def _next_ts(self) -> str:
        self._last_micros = max(self._last_micros + 1, int(self._clock().timestamp() * 1_000_000))
        seconds, micros = divmod(self._last_micros, 1_000_000)
        return f"{seconds}.{micros:06d}"
