"""Health, readiness and metrics."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import grpc
from aiohttp import web
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from gateway.parts import PARTS, Parts

CHECK_TIMEOUT_SECONDS = 2.0


async def live(_request: web.Request) -> web.Response:
    """200 while the process answers."""
    return web.json_response({"status": "ok"})


async def ready(request: web.Request) -> web.Response:
    """200 when work can be accepted and handled; else 503 naming what is missing."""
    parts = request.app[PARTS]
    answers = await asyncio.gather(*(_serving(parts, name) for name in parts.health))
    missing = [name for name, serving in zip(parts.health, answers, strict=True) if not serving]
    status = HTTPStatus.SERVICE_UNAVAILABLE if missing else HTTPStatus.OK
    response = web.json_response({"ready": not missing, "missing": missing}, status=status)
    if missing:
        response.headers["Retry-After"] = "5"
    return response


async def metrics(_request: web.Request) -> web.Response:
    """Prometheus' text format."""
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _serving(parts: Parts, name: str) -> bool:
    try:
        stub: Any = parts.health[name]  # its types know no methods
        answer = await stub.Check(HealthCheckRequest(), timeout=CHECK_TIMEOUT_SECONDS)
    except grpc.aio.AioRpcError:
        return False
    return answer.status == HealthCheckResponse.SERVING
