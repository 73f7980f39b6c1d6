"""Channels between services: a server replaced under its name is found again."""

from __future__ import annotations

import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1.health import aio
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub, add_HealthServicer_to_server

from services.common.channels import connect
from tests.processes.names import serving_names


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127/8 on the loopback")
async def test_a_server_replaced_under_its_name_is_found_within_the_time_of_a_call():
    network = f"127.{secrets.randbelow(200) + 20}.{secrets.randbelow(250) + 1}"
    async with serving_names() as names:
        async with health_server(f"{network}.1:0") as port:
            names.zone["record"] = [f"{network}.1"]
            channel = connect(f"dns://127.0.0.1:{names.port}/record:{port}", "token")
            health: Any = HealthStub(channel)  # its types know no methods
            await health.Check(HealthCheckRequest())
        async with health_server(f"{network}.2:{port}"):
            names.zone["record"] = [f"{network}.2"]
            # As gRPC is shipped, it would look the name up again only after the call's time is over.
            answer = await health.Check(HealthCheckRequest(), wait_for_ready=True)
        await channel.close()
    assert 1 == answer.status


@asynccontextmanager
async def health_server(address: str) -> AsyncIterator[int]:
    """A server that answers health checks; its port."""
    server = grpc.aio.server()
    add_HealthServicer_to_server(aio.HealthServicer(), server)
    port = server.add_insecure_port(address)
    await server.start()
    yield port
    await server.stop(None)
