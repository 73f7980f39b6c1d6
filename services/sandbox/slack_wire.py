"""People, channels, messages and events as Slack's JSON, for answers and for the Events API.

What this stand-in has no notion of (pictures, blocks, files) is left out, as Slack leaves out what does not
apply.
"""

from __future__ import annotations

from typing import TypeAlias

from services.sandbox.settings import SlackSettings
from services.sandbox.slack_domain import Channel, Message, Person, Standing
from services.sandbox.slack_state import SlackState

JsonObject: TypeAlias = dict[str, object]


class SlackWire:
    """Reads reactions and threads from the state."""

    def __init__(self, settings: SlackSettings, state: SlackState, origin: str) -> None:
        self._settings = settings
        self._state = state
        self.web = f"{origin}/web/slack/"
        """What the workspace's own address would be: `auth.test` tells it."""

    def user(self, person: Person) -> JsonObject:
        """As `users.info` shows somebody."""
        return {
            "id": person.id,
            "team_id": person.team_id,
            "name": person.name,
            "deleted": False,
            "real_name": person.name.title(),
            "tz": "Europe/Berlin",
            "profile": {"display_name": person.name, "real_name": person.name.title(), "title": ""},
            "is_bot": bool(person.bot_id),
            "is_app_user": False,
            "is_restricted": person.standing is Standing.GUEST,
            "is_ultra_restricted": False,
            "is_stranger": person.standing is Standing.EXTERNAL,
        }

    def channel(self, channel: Channel) -> JsonObject:
        """As `conversations.*` show one."""
        if channel.kind == "im":
            return {"id": channel.id, "is_im": True, "user": self._state.person(channel.name[1:]).id}
        return {
            "id": channel.id,
            "name": channel.name,
            "is_channel": channel.kind == "channel",
            "is_group": channel.kind == "group",
            "is_im": False,
            "is_private": channel.kind == "group",
            "is_archived": False,
            "is_member": channel.joined,
            "topic": {"value": channel.topic, "creator": "", "last_set": 0},
            "purpose": {"value": "", "creator": "", "last_set": 0},
        }

    def message(self, message: Message, *, metadata: bool) -> JsonObject:
        """As `conversations.history` and `conversations.replies` show it."""
        shown = self._said(message)
        replies = [each for each in self._thread(message) if each.thread_ts]
        if replies:
            shown |= {"thread_ts": message.ts, "reply_count": len(replies), "latest_reply": replies[-1].ts}
        if reactions := self._state.reactions(message):
            shown["reactions"] = [
                {"name": name, "users": people, "count": len(people)} for name, people in reactions.items()
            ]
        if metadata and message.metadata:
            shown["metadata"] = dict(message.metadata)
        return shown

    def said(self, message: Message) -> JsonObject:
        """The event `message`."""
        place = {"channel": message.channel.id, "channel_type": message.channel.kind}
        return {**self._said(message), **place, "event_ts": message.ts}

    def mentioned(self, message: Message) -> JsonObject:
        """The event `app_mention`: the same message, with no `channel_type`."""
        place = {"channel": message.channel.id}
        return {**self._said(message), **place, "type": "app_mention", "event_ts": message.ts}

    def changed(self, before: Message, after: Message | None, event_ts: str) -> JsonObject:
        """The event of an edit, or with nothing after it of a deletion."""
        event: JsonObject = {
            "type": "message",
            "subtype": "message_changed" if after else "message_deleted",
            "hidden": True,
            "channel": before.channel.id,
            "channel_type": before.channel.kind,
            "ts": event_ts,
            "event_ts": event_ts,
            "previous_message": self._said(before),
        }
        return {**event, "message": self._said(after)} if after else {**event, "deleted_ts": before.ts}

    def reacted(self, message: Message, by: Person, name: str, event_ts: str) -> JsonObject:
        """The event `reaction_added`: it holds neither the words nor the thread."""
        return {
            "type": "reaction_added",
            "user": by.id,
            "reaction": name,
            "item_user": message.by.id,
            "item": {"type": "message", "channel": message.channel.id, "ts": message.ts},
            "event_ts": event_ts,
        }

    def permalink(self, message: Message) -> str:
        """Where a person reads it."""
        link = f"{self.web}archives/{message.channel.id}/p{message.ts.replace('.', '')}"
        return f"{link}?thread_ts={message.thread_ts}&cid={message.channel.id}" if message.thread_ts else link

    def _said(self, message: Message) -> JsonObject:
        by = message.by
        shown: JsonObject = {
            "type": "message",
            "user": by.id,
            "ts": message.ts,
            "text": message.text,
            "team": by.team_id,
        }
        shown |= {"bot_id": by.bot_id, "app_id": self._settings.app_id} if by.bot_id else {}
        shown |= {"subtype": message.subtype} if message.subtype else {}
        return shown | ({"thread_ts": message.thread_ts} if message.thread_ts else {})

    def _thread(self, message: Message) -> list[Message]:
        return [] if message.thread_ts else self._state.replies(message.channel, message.ts)
