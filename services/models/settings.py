"""What the models service reads from its environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from services.common.settings import ServiceSettings


class ModelsSettings(ServiceSettings):
    """Settings of the models service."""

    port: int = Field(7003, alias="MODELS_PORT")
    """Port it listens on; 0 takes a free one."""
    default_model: str = Field("rehearsal", alias="DEFAULT_MODEL")
    """Alias of the model that answers when a comment names none."""
    openai_base_url: str = Field("", alias="OPENAI_BASE_URL")
    """Any OpenAI-compatible server, as in http://127.0.0.1:8000/v1. Empty: its models are off."""
    openai_api_key: SecretStr = Field(SecretStr(""), alias="OPENAI_API_KEY")
    """Its key. Empty: the server asks for none."""
    openai_model: str = Field("local", alias="OPENAI_MODEL")
    """That server's own name of the model behind the alias `local`."""
    script: Path | None = Field(None, alias="MODELS_SCRIPT")
    """A script for the model `scripted`, see scripted.py. Unset: there is no such model."""
    script_log: Path | None = Field(None, alias="MODELS_SCRIPT_LOG")
    """File that gets one line for each call of `scripted`. Unset: calls are counted in memory."""
