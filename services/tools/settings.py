"""What the tools service reads from its environment."""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from pydantic import Field, SecretStr, field_validator

from services.common.settings import ServiceSettings
from services.tools.github_client import GitHubApp

GIBIBYTE = 1024**3


class ToolsSettings(ServiceSettings):
    """Settings of the tools service."""

    port: int = Field(7004, alias="TOOLS_PORT")
    """Port it listens on; 0 takes a free one."""
    workspace_dir: Path = Field(Path(".astra/workspace"), alias="WORKSPACE_DIR")
    """Folder of the repositories' mirrors; processes may share it."""
    workspace_bytes_max: int = Field(20 * GIBIBYTE, alias="WORKSPACE_BYTES_MAX", gt=0)
    """Most bytes of mirrors that no run needs."""
    repository_bytes_max: int = Field(4 * GIBIBYTE, alias="REPOSITORY_BYTES_MAX", gt=0)
    """Most bytes of one mirror."""
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
    def github_app(self) -> GitHubApp:
        """The App's credentials."""
        return GitHubApp(
            api_url=self.github_api_url,
            app_id=self.github_app_id,
            private_key=self.github_app_private_key,
            installation_id=self.github_installation_id,
        )
