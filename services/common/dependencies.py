"""Checks for `Dependency`: what a service asks of those it cannot do without."""

from __future__ import annotations

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from services.common.errors import Unavailable
from services.common.server import Dependency


def service_dependency(name: str, channel: grpc.aio.Channel) -> Dependency:
    """Another service, asked for its health."""
    health = HealthStub(channel)

    async def check() -> None:
        # The package's types know the attributes of the servicer only.
        answer: HealthCheckResponse = await health.Check(HealthCheckRequest())  # pyright: ignore[reportAttributeAccessIssue]
        if answer.status != HealthCheckResponse.SERVING:
            raise Unavailable(f"{name} is not serving.")

    return Dependency(name, check)
