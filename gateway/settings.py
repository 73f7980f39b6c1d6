"""What the gateway reads from its environment."""

from __future__ import annotations

from cryptography.fernet import Fernet
from pydantic import Field, SecretStr, field_validator

from services.common.settings import ServiceSettings

MEBIBYTE = 1024 * 1024


class GatewaySettings(ServiceSettings):
    """Settings of the gateway."""

    port: int = Field(8080, alias="GATEWAY_PORT")
    """Port it listens on; 0 takes a free one."""
    dispatcher_address: str = Field("127.0.0.1:7002", alias="DISPATCHER_ADDRESS")
    """Where the dispatcher listens."""
    models_address: str = Field("", alias="MODELS_ADDRESS")
    """Where the models service listens, for readiness. Empty: it is not asked."""
    tools_address: str = Field("", alias="TOOLS_ADDRESS")
    """Where the tools service listens, for MCP and readiness. Empty: MCP is off and it is not asked."""
    mcp_hosts: str = Field("", alias="MCP_HOSTS")
    """Host names, with commas, that MCP clients call the gateway by, besides those of its own machine. A
    request with another name in Host or Origin is refused, so that no page of a browser can reach it."""
    worker_address: str = Field("", alias="WORKER_ADDRESS")
    """Where the worker's health is asked, for readiness. Empty: it is not asked."""
    webhook_body_bytes_max: int = Field(4 * MEBIBYTE, alias="WEBHOOK_BODY_BYTES_MAX", gt=0, le=16 * MEBIBYTE)
    """Longest body taken, in bytes; longer ones are answered with 413. At most 16 MiB."""
    console_session_key: SecretStr = Field(SecretStr(""), alias="CONSOLE_SESSION_KEY")
    """Seals the console's sessions, the same for all gateways: 32 bytes in URL-safe base64. Several, with
    commas between them: the first one seals, all of them open. Empty: the console is off."""

    @property
    def hosts_of_mcp(self) -> tuple[str, ...]:
        """The names in MCP_HOSTS."""
        return tuple(each.strip() for each in self.mcp_hosts.split(",") if each.strip())

    @field_validator("console_session_key")
    @classmethod
    def _keys_are_whole(cls, value: SecretStr) -> SecretStr:
        for key in session_keys(value):
            try:
                Fernet(key)
            except ValueError:
                raise ValueError("each key is 32 bytes in URL-safe base64") from None
        return value


def session_keys(setting: SecretStr) -> list[str]:
    """The keys in the setting, none when it is empty."""
    return [key.strip() for key in setting.get_secret_value().split(",") if key.strip()]
