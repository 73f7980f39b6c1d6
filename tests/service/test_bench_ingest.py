"""The load and slack_bolt's rival of `make bench ingest`, over real connections: what its figures rest on."""

from __future__ import annotations

from collections import Counter

from aiohttp import web
from aiohttp.test_utils import TestServer
from psycopg_pool import AsyncConnectionPool

from scripts.ingest_bench import webhooks
from scripts.ingest_bench.load import send
from scripts.ingest_bench.reference import POOL, TABLE, receive
from scripts.ingest_bench.rounds import check


async def test_the_load_sends_each_webhook_once_and_the_reference_keeps_it_as_it_came(database_urls):
    names = webhooks.names("A", 40)
    settings = {"autocommit": True}
    async with AsyncConnectionPool(database_urls.owner, max_size=4, kwargs=settings, open=False) as pool:
        app = web.Application()
        app.router.add_post("/webhooks/slack", receive)
        app[POOL] = pool
        async with pool.connection() as connection:
            await connection.execute(TABLE)
        async with TestServer(app) as server:
            sent = await send(str(server.make_url("/webhooks/slack")), [*names, names[0]], lanes=8)
        async with pool.connection() as connection:
            rows = await (
                await connection.execute("SELECT external_id, sha256(body) FROM deliveries")
            ).fetchall()

    assert Counter({"202": 41}) == sent["statuses"]
    assert len(names) == len(rows)
    check("reference", names, {name: bytes(digest) for name, digest in rows})
