"""The reference: what one writes in an afternoon. aiohttp, the signature, one committed INSERT a request.

It refuses, dedupes and answers as Astra does, and keeps the same columns; it has no hop, no tenants and no
order. A process of its own: `python -m scripts.ingest_bench.reference PORT`, DATABASE_URL in the environment.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import uvloop
from aiohttp import web
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from scripts.ingest_bench.webhooks import SECRET

POOL_SIZE = 16
AGE_SECONDS_MAX = 300
KEPT_HEADERS = ("content-type", "x-slack-retry-num", "x-slack-retry-reason")
POOL: web.AppKey[AsyncConnectionPool[Any]] = web.AppKey("pool", AsyncConnectionPool)

TABLE = """
CREATE TABLE IF NOT EXISTS deliveries (
    id uuid PRIMARY KEY,
    source text NOT NULL,
    external_id text NOT NULL,
    headers jsonb NOT NULL,
    body bytea NOT NULL,
    status text NOT NULL DEFAULT 'pending',
    received_time timestamptz NOT NULL DEFAULT now(),
    UNIQUE (source, external_id))
"""
INSERT = """
INSERT INTO deliveries (id, source, external_id, headers, body) VALUES (%b, 'slack', %b, %b, %b)
ON CONFLICT DO NOTHING
"""


async def receive(request: web.Request) -> web.Response:
    """Verify, store, answer."""
    body = await request.read()
    told = request.headers.get("X-Slack-Request-Timestamp", "")
    expected = hmac.new(SECRET.encode(), f"v0:{told}:".encode() + body, hashlib.sha256).hexdigest()
    genuine = hmac.compare_digest(f"v0={expected}", request.headers.get("X-Slack-Signature", ""))
    if not (genuine and abs(time.time() - int(told)) <= AGE_SECONDS_MAX):
        raise web.HTTPUnauthorized
    kept = {name: request.headers[name] for name in KEPT_HEADERS if name in request.headers}
    delivery_id = uuid.uuid4()
    async with request.app[POOL].connection() as connection:  # autocommit: the INSERT is the transaction
        await connection.execute(INSERT, (delivery_id, json.loads(body)["event_id"], Jsonb(kept), body))
    return web.json_response({"delivery_id": str(delivery_id)}, status=202)


async def pool(app: web.Application) -> AsyncIterator[None]:
    """Connections to the table, which is made if it is not there."""
    settings = {"autocommit": True, "prepare_threshold": 0}
    opened: AsyncConnectionPool[Any] = AsyncConnectionPool(
        os.environ["DATABASE_URL"], min_size=POOL_SIZE, max_size=POOL_SIZE, kwargs=settings, open=False
    )
    async with opened:
        async with opened.connection() as connection:
            await connection.execute(TABLE)
        app[POOL] = opened
        yield


async def serve(app: web.Application, port: int) -> None:
    """Serve until this process is ended."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


def main() -> None:
    """Serve the handler."""
    app = web.Application()
    app.router.add_post("/webhooks/slack", receive)
    app.cleanup_ctx.append(pool)
    uvloop.run(serve(app, int(sys.argv[1])))


if __name__ == "__main__":
    main()
