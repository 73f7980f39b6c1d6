"""One Plane workspace: what the API, the admin API and the page all work on."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime

from services.sandbox.plane_domain import Comment, WorkItem, readable
from services.sandbox.plane_hooks import RECEIVER_SECONDS_MAX, PlaneHooks
from services.sandbox.plane_state import PlaneState
from services.sandbox.plane_wire import PlaneWire
from services.sandbox.settings import PlaneSettings
from services.sandbox.webhooks import Courier


def utc_now() -> datetime:
    """The clock of a sandbox outside tests."""
    return datetime.now(UTC)


class PlaneWorld:
    """Its parts share one clock."""

    def __init__(self, settings: PlaneSettings, clock: Callable[[], datetime] = utc_now) -> None:
        self.settings = settings
        self.state = PlaneState(settings, clock)
        self.wire = PlaneWire(self.state)
        first_id = time.time_ns() // 1_000_000  # above every id an earlier sandbox gave
        self.courier = Courier(clock, first_id=first_id, timeout_seconds=RECEIVER_SECONDS_MAX)
        self.hooks = PlaneHooks(settings, self.state, self.courier)

    def typed(self, text: str) -> str:
        """What Plane's editor makes of typed words: a paragraph a line, `@atlas` the bot's mention."""
        bot = self.state.bot
        mention = (
            f'<mention-component id="{bot.id}" entity_identifier="{bot.id}" '
            'entity_name="user_mention"></mention-component>'
        )
        lines = [
            re.sub(rf"(?<![\w@])@{re.escape(bot.name)}\b", mention, html.escape(line, quote=False))
            for line in text.splitlines() or [""]
        ]
        return "".join(f'<p class="editor-paragraph-block">{line}</p>' for line in lines)

    def readable(self, markup: str) -> str:
        """The words of what somebody wrote."""
        return readable(markup, self.state.bot.name)

    def path(self, item: WorkItem) -> str:
        """Where the work item is below the web application's address."""
        return f"{self.settings.workspace}/browse/{item.identifier}"

    def link(self, origin: str, item: WorkItem, comment: Comment | None = None) -> str:
        """Where a person reads it: Plane's own form of a link, under this page."""
        link = f"{origin}/web/plane/{self.path(item)}/"
        return f"{link}#comment-{comment.id}" if comment else link
