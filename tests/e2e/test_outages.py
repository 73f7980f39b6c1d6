"""While something needed is away: nothing acknowledged is lost, and the stack comes back by itself."""

from __future__ import annotations

import asyncio
import io
import re
from typing import Any

import aiohttp
import pytest

from services.cli.embedded import EmbeddedPostgres, EmbeddedTemporal
from tests.e2e.story import PATIENCE_SECONDS, Story

BODY_OVER_THE_LIMIT = 4 * 1024 * 1024 + 1


async def test_with_postgresql_stopped_webhooks_are_refused_and_it_recovers_by_itself(story, monkeypatch):
    owned: list[EmbeddedPostgres] = []
    start = EmbeddedPostgres.start

    async def remember(self: EmbeddedPostgres) -> None:
        owned.append(self)
        await start(self)

    monkeypatch.setattr(EmbeddedPostgres, "start", remember)
    async with story(DATABASE_URL="") as told:
        (server,) = owned
        await server.stop()
        refused = await told.comment("@atlas during the outage")
        await start(server)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await told.comment("@atlas after the outage"))["delivery"]["status_code"] != 202:
                await asyncio.sleep(0.2)
        runs = await told.settled()
    assert 503 == refused["delivery"]["status_code"]
    assert ["success"] == [run["outcome"] for run in runs]


async def test_with_temporal_stopped_comments_are_accepted_and_run_later(story, tmp_path):
    temporal = EmbeddedTemporal(tmp_path / "temporal", None, None, tmp_path / "temporal.log")
    await temporal.start()
    async with story(TEMPORAL_ADDRESS=temporal.address) as told:
        await temporal.stop()
        comment = await told.comment("@atlas how is the cart built?")
        await told.until("SELECT id FROM task_runs WHERE status = 'queued'")
        await temporal.start()
        (run,) = await told.settled()
    await temporal.stop()
    assert (202, "success") == (comment["delivery"]["status_code"], run["outcome"])


@pytest.mark.parametrize("signature", [None, "sha256=" + "0" * 64])
async def test_a_wrong_or_missing_signature_is_refused_counted_and_not_kept(story, signature):
    headers = {"X-GitHub-Event": "issue_comment", "X-GitHub-Delivery": "d-1"}
    if signature:
        headers["X-Hub-Signature-256"] = signature
    async with story() as told, aiohttp.ClientSession(told.stack.gateway_url) as session:
        kept, counted = await inbox(told), await refused(session)
        answer = await session.post("/webhooks/github", data=b'{"secret": 1}', headers=headers)
        assert 401 == answer.status
        assert kept == await inbox(told)
        assert counted + 1 == await refused(session)


async def inbox(told: Story) -> list[dict[str, Any]]:
    return await told.rows("SELECT count(*) AS n FROM webhook_deliveries")


async def refused(session: aiohttp.ClientSession) -> float:
    metrics = await (await session.get("/metrics")).text()
    found = re.search(r'astra_webhooks_total\{source="github",status="401"\} (\S+)', metrics)
    return float(found[1]) if found else 0.0


async def test_a_body_over_the_limit_is_refused(story):
    async with story() as told, aiohttp.ClientSession(told.stack.gateway_url) as session:
        answer = await session.post("/webhooks/github", data=io.BytesIO(b"x" * BODY_OVER_THE_LIMIT))
    assert 413 == answer.status
