"""Astra's settings."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator

from services.astra.envelope import read_keys
from services.common.settings import ServiceSettings


class AstraSettings(ServiceSettings):
    """What Astra reads from the environment."""

    database_url: SecretStr = Field(alias="DATABASE_URL")
    """libpq URL as role astra_service; a role that looks past row-level security is refused."""
    relay_database_url: SecretStr = Field(alias="RELAY_DATABASE_URL")
    """libpq URL of the same database as role astra_relay."""
    vault_key: SecretStr = Field(SecretStr(""), alias="VAULT_KEY")
    """Keys that seal the vault's tokens, as <id>:<32 bytes in base64>. Several, with commas between them: the
    first one seals, all of them open. Empty: the vault is off."""
    port: int = Field(7001, alias="ASTRA_PORT", ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""
    sweep_interval_seconds: float = Field(60.0, alias="ASTRA_SWEEP_INTERVAL_SECONDS", gt=0)
    """Seconds between two looks for runs past their deadline."""

    @field_validator("vault_key")
    @classmethod
    def _keys_are_whole(cls, value: SecretStr) -> SecretStr:
        read_keys(value.get_secret_value())
        return value
