"""Health, readiness and metrics."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import grpc
from aiohttp import web
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from aucert.astra.v1.token_vault_service_pb2 import GetVaultRequest
from aucert.dispatcher.v1.dispatcher_service_pb2 import ListSourcesRequest
from aucert.models.v1.model_service_pb2 import ListModelsRequest
from gateway.console.parts import CONSOLE, Console
from gateway.parts import PARTS, Parts

CHECK_TIMEOUT_SECONDS = 2.0
NEEDED_TO_ACCEPT = frozenset({"dispatcher", "astra"})


async def live(_request: web.Request) -> web.Response:
    """200 while the process answers."""
    return web.json_response({"status": "ok"})


async def ready(request: web.Request) -> web.Response:
    """200 while work can be accepted, else 503.

    `missing` names all that are away, those included without which accepted work waits. `sources` says which
    sources of webhooks are on and what the others miss; null: the dispatcher could not be asked. `models`
    says the same of models; null: they could not be asked. `vault` says whether tokens can be kept; null:
    Astra could not be asked. `console` says whether its pages are shown.
    """
    parts = request.app[PARTS]
    sources, models, vault, *answers = await asyncio.gather(
        _sources(parts), _models(parts), _vault(parts), *(_serving(parts, name) for name in parts.health)
    )
    missing = [name for name, serving in zip(parts.health, answers, strict=True) if not serving]
    is_ready = NEEDED_TO_ACCEPT.isdisjoint(missing)
    response = web.json_response(
        {
            "ready": is_ready,
            "missing": missing,
            "sources": sources,
            "models": models,
            "vault": vault,
            "console": _console(request.app[CONSOLE]),
        },
        status=HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE,
    )
    if not is_ready:
        response.headers["Retry-After"] = "5"
    return response


async def metrics(_request: web.Request) -> web.Response:
    """Prometheus' text format."""
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _sources(parts: Parts) -> list[dict[str, object]] | None:
    try:
        answer = await parts.dispatcher.ListSources(ListSourcesRequest(), timeout=CHECK_TIMEOUT_SECONDS)
    except grpc.aio.AioRpcError:
        return None
    return [{"name": each.name, "on": each.on, "off_reason": each.off_reason} for each in answer.sources]


async def _models(parts: Parts) -> list[dict[str, object]] | None:
    if parts.models is None:
        return None
    try:
        answer = await parts.models.ListModels(ListModelsRequest(), timeout=CHECK_TIMEOUT_SECONDS)
    except grpc.aio.AioRpcError:
        return None
    return [
        {"name": each.alias, "on": each.available, "off_reason": each.off_reason} for each in answer.models
    ]


async def _vault(parts: Parts) -> dict[str, object] | None:
    try:
        answer = await parts.vault.GetVault(GetVaultRequest(), timeout=CHECK_TIMEOUT_SECONDS)
    except grpc.aio.AioRpcError:
        return None
    return {"on": answer.on, "off_reason": answer.off_reason}


def _console(console: Console) -> dict[str, object]:
    on = console.sessions is not None
    return {"on": on, "off_reason": "" if on else "not set: CONSOLE_SESSION_KEY"}


async def _serving(parts: Parts, name: str) -> bool:
    try:
        stub: Any = parts.health[name]  # its types know no methods
        answer = await stub.Check(HealthCheckRequest(), timeout=CHECK_TIMEOUT_SECONDS)
    except grpc.aio.AioRpcError:
        return False
    return answer.status == HealthCheckResponse.SERVING
