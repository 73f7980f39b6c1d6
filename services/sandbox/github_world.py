"""One GitHub App's world in one object: what the REST routes, the admin API and the page all work on."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from aiohttp import web

from services.sandbox.github_auth import GithubAuth
from services.sandbox.github_domain import Account, AccountType, Association, Byline, Comment
from services.sandbox.github_git import GithubGit
from services.sandbox.github_hooks import RECEIVER_SECONDS_MAX, GithubHooks
from services.sandbox.github_http import PrimaryLimit
from services.sandbox.github_state import GithubState
from services.sandbox.github_wire import GithubWire
from services.sandbox.github_wire_threads import GithubThreadWire
from services.sandbox.settings import GithubSettings
from services.sandbox.webhooks import Courier, Delivery, Letter


def utc_now() -> datetime:
    """The clock of a sandbox outside tests."""
    return datetime.now(UTC)


class GithubWorld:
    """Its parts share one clock."""

    def __init__(self, settings: GithubSettings, clock: Callable[[], datetime] = utc_now) -> None:
        first_id = time.time_ns() // 1_000_000  # above every id an earlier sandbox gave
        self.settings = settings
        # An App's bot is no member of anything.
        self.bot = Byline(Account(settings.bot_login, AccountType.BOT), Association.NONE, via_app=True)
        self.state = GithubState(clock, first_id=first_id)
        self.git = GithubGit(clock)
        self.auth = GithubAuth(settings, clock)
        self.limit = PrimaryLimit(settings.rate_limit_per_hour, clock)
        self.hooks = GithubHooks(settings, self.state)
        self.courier = Courier(clock, first_id=first_id, timeout_seconds=RECEIVER_SECONDS_MAX)

    def wire(self, request: web.Request) -> GithubWire:
        """Addresses in answers and payloads are those under which this caller reached the sandbox."""
        return GithubWire(str(request.url.origin()), self.settings)

    def threads_wire(self, request: web.Request) -> GithubThreadWire:
        """As `wire`, for threads and what is in them."""
        return GithubThreadWire(self.wire(request), self.state)

    async def send(self, letter: Letter) -> Delivery | None:
        """Deliver and wait; None if no receiver is set."""
        return await self.courier.deliver(letter) if letter.url else None

    def send_later(self, letter: Letter) -> None:
        """Deliver in the background; nothing if no receiver is set."""
        if letter.url:
            self.courier.deliver_later(letter)

    def comment_letter(self, comment: Comment, request: web.Request) -> Letter:
        """The webhook that tells of a comment."""
        return self.hooks.comment_created(comment, self.wire(request))

    def review_letter(self, top: Comment, by: Account, request: web.Request) -> Letter:
        """The webhook that tells that somebody resolved a review thread."""
        return self.hooks.review_resolved(top, by, self.wire(request))
