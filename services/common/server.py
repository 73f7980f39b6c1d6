"""Start, watch and drain a gRPC server: the same for every service.

Health tells the truth: a service is SERVING while everything it depends on answers, checked every
HEALTH_INTERVAL_SECONDS. Under the name LIVENESS it is SERVING as long as this process answers at all: what is
away does not come back by starting this one anew. Health and reflection bypass the call limit (see
`door.py`), so load does not make probes fail.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.common.channels import MESSAGE_BYTES_MAX
from services.common.door import Door
from services.common.identity import Authenticator
from services.common.told import ToldToPeople

CALLS_MAX = 1_000
DRAIN_SECONDS = 10.0
HEALTH_INTERVAL_SECONDS = 2.0
HEALTH_CHECK_TIMEOUT_SECONDS = 2.0
LIVENESS = "liveness"
CONNECTION_AGE_MAX_MS = 5 * 60 * 1000
"""Then callers connect anew, looking the name up again: so a server that was added gets its share."""
_OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.so_reuseport", 0),  # a second server on the port is an error, not a silent rival
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),  # our channels ping every 30 s
    ("grpc.max_connection_age_ms", CONNECTION_AGE_MAX_MS),  # calls under way on it go on to their end
]
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Registration:
    """One servicer: its full service name, the generated function that adds it, the servicer."""

    service: str
    add: Callable[[Any, grpc.aio.Server], None]
    servicer: object


@dataclass(frozen=True, slots=True)
class Dependency:
    """Something a service cannot do without; `check` raises while it is away."""

    name: str
    check: Callable[[], Awaitable[object]]


@dataclass(slots=True)
class RunningServer:
    """A server that accepts calls. `missing` names the dependencies that do not answer."""

    name: str
    address: str
    port: int
    missing: list[str] = field(default_factory=list)


class PortTaken(ToldToPeople):
    """Another program listens where this service should."""

    def __init__(self, service: str, host: str, port: int) -> None:
        super().__init__(
            f"{service} cannot listen on {host}:{port}: another program does. Stop it or choose another port."
        )


@asynccontextmanager
async def serve(
    *,
    name: str,
    host: str,
    port: int,
    registrations: Sequence[Registration],
    authenticator: Authenticator,
    dependencies: Sequence[Dependency] = (),
    calls_max: int = CALLS_MAX,
    drain_seconds: float = DRAIN_SECONDS,
) -> AsyncIterator[RunningServer]:
    """Serve until the block is left, then refuse new calls and give those under way `drain_seconds`.

    Port 0 takes a free one. Raises PortTaken.
    """
    server = grpc.aio.server(interceptors=[Door(authenticator, calls_max=calls_max)], options=_OPTIONS)
    for each in registrations:
        each.add(each.servicer, server)
    health_servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    names = [each.service for each in registrations]
    reflection.enable_server_reflection((*names, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    try:
        bound = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError:
        raise PortTaken(name, host, port) from None
    running = RunningServer(name=name, address=f"{host}:{bound}", port=bound)
    probe = _Probe(running, health_servicer, ("", *names), dependencies)
    await probe.once()
    await health_servicer.set(LIVENESS, health_pb2.HealthCheckResponse.SERVING)
    await server.start()
    log.info("serving", service=name, address=running.address, missing=running.missing)
    watching = asyncio.create_task(probe.forever())
    try:
        yield running
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        await health_servicer.enter_graceful_shutdown()
        await server.stop(drain_seconds)
        log.info("stopped", service=name)


class _Probe:
    """Keeps the health answers in step with the dependencies."""

    def __init__(
        self,
        running: RunningServer,
        servicer: health.aio.HealthServicer,
        services: tuple[str, ...],
        dependencies: Sequence[Dependency],
    ) -> None:
        self._running = running
        self._servicer = servicer
        self._services = services
        self._dependencies = dependencies
        self._said: bool | None = None

    async def once(self) -> None:
        answers = await asyncio.gather(*(self._answers(each) for each in self._dependencies))
        self._running.missing = [
            each.name for each, answered in zip(self._dependencies, answers, strict=True) if not answered
        ]
        healthy = not self._running.missing
        if healthy == self._said:
            return
        self._said = healthy
        status = (
            health_pb2.HealthCheckResponse.SERVING if healthy else health_pb2.HealthCheckResponse.NOT_SERVING
        )
        for service in self._services:
            await self._servicer.set(service, status)
        log.info("health", service=self._running.name, serving=healthy, missing=self._running.missing)

    async def forever(self) -> None:
        while True:
            await asyncio.sleep(HEALTH_INTERVAL_SECONDS)
            await self.once()

    async def _answers(self, dependency: Dependency) -> bool:
        try:
            async with asyncio.timeout(HEALTH_CHECK_TIMEOUT_SECONDS):
                await dependency.check()
        except Exception:  # noqa: BLE001 - whatever it is, the dependency is not usable
            return False
        return True
