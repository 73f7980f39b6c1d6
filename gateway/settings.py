"""What the gateway reads from its environment."""

from __future__ import annotations

from pydantic import Field

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
    """Where the tools service listens, for readiness. Empty: it is not asked."""
    worker_address: str = Field("", alias="WORKER_ADDRESS")
    """Where the worker's health is asked, for readiness. Empty: it is not asked."""
    webhook_body_bytes_max: int = Field(4 * MEBIBYTE, alias="WEBHOOK_BODY_BYTES_MAX", gt=0, le=16 * MEBIBYTE)
    """Longest body taken, in bytes; longer ones are answered with 413. At most 16 MiB."""
