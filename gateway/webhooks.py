"""POST /webhooks/{source}[/{tenant}]: the dispatcher gets the delivery as it came."""

from __future__ import annotations

import time

from aiohttp import web
from google.protobuf.timestamp_pb2 import Timestamp
from prometheus_client import Counter

from aucert.dispatcher.v1.delivery_pb2 import Delivery, Header
from gateway.parts import PARTS

WEBHOOKS = Counter("astra_webhooks_total", "Webhooks answered.", ["source", "status"])
NANOS = 1_000_000_000
ALIASES = {"drive": "google-drive"}
"""Other names of sources in the path."""


async def receive(request: web.Request) -> web.Response:
    """Answer once the dispatcher has committed the delivery or refused it."""
    named = request.match_info["source"]
    source = ALIASES.get(named, named)
    status = "failed"
    try:
        response = await _receive(request, source)
        status = str(response.status)
        return response
    except web.HTTPException as error:
        status = str(error.status)
        raise
    finally:
        WEBHOOKS.labels(source, status).inc()


async def _receive(request: web.Request, source: str) -> web.Response:
    body = await request.read()
    seconds, nanos = divmod(time.time_ns(), NANOS)
    # aiohttp takes fewer headers than the contract allows, so no sender can spoil the batch of others.
    headers = [Header(name=name, value=_utf8(value)) for name, value in request.headers.items()]
    result = await request.app[PARTS].batcher.ingest(
        Delivery(
            source=source,
            tenant=request.match_info.get("tenant", ""),
            headers=headers,
            body=body,
            received_time=Timestamp(seconds=seconds, nanos=nanos),
        )
    )
    response = web.Response(
        status=result.http_status, body=result.body, headers={"Content-Type": result.content_type}
    )
    if result.HasField("retry_after"):
        response.headers["Retry-After"] = str(max(1, result.retry_after.seconds))
    return response


def _utf8(value: str) -> str:
    """aiohttp keeps odd bytes of a header as surrogates, which protobuf refuses."""
    return value if value.isascii() else value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
