"""What the dispatcher reads from its environment."""

from __future__ import annotations

from pydantic import Field, SecretStr

from services.common.settings import ServiceSettings
from services.dispatcher.domain import SourceName, SourceState


class DispatcherSettings(ServiceSettings):
    """Settings of the dispatcher."""

    port: int = Field(7002, alias="DISPATCHER_PORT")
    """Port it listens on; 0 takes a free one."""
    database_url: SecretStr = Field(alias="DATABASE_URL")
    """PostgreSQL as the role astra_service."""
    relay_database_url: SecretStr = Field(alias="RELAY_DATABASE_URL")
    """PostgreSQL as the role astra_relay."""
    temporal_address: str = Field("127.0.0.1:7233", alias="TEMPORAL_ADDRESS")
    """Temporal's frontend."""
    temporal_namespace: str = Field("default", alias="TEMPORAL_NAMESPACE")
    """Namespace the workflows live in."""
    models_address: str = Field("127.0.0.1:7003", alias="MODELS_ADDRESS")
    """Where the models service listens."""
    tools_address: str = Field("127.0.0.1:7004", alias="TOOLS_ADDRESS")
    """Where the tools service listens."""
    github_webhook_secret: SecretStr = Field(SecretStr(""), alias="GITHUB_WEBHOOK_SECRET")
    """Secret of GitHub's webhooks. Empty: GitHub is off as a source."""
    github_app_id: str = Field("", alias="GITHUB_APP_ID")
    """Our GitHub App, to leave its own comments alone. Empty: GitHub is off as a source."""
    github_app_slug: str = Field("", alias="GITHUB_APP_SLUG")
    """Its slug: it writes as `<slug>[bot]`. Empty: none."""
    relay_lease_seconds: float = Field(30.0, alias="RELAY_LEASE_SECONDS", ge=1, le=600)
    """How long a relay may hold a delivery; one that crashed is replaced after it."""
    sweep_interval_seconds: float = Field(60.0, alias="SWEEP_INTERVAL_SECONDS", gt=0)
    """How often threads that were left over are rung."""

    def github(self) -> SourceState:
        """Whether GitHub is a source here; the App's private key is the tools service's to hold."""
        needed = {
            "GITHUB_WEBHOOK_SECRET": self.github_webhook_secret.get_secret_value(),
            "GITHUB_APP_ID": self.github_app_id,
        }
        missing = [name for name, value in needed.items() if not value]
        return SourceState(SourceName.GITHUB, f"not set: {', '.join(missing)}" if missing else "")
