"""The vendors' clients of this service, each opened by the vault's tokens before the installation's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import structlog
from pydantic import SecretStr

from aucert.astra.v1.token_vault_pb2 import (
    INTEGRATION_BRAVE,
    INTEGRATION_GITHUB,
    INTEGRATION_GOOGLE,
    INTEGRATION_PLANE,
    INTEGRATION_SLACK,
    Credential,
)
from services.tools.brave_client import BraveClient, BraveSubscription
from services.tools.clients_at_hand import BraveAtHand, GitHubAtHand, GoogleAtHand, PlaneAtHand, SlackAtHand
from services.tools.credentials import Accounts, Vault
from services.tools.github_client import GitHubApp, GitHubClient
from services.tools.google_client import GoogleAccount, GoogleClient
from services.tools.pace import Pace
from services.tools.plane_client import PlaneClient, PlaneWorkspace
from services.tools.settings import ToolsSettings
from services.tools.slack_client import SlackApp, SlackClient

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Vendors:
    """A client of each vendor; without a credential for a call it refuses it, and says what is missing."""

    brave: BraveClient
    github: GitHubClient
    google: GoogleClient
    plane: PlaneClient
    slack: SlackClient


def connect_vendors(stack: AsyncExitStack, settings: ToolsSettings, vault: Vault, pace: Pace) -> Vendors:
    """The clients, closed with the stack."""
    for source, off_reason in (
        ("github", settings.github_app.off_reason),
        ("google-drive", settings.google_account.off_reason),
        ("plane", settings.plane.off_reason),
        ("slack", settings.slack_app.off_reason),
        ("brave", settings.brave.off_reason),
    ):
        log.info("source", source=source, off_reason=off_reason)
    vendors = Vendors(
        brave=BraveAtHand(brave_accounts(vault, settings.brave), pace),
        github=GitHubAtHand(github_accounts(vault, settings.github_app), pace),
        google=GoogleAtHand(google_accounts(vault, settings.google_account), pace),
        plane=PlaneAtHand(plane_accounts(vault, settings.plane), pace),
        slack=SlackAtHand(slack_accounts(vault, settings.slack_app), pace),
    )
    for client in (vendors.brave, vendors.google, vendors.plane, vendors.slack):
        stack.push_async_callback(client.aclose)
    return vendors


def secrets_in(settings: ToolsSettings) -> Iterable[str]:
    """Every secret of the environment that this service holds."""

    def found() -> Iterator[str]:
        for name in type(settings).model_fields:
            if isinstance(value := getattr(settings, name), SecretStr):
                yield value.get_secret_value()

    return found()


# Whose account it is comes from the vault; where the vendor is, from the environment alone.


def github_accounts(vault: Vault, own: GitHubApp) -> Accounts[GitHubApp]:
    """Apps on GitHub."""

    def read(credential: Credential) -> GitHubApp:
        github = credential.github
        return replace(
            own,
            app_id=github.app_id,
            private_key=SecretStr(github.private_key),
            installation_id=github.installation_id,
        )

    return Accounts(vault, INTEGRATION_GITHUB, own, read)


def google_accounts(vault: Vault, own: GoogleAccount) -> Accounts[GoogleAccount]:
    """Accounts on Google."""

    def read(credential: Credential) -> GoogleAccount:
        google = credential.google
        return replace(
            own,
            client_id=google.client_id,
            client_secret=SecretStr(google.client_secret),
            refresh_token=SecretStr(google.refresh_token),
        )

    return Accounts(vault, INTEGRATION_GOOGLE, own, read)


def slack_accounts(vault: Vault, own: SlackApp) -> Accounts[SlackApp]:
    """Apps on Slack."""

    def read(credential: Credential) -> SlackApp:
        return replace(own, bot_token=SecretStr(credential.slack.bot_token))

    return Accounts(vault, INTEGRATION_SLACK, own, read)


def plane_accounts(vault: Vault, own: PlaneWorkspace) -> Accounts[PlaneWorkspace]:
    """Members of workspaces on Plane."""

    def read(credential: Credential) -> PlaneWorkspace:
        plane = credential.plane
        return replace(own, api_key=SecretStr(plane.api_key), slug=plane.workspace)

    return Accounts(vault, INTEGRATION_PLANE, own, read)


def brave_accounts(vault: Vault, own: BraveSubscription) -> Accounts[BraveSubscription]:
    """Subscriptions to Brave."""

    def read(credential: Credential) -> BraveSubscription:
        return replace(own, api_key=SecretStr(credential.brave.api_key))

    return Accounts(vault, INTEGRATION_BRAVE, own, read)
