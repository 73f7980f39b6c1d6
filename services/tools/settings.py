"""What the tools service reads from its environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from pydantic import Field, Json, SecretStr, field_validator

from services.common.settings import ServiceSettings
from services.tools.brave_client import BraveSubscription
from services.tools.github_client import GitHubApp
from services.tools.google_client import GoogleAccount
from services.tools.plane_client import PlaneWorkspace
from services.tools.slack_client import SlackApp

GIBIBYTE = 1024**3
GOOGLE_API_URL = "https://www.googleapis.com"
GOOGLE_DOCS_API_URL = "https://docs.googleapis.com"


class ToolsSettings(ServiceSettings):
    """Settings of the tools service."""

    port: int = Field(7004, alias="TOOLS_PORT")
    """Port it listens on; 0 takes a free one."""
    models_address: str = Field("127.0.0.1:7003", alias="MODELS_ADDRESS")
    """Where the models service listens, which embeds for the knowledge base."""
    workspace_dir: Path = Field(Path(".astra/workspace"), alias="WORKSPACE_DIR")
    """Folder of the repositories' mirrors; processes may share it."""
    workspace_bytes_max: int = Field(20 * GIBIBYTE, alias="WORKSPACE_BYTES_MAX", gt=0)
    """Most bytes of mirrors that no run needs."""
    repository_bytes_max: int = Field(4 * GIBIBYTE, alias="REPOSITORY_BYTES_MAX", gt=0)
    """Most bytes of one mirror."""
    vendors_shared_with: str = Field("default", alias="VENDORS_SHARED_WITH")
    """Slugs of the tenants, with commas, that may use the vendors' credentials below where the vault has none
    for them. *: all tenants."""
    github_api_url: str = Field("https://api.github.com", alias="GITHUB_API_URL")
    """GitHub's API, or a GitHub Enterprise Server's with /api/v3."""
    github_app_id: str = Field("", alias="GITHUB_APP_ID")
    """The App's id or client id. Empty: GitHub is off."""
    github_app_private_key: SecretStr = Field(SecretStr(""), alias="GITHUB_APP_PRIVATE_KEY")
    """The App's private key, PEM; line ends may be written as \\n. Empty: GitHub is off."""
    github_installation_id: int = Field(0, alias="GITHUB_INSTALLATION_ID")
    """Installation for threads whose webhook named none. 0: none."""
    github_settle_seconds: float = Field(10.0, alias="GITHUB_SETTLE_SECONDS", ge=0, le=60)
    """The longest GitHub works on a request after nobody waits for it any more."""
    slack_api_url: str = Field("https://slack.com/api/", alias="SLACK_API_URL")
    """Slack's Web API."""
    slack_bot_token: SecretStr = Field(SecretStr(""), alias="SLACK_BOT_TOKEN")
    """The app's bot token, as in xoxb-…. Empty: Slack is off."""
    slack_settle_seconds: float = Field(10.0, alias="SLACK_SETTLE_SECONDS", ge=0, le=60)
    """The longest Slack works on a request after nobody waits for it any more."""
    plane_api_url: str = Field("https://api.plane.so", alias="PLANE_API_URL")
    """Plane's API, without /api/v1; of one's own Plane its address."""
    plane_app_url: str = Field("", alias="PLANE_APP_URL")
    """Where people read Plane. Empty: https://app.plane.so with Plane's cloud, else where the API is."""
    plane_api_key: SecretStr = Field(SecretStr(""), alias="PLANE_API_KEY")
    """API key of a member of the workspace, as in plane_api_…. Empty: Plane is off."""
    plane_workspace: str = Field("", alias="PLANE_WORKSPACE")
    """The workspace's slug, as in its address. Empty: Plane is off."""
    plane_calls_per_minute: int = Field(0, alias="PLANE_CALLS_PER_MINUTE", ge=0, le=100_000)
    """Calls a minute the key may make, all processes together.

    0: 60 on Plane's cloud, elsewhere as many as Plane lets through."""
    plane_settle_seconds: float = Field(10.0, alias="PLANE_SETTLE_SECONDS", ge=0, le=60)
    """The longest Plane works on a request after nobody waits for it any more."""

    google_api_url: str = Field(GOOGLE_API_URL, alias="GOOGLE_API_URL")
    """Google's APIs, without /drive/v3."""
    google_docs_api_url: str = Field("", alias="GOOGLE_DOCS_API_URL")
    """The Docs API. Empty: docs.googleapis.com with Google's own APIs, else where the other APIs are."""
    google_token_url: str = Field("https://oauth2.googleapis.com/token", alias="GOOGLE_TOKEN_URL")
    """Where a refresh token becomes an access token."""
    google_certs_url: str = Field("https://www.googleapis.com/oauth2/v3/certs", alias="GOOGLE_CERTS_URL")
    """The keys behind Google's identity tokens, as JSON web keys."""
    google_client_id: str = Field("", alias="GOOGLE_CLIENT_ID")
    """The OAuth client. Empty: Google is off."""
    google_client_secret: SecretStr = Field(SecretStr(""), alias="GOOGLE_CLIENT_SECRET")
    """Its secret. Empty: Google is off."""
    google_refresh_token: SecretStr = Field(SecretStr(""), alias="GOOGLE_REFRESH_TOKEN")
    """The consent of the account we write as. Empty: Google is off."""
    google_settle_seconds: float = Field(10.0, alias="GOOGLE_SETTLE_SECONDS", ge=0, le=60)
    """The longest Google works on a request after nobody waits for it any more."""

    brave_api_url: str = Field("https://api.search.brave.com", alias="BRAVE_API_URL")
    """Brave's search API, without /res/v1."""
    brave_api_key: SecretStr = Field(SecretStr(""), alias="BRAVE_API_KEY")
    """The subscription's key. Empty: web search is off."""

    mcp_servers: Path | None = Field(None, alias="MCP_SERVERS")
    """TOML file of MCP servers whose tools agents may use. Empty: none (docs/mcp.md)."""
    mcp_server_keys: Json[dict[str, SecretStr]] = Field(
        default_factory=dict, alias="MCP_SERVER_KEYS", validate_default=False
    )
    """Keys of those servers: JSON, as in {"TRACKER_TOKEN": "…"} for "Bearer $TRACKER_TOKEN" in the file."""

    @field_validator("github_app_private_key")
    @classmethod
    def _read_key(cls, key: SecretStr) -> SecretStr:
        text = key.get_secret_value().replace("\\n", "\n")
        try:
            _ = text and serialization.load_pem_private_key(text.encode(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ValueError("is no private key in PEM without a password") from None
        return SecretStr(text)

    @property
    def shared_with(self) -> frozenset[str]:
        """Tenants that may use the credentials of the environment, by slug."""
        return frozenset(each.strip() for each in self.vendors_shared_with.split(",") if each.strip())

    @property
    def settle_seconds(self) -> Mapping[str, float]:
        """The longest a vendor works on a lost request, by the integration of its tools."""
        return {
            "docs": self.google_settle_seconds,
            "drive": self.google_settle_seconds,
            "github": self.github_settle_seconds,
            "plane": self.plane_settle_seconds,
            "slack": self.slack_settle_seconds,
        }

    @property
    def github_app(self) -> GitHubApp:
        """The App's credentials."""
        return GitHubApp(
            api_url=self.github_api_url,
            app_id=self.github_app_id,
            private_key=self.github_app_private_key,
            installation_id=self.github_installation_id,
        )

    @property
    def slack_app(self) -> SlackApp:
        """The app's installation."""
        return SlackApp(api_url=self.slack_api_url, bot_token=self.slack_bot_token)

    @property
    def google_account(self) -> GoogleAccount:
        """The account we write as."""
        return GoogleAccount(
            api_url=self.google_api_url,
            docs_url=self.google_docs_api_url or _docs_url(self.google_api_url),
            token_url=self.google_token_url,
            certs_url=self.google_certs_url,
            client_id=self.google_client_id,
            client_secret=self.google_client_secret,
            refresh_token=self.google_refresh_token,
        )

    @property
    def plane(self) -> PlaneWorkspace:
        """The workspace and our key to it."""
        return PlaneWorkspace(
            api_url=self.plane_api_url,
            api_key=self.plane_api_key,
            slug=self.plane_workspace,
            app_url=self.plane_app_url,
            calls_a_minute=self.plane_calls_per_minute,
        )

    @property
    def brave(self) -> BraveSubscription:
        """Our key to web search."""
        return BraveSubscription(api_url=self.brave_api_url, api_key=self.brave_api_key)


def _docs_url(google_api_url: str) -> str:
    own = google_api_url.rstrip("/") == GOOGLE_API_URL
    return GOOGLE_DOCS_API_URL if own else google_api_url
