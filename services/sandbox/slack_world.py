"""One Slack workspace with our app in it: what the Web API, the admin API and the page all work on."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from aiohttp import web

from services.sandbox.settings import SlackSettings
from services.sandbox.slack_domain import Message, Person
from services.sandbox.slack_hooks import RECEIVER_SECONDS_MAX, SlackHooks
from services.sandbox.slack_state import SlackState
from services.sandbox.slack_wire import SlackWire
from services.sandbox.webhooks import Courier, Delivery, Letter


def utc_now() -> datetime:
    """The clock of a sandbox outside tests."""
    return datetime.now(UTC)


class SlackWorld:
    """Its parts share one clock."""

    def __init__(self, settings: SlackSettings, clock: Callable[[], datetime] = utc_now) -> None:
        self.settings = settings
        self.state = SlackState(settings, clock)
        first_id = time.time_ns() // 1_000_000  # above every id an earlier sandbox gave
        self.courier = Courier(clock, first_id=first_id, timeout_seconds=RECEIVER_SECONDS_MAX)
        self.hooks = SlackHooks(settings, self.state, self.courier, clock)

    def wire(self, request: web.Request) -> SlackWire:
        """Links are those under which this caller reached the sandbox."""
        return SlackWire(self.settings, self.state, str(request.url.origin()))

    def say(self, channel: str, by: Person, text: str, *, thread_ts: str = "", subtype: str = "") -> Message:
        """Write as a person does: what they type is escaped, and `@atlas` becomes the bot's mention."""
        typed = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        bot = self.state.bot
        sent = re.sub(rf"(?<![\w@])@{re.escape(bot.name)}\b", f"<@{bot.id}>", typed)
        found = self.state.add_channel(channel)
        return self.state.add_message(found, by, sent, thread_ts=thread_ts, subtype=subtype)

    async def send(self, letters: Sequence[Letter]) -> list[Delivery]:
        """Send events and wait for their first attempts; nothing if no receiver is set."""
        return [await self.hooks.deliver(each) for each in letters if each.url]

    def send_later(self, letters: Sequence[Letter]) -> None:
        """Send events in the background; nothing if no receiver is set."""
        for each in letters:
            if each.url:
                self.courier.later(self.hooks.deliver(each))
