"""One Google account and the files it sees: what Drive's API, the admin API and the page all work on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from services.sandbox.google_domain import Comment, Reply
from services.sandbox.google_hooks import RECEIVER_SECONDS_MAX, GoogleHooks
from services.sandbox.google_oauth import GoogleAuth
from services.sandbox.google_state import GoogleState
from services.sandbox.google_wire import GoogleWire
from services.sandbox.settings import GoogleSettings
from services.sandbox.webhooks import Courier, Delivery, Letter


def utc_now() -> datetime:
    """The clock of a sandbox outside tests."""
    return datetime.now(UTC)


class GoogleWorld:
    """Its parts share one clock."""

    def __init__(self, settings: GoogleSettings, clock: Callable[[], datetime] = utc_now) -> None:
        self.settings = settings
        self.state = GoogleState(settings, clock)
        self.auth = GoogleAuth(settings, clock)
        first_id = time.time_ns() // 1_000_000  # above every id an earlier sandbox gave
        self.courier = Courier(clock, first_id=first_id, timeout_seconds=RECEIVER_SECONDS_MAX)
        self.hooks = GoogleHooks(settings, self.state, self.auth, self.courier, clock)

    def wire(self, origin: str) -> GoogleWire:
        """Links are those under which this caller reached the sandbox."""
        return GoogleWire(self.state, origin)

    def told(self, comment: Comment, reply: Reply | None) -> None:
        """Tell of a comment or a reply behind the caller's back."""
        for letter in self.hooks.told(comment, reply):
            self.courier.later(self.hooks.deliver(letter))

    async def send(self, letters: Sequence[Letter]) -> list[Delivery]:
        """Send letters and wait for their first attempts."""
        return [await self.hooks.deliver(each) for each in letters]
