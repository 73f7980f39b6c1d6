"""The worker's settings, read once from the environment."""

from __future__ import annotations

from pydantic import Field

from services.common.settings import ServiceSettings


class WorkerSettings(ServiceSettings):
    """Where the worker finds Temporal and the other services, and how much it takes on at once."""

    health_port: int = Field(7005, alias="WORKER_HEALTH_PORT", ge=0, le=65535)
    """Port of the health service; 0 takes a free one."""
    dispatcher_address: str = Field("127.0.0.1:7002", alias="DISPATCHER_ADDRESS")
    """Where the dispatcher listens."""
    models_address: str = Field("127.0.0.1:7003", alias="MODELS_ADDRESS")
    """Where the models service listens."""
    tools_address: str = Field("127.0.0.1:7004", alias="TOOLS_ADDRESS")
    """Where the tools service listens."""
    temporal_address: str = Field("127.0.0.1:7233", alias="TEMPORAL_ADDRESS")
    """Where Temporal's frontend listens."""
    temporal_namespace: str = Field("default", alias="TEMPORAL_NAMESPACE")
    """Namespace the workflows live in."""
    heartbeat_seconds: float = Field(10.0, alias="WORKER_HEARTBEAT_SECONDS", ge=1.0, le=300.0)
    """After this long without a sign of life, a run is handed to another worker."""
    activities_max: int = Field(50, alias="WORKER_ACTIVITIES_MAX", ge=1, le=1000)
    """Runs one worker process works on at once."""
    budget_wait_seconds: float = Field(86_400.0, alias="BUDGET_WAIT_SECONDS", ge=1.0, le=172_800.0)
    """How long a run that reached a cap on spending waits for somebody to raise it before it fails."""
    resolve_after: str = Field("", alias="RESOLVE_AFTER", pattern=r"^([a-z_]+(,[a-z_]+)*)?$")
    """Operations, with commas, whose answer also resolves the thread though nobody asked. Empty: none."""
