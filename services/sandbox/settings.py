"""What the caller decides about a sandbox. Nothing here reads the environment."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class GithubSettings:
    """One GitHub App with one installation.

    `webhook_url` empty: nothing is delivered (it can be set later through the admin API).
    `webhook_secret` empty: deliveries carry no signature, as at GitHub.
    `app_public_key` (PEM) empty: a JWT's algorithm, issuer and times are checked, its signature is not.
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
    rate_limit_per_hour: int = 5_000
    token_lifetime_seconds: int = 3_600

    @property
    def bot_login(self) -> str:
        """The login under which the App writes."""
        return f"{self.app_slug}[bot]"


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """One field a vendor."""

    github: GithubSettings = field(default_factory=GithubSettings)
