"""What the caller decides about a sandbox. Nothing here reads the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

APP_PERMISSIONS: Mapping[str, str] = {
    "contents": "write",
    "issues": "write",
    "metadata": "read",
    "pull_requests": "write",
}
PLANE_CALLS_PER_MINUTE = 60
"""What Plane's cloud allows a key; whoever runs Plane decides for themselves."""
APP_EVENTS = (
    "issue_comment",
    "issues",
    "pull_request",
    "pull_request_review_comment",
    "pull_request_review_thread",
)


@dataclass(frozen=True, slots=True)
class GithubSettings:
    """One GitHub App with one installation.

    `webhook_url` empty: nothing is delivered (it can be set later through the admin API).
    `webhook_secret` empty: deliveries carry no signature, as at GitHub.
    `app_public_key` (PEM) empty: a JWT's algorithm, issuer and times are checked, its signature is not.
    `permissions`, `events`: what the App asks for. `accepted_permissions`: what the owner of the repositories
    agreed to, which bounds every token; None: all of it.
    `installed` false: the App exists and is installed nowhere. `suspended`: its owner paused it.
    `rate_limit_per_hour`: the installation's primary limit, enforced; GitHub's own smallest is 5,000.
    """

    webhook_url: str = ""
    webhook_secret: str = field(default="", repr=False)
    app_id: int = 1
    client_id: str = "Iv23liAstraSandbox"
    app_slug: str = "astra-atlas"
    installation_id: int = 1
    hook_id: int = 1
    app_public_key: str = ""
    permissions: Mapping[str, str] = field(default_factory=lambda: APP_PERMISSIONS)
    accepted_permissions: Mapping[str, str] | None = None
    events: tuple[str, ...] = APP_EVENTS
    installed: bool = True
    suspended: bool = False
    rate_limit_per_hour: int = 5_000
    token_lifetime_seconds: int = 3_600

    @property
    def bot_login(self) -> str:
        """The login under which the App writes."""
        return f"{self.app_slug}[bot]"

    @property
    def granted(self) -> Mapping[str, str]:
        """The permissions the installation holds; a token can have less, never more."""
        return self.permissions if self.accepted_permissions is None else self.accepted_permissions


@dataclass(frozen=True, slots=True)
class SlackSettings:
    """One Slack app, installed in one workspace.

    `webhook_url` empty: no event is sent (it can be set later through the admin API).
    `retry_delays_seconds`: when an event that was not taken is sent again; Slack's own three, by default.
    """

    webhook_url: str = ""
    signing_secret: str = field(default="", repr=False)
    bot_token: str = field(default="xoxb-sandbox", repr=False)
    team_id: str = "T0SANDBOX"
    app_id: str = "A0SANDBOX"
    bot_name: str = "atlas"
    bot_user_id: str = "U0ATLAS"
    bot_id: str = "B0ATLAS"
    retry_delays_seconds: tuple[float, ...] = (0.0, 60.0, 300.0)


@dataclass(frozen=True, slots=True)
class PlaneSettings:
    """One Plane workspace with one webhook, and the API key of the user the agent writes as.

    `webhook_url` empty: nothing is sent (it can be set later through the admin API).
    `webhook_version`: "v1" as the community edition's, "v2" as Plane's cloud makes them today.
    `retry_delays_seconds`: when a delivery that failed is tried again, Plane's own five by default; after the
    last the webhook is switched off, until its address is set anew.
    `rate_limit_per_minute`: what the key may call, enforced.
    """

    webhook_url: str = ""
    webhook_secret: str = field(default="", repr=False)
    webhook_version: str = "v1"
    api_key: str = field(default="plane_api_sandbox", repr=False)
    workspace: str = "sandbox"
    bot_name: str = "atlas"
    retry_delays_seconds: tuple[float, ...] = (600.0,) * 5
    rate_limit_per_minute: int = PLANE_CALLS_PER_MINUTE


@dataclass(frozen=True, slots=True)
class GoogleSettings:
    """One Google account with an OAuth client, and a Pub/Sub subscription that pushes its events.

    `events_url` empty: no event is pushed (it can be set later through the admin API). `signing_key` (PEM)
    signs the identity tokens of pushes; empty: one is made when it is first needed.
    `comments_reach_log` false: comments do not show in Drive's log of changes, which Google leaves open.
    `retry_delays_seconds`: when a notification or a push that failed is sent again. Google says that its
    pauses grow, not how long they are or when it gives up; Pub/Sub keeps at it for days.
    """

    events_url: str = ""
    client_id: str = "sandbox.apps.googleusercontent.com"
    client_secret: str = field(default="sandbox-client-secret", repr=False)
    refresh_token: str = field(default="sandbox-refresh-token", repr=False)
    account_email: str = "atlas@sandbox.example"
    audience: str = "https://sandbox.example/webhooks/google-events"
    pusher_email: str = "pusher@sandbox.iam.gserviceaccount.com"
    signing_key: str = field(default="", repr=False)
    comments_reach_log: bool = True
    token_lifetime_seconds: int = 3_600
    retry_delays_seconds: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0)


@dataclass(frozen=True, slots=True)
class BraveSettings:
    """A subscription to Brave's web search, and the web as it knows it: (address, title, words) of each page.

    `left_this_month`: searches it still has.
    """

    api_key: str = field(default="sandbox-brave-key", repr=False)
    pages: tuple[tuple[str, str, str], ...] = (
        ("https://example.com/grpc", "gRPC keepalive", "How often a client may <strong>ping</strong>."),
        ("https://example.org/refunds", "Refunds in the EU", "A buyer has 14 days &amp; no reason to give."),
    )
    left_this_month: int = 2_000


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """One field a vendor."""

    github: GithubSettings = field(default_factory=GithubSettings)
    slack: SlackSettings = field(default_factory=SlackSettings)
    google: GoogleSettings = field(default_factory=GoogleSettings)
    plane: PlaneSettings = field(default_factory=PlaneSettings)
    brave: BraveSettings = field(default_factory=BraveSettings)
