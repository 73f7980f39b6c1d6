"""The base of every service's settings: typed, frozen, read once from the environment and `.env`."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """What every service reads. A missing or odd value stops start-up, naming the variable."""

    model_config = SettingsConfigDict(
        env_file=".env",
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
        hide_input_in_errors=True,  # what stops start-up may be a secret that is cut short
    )

    host: str = Field("127.0.0.1", alias="HOST")
    """Address the service listens on."""
    log_level: str = Field("INFO", alias="LOG_LEVEL")
    """DEBUG, INFO, WARNING or ERROR."""
    astra_address: str = Field("127.0.0.1:7001", alias="ASTRA_ADDRESS")
    """Where Astra, the system of record, listens."""
    astra_token: SecretStr = Field(alias="ASTRA_TOKEN")
    """This service's own bearer token, shown to every service it calls."""
