"""What the dispatcher reads from its environment."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from pydantic import Field, SecretStr, model_validator

from services.common.settings import ServiceSettings
from services.dispatcher.drive_renewal import Renewal
from services.dispatcher.retention import Kept


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
    slack_signing_secret: SecretStr = Field(SecretStr(""), alias="SLACK_SIGNING_SECRET")
    """Signing secret of our Slack app. Empty: Slack is off as a source."""
    plane_webhook_secret: SecretStr = Field(SecretStr(""), alias="PLANE_WEBHOOK_SECRET")
    """Secret of Plane's webhook, as in plane_wh_…. Empty: Plane is off as a source."""
    drive_channel_token: SecretStr = Field(SecretStr(""), alias="DRIVE_CHANNEL_TOKEN", max_length=256)
    """What Google shows with each notification of ours. Empty: Google Drive is off as a source."""
    pubsub_audience: str = Field("", alias="PUBSUB_AUDIENCE")
    """Audience of the Pub/Sub subscription that pushes Workspace Events. Empty: events are off."""
    pubsub_service_account: str = Field("", alias="PUBSUB_SERVICE_ACCOUNT")
    """E-mail of the service account it pushes as. Empty: events are off."""
    public_base_url: str = Field("", alias="PUBLIC_BASE_URL")
    """Where the vendors reach the gateway, as in https://atlas.example. Empty: watches name it themselves."""
    drive_watch_renewal_hours: float = Field(12.0, alias="DRIVE_WATCH_RENEWAL_HOURS", gt=0)
    """How often Drive's watches are looked at."""
    drive_watch_look_ahead_hours: float = Field(18.0, alias="DRIVE_WATCH_LOOK_AHEAD_HOURS", gt=0)
    """What ends within this time is renewed then: more than the renewal's interval, less than 24."""
    relay_lease_seconds: float = Field(30.0, alias="RELAY_LEASE_SECONDS", ge=1, le=600)
    """How long a relay may hold a delivery; one that crashed is replaced after it."""
    catch_up_interval_seconds: float = Field(300.0, alias="CATCH_UP_INTERVAL_SECONDS", gt=0)
    """How often sources are read for what their webhooks failed to tell."""
    delivery_retention_days: float = Field(30.0, alias="DELIVERY_RETENTION_DAYS", ge=1, le=3650)
    """How long deliveries are kept after they were handled or ignored."""
    dead_delivery_retention_days: float = Field(90.0, alias="DEAD_DELIVERY_RETENTION_DAYS", ge=1, le=3650)
    """How long dead deliveries are kept, and the counts of refusals."""
    sweep_interval_seconds: float = Field(60.0, alias="SWEEP_INTERVAL_SECONDS", gt=0)
    """How often threads that were left over are rung."""

    @model_validator(mode="after")
    def _renewed_in_time(self) -> Self:
        _ = self.drive_renewal
        return self

    @property
    def drive_renewal(self) -> Renewal:
        """How often Drive's watches are renewed, and how far ahead."""
        return Renewal(
            timedelta(hours=self.drive_watch_renewal_hours),
            timedelta(hours=self.drive_watch_look_ahead_hours),
        )

    @property
    def deliveries_kept(self) -> Kept:
        """How long deliveries are kept once they are over."""
        return Kept(
            over=timedelta(days=self.delivery_retention_days),
            dead=timedelta(days=self.dead_delivery_retention_days),
        )
