"""The sources this release knows, in a fixed order: a new one is a line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from services.dispatcher.domain import OrderKey, SourceName
from services.dispatcher.google_keys import GoogleKeys
from services.dispatcher.settings import DispatcherSettings
from services.dispatcher.sources import github, google_drive, plane, slack
from services.dispatcher.sources.github import GitHubApp, GitHubSource
from services.dispatcher.sources.google_drive import GoogleDriveSource
from services.dispatcher.sources.google_events import GoogleEventsSource
from services.dispatcher.sources.plane import PlaneSource
from services.dispatcher.sources.slack import SlackSource
from services.dispatcher.sources.source import Source

CAUGHT_UP: Mapping[str, OrderKey] = MappingProxyType(
    {
        SourceName.GITHUB: lambda missed: github.order_key(missed.headers, missed.body),
        SourceName.SLACK: lambda missed: slack.order_key(missed.external_id, missed.body),
        SourceName.GOOGLE_DRIVE: lambda missed: google_drive.order_key(missed.external_id, missed.body),
        SourceName.PLANE: lambda missed: plane.order_key(missed.external_id, missed.body),
    }
)
"""The sources whose containers are read for what webhooks failed to tell."""
LOGGED = (SourceName.GITHUB,)
"""The sources that keep a log of their deliveries and can be asked to send one again."""


def sources(settings: DispatcherSettings, google_keys: GoogleKeys) -> Mapping[str, Source]:
    """All sources by name, those that are off too."""
    known: list[Source] = [
        GitHubSource(
            GitHubApp(settings.github_app_id, settings.github_app_slug),
            settings.github_webhook_secret.get_secret_value(),
        ),
        SlackSource(settings.slack_signing_secret.get_secret_value()),
        PlaneSource(settings.plane_webhook_secret.get_secret_value()),
        GoogleDriveSource(settings.drive_channel_token.get_secret_value()),
        GoogleEventsSource(settings.pubsub_audience, settings.pubsub_service_account, google_keys),
    ]
    return MappingProxyType({str(each.state.name): each for each in known})
