"""Catch-up: what webhooks failed to tell goes the way of all deliveries, once, from a cursor that waits."""

from __future__ import annotations

import asyncio
import json
import uuid
from datetime import timedelta
from typing import Any

import pytest

from aucert.dispatcher.v1.dispatcher_service_pb2 import IngestWebhooksRequest
from aucert.tools.v1.catch_up_service_pb2 import MissedDelivery, ScanContainerResponse
from services.astra.seed import DEFAULT_TENANT_ID
from services.common.database import Database
from services.common.errors import Exhausted, Refused, ServiceError, Unavailable
from services.dispatcher.catch_up import CatchUp, Place
from services.dispatcher.container_reader import ContainerBusy
from services.dispatcher.cursor_store import CursorStore
from tests.service.dispatcher_parts import payload, staged, until, webhook
from tests.service.test_dispatcher_slack import LATER_TS, delivery, heard
from tests.slack_payloads import CHANNEL, MENTION, TS, encoded, mention, message

SHOP, DIRECT = "slack:t0acme/c0shop", "slack:t0acme/im"


@pytest.fixture
async def stage(database_urls):
    async with staged(database_urls, CATCH_UP_INTERVAL_SECONDS=0.05) as stage:
        stage.world.talks[TS] = heard(TS)
        stage.world.talks[LATER_TS] = heard(LATER_TS)
        yield stage


def missed(ts: str = TS) -> MissedDelivery:
    told = message(f"{MENTION} why?", ts=ts)
    return MissedDelivery(external_id=f"catch-up/{CHANNEL}/{ts}", body=encoded(told))


async def cursor_is(stage, cursor: str) -> None:
    async def reached() -> bool:
        rows = await stage.rows("SELECT cursor FROM source_cursors WHERE container = %s", SHOP)
        return [{"cursor": cursor}] == rows

    await until(reached)


async def test_a_message_no_webhook_told_becomes_a_run(stage):
    stage.world.missed.append(ScanContainerResponse(deliveries=[missed()], next_cursor="7"))
    await cursor_is(stage, "7")

    async def run() -> bool:
        return bool(stage.world.runs)

    await until(run)
    assert [f"default/slack/T0ACME/{CHANNEL}/{TS}"] == [
        each.workflow_id for each in stage.world.runs.values()
    ]
    scanned = {each.container for each in stage.world.scanned}
    assert {SHOP, DIRECT} == {each for each in scanned if each.startswith("slack:")}


async def test_what_a_webhook_told_already_is_nothing_new(stage):
    response = await stage.gateway.IngestWebhooks(IngestWebhooksRequest(deliveries=[delivery(mention())]))
    await stage.settled(response.results[0].delivery_id)
    stage.world.missed.append(ScanContainerResponse(deliveries=[missed()], next_cursor="7"))
    await cursor_is(stage, "7")

    async def settled() -> bool:
        rows = await stage.rows("SELECT status FROM webhook_deliveries")
        return [{"status": "done"}] * 2 == rows

    await until(settled)
    assert [{"count": 1}] == await stage.rows("SELECT count(*) FROM thread_events")
    assert 1 == len(stage.world.runs)


async def test_while_more_is_waiting_it_asks_again_from_where_it_got_to(stage):
    stage.world.missed += [
        ScanContainerResponse(deliveries=[missed()], next_cursor="7", more=True),
        ScanContainerResponse(deliveries=[missed(LATER_TS)], next_cursor="8"),
    ]
    await cursor_is(stage, "8")

    asked = [each.cursor for each in stage.world.scanned if each.container == SHOP]
    assert "7" in asked
    assert [{"count": 2}] == await stage.rows("SELECT count(*) FROM webhook_deliveries")


async def test_a_vendor_that_is_away_keeps_the_cursor_where_it_was(database_urls):
    async with staged(database_urls, CATCH_UP_INTERVAL_SECONDS=0.05) as stage:
        stage.world.missed.append(ScanContainerResponse(next_cursor="7"))
        await cursor_is(stage, "7")
        stage.world.failing["ScanContainer"] = Unavailable("Slack is away.", reason="VENDOR_UNAVAILABLE")

        async def noticed() -> bool:
            return "ScanContainer" in stage.world.failed

        await until(noticed)
        stage.world.scanned.clear()
        stage.world.failing.clear()
        stage.world.missed.append(ScanContainerResponse(next_cursor="9"))
        await cursor_is(stage, "9")

    assert "7" == next(each.cursor for each in stage.world.scanned if each.container == SHOP)


@pytest.mark.parametrize(
    ("error", "soon"),
    [
        (Unavailable("Slack is away.", reason="VENDOR_UNAVAILABLE"), [15.0]),
        (Exhausted("Slow down.", reason="VENDOR_RATE_LIMITED", retry_after=timedelta(seconds=40)), [40.0]),
        (Exhausted("Slow down.", reason="VENDOR_RATE_LIMITED", retry_after=timedelta(seconds=1)), [15.0]),
        (Refused("No such channel.", reason="VENDOR_REFUSED"), []),
        (ServiceError("A defect."), []),
        (ContainerBusy(), []),
        (ValueError("A defect."), []),
    ],
)
async def test_what_is_away_is_tried_again_soon_and_what_is_refused_waits_for_the_next_pass(error, soon):
    read, woken = list[str](), list[None]()

    class Reader:
        async def read(self, tenant_id: str, source: str, container: str) -> None:
            read.append(container)
            if container == SHOP:
                raise error

    parts: dict[str, Any] = dict.fromkeys(("logs", "registry", "tenants"))
    reader: Any = Reader()
    catch_up = CatchUp(reader=reader, names=[], logged=[], wake=lambda: woken.append(None), **parts)
    places = [Place(DEFAULT_TENANT_ID, "slack", each) for each in (SHOP, DIRECT)]
    now = asyncio.get_running_loop().time()
    away = await catch_up.read(places)

    assert [SHOP, DIRECT] == read
    assert [None] == woken
    assert [(places[0], seconds) for seconds in soon] == [
        (place, round(time - now)) for place, time in away.items()
    ]


async def test_every_tenant_is_caught_up_and_the_log_of_deliveries_once(database_urls):
    async with staged(database_urls, CATCH_UP_INTERVAL_SECONDS=0.05) as stage:
        other = str(uuid.uuid4())
        stage.world.tenants["other"] = other
        await stage.rows("INSERT INTO tenants VALUES (%s, 'other', 'Other')", other)

        async def read() -> bool:
            rows = await stage.rows("SELECT tenant_id, container FROM source_cursors")
            found = {(str(row["tenant_id"]), row["container"]) for row in rows}
            return {(tenant, SHOP) for tenant in (DEFAULT_TENANT_ID, other)} <= found and bool(
                stage.world.logs_read
            )

        await until(read)
        rows = await stage.rows("SELECT tenant_id FROM source_cursors WHERE container = 'github:deliveries'")

    assert [DEFAULT_TENANT_ID] == [str(row["tenant_id"]) for row in rows]
    assert ["github"] == list({each.source for each in stage.world.logs_read})
    assert "" == stage.world.logs_read[0].cursor


async def test_what_github_failed_to_bring_is_handled_as_its_webhook_would_be(stage):
    told = payload(body="@atlas why?")
    headers = {"x-github-event": "issue_comment", "x-github-delivery": "catch-up/issue_comment/7"}
    found = MissedDelivery(
        external_id=headers["x-github-delivery"], body=json.dumps(told).encode(), headers=headers
    )
    stage.world.readings["github:acme/shop"] = [ScanContainerResponse(deliveries=[found], next_cursor="7")]

    async def run() -> bool:
        return bool(stage.world.runs)

    await until(run)
    await stage.gateway.IngestWebhooks(IngestWebhooksRequest(deliveries=[webhook(told)]))

    async def settled() -> bool:
        rows = await stage.rows("SELECT status FROM webhook_deliveries WHERE source = 'github'")
        return [{"status": "done"}] * 2 == rows

    await until(settled)
    keys = await stage.rows("SELECT DISTINCT order_key FROM webhook_deliveries WHERE source = 'github'")
    assert 1 == len(keys)
    assert 1 == len(stage.world.runs)


async def test_the_threads_of_late_are_named(stage):
    response = await stage.gateway.IngestWebhooks(IngestWebhooksRequest(deliveries=[delivery(mention())]))
    await stage.settled(response.results[0].delivery_id)
    stage.world.scanned.clear()

    async def named() -> bool:
        return any(each.threads for each in stage.world.scanned)

    await until(named)
    (thread,) = next(each.threads for each in stage.world.scanned if each.threads)
    assert (CHANNEL, TS) == (thread.slack.channel_id, thread.slack.thread_ts)


async def test_one_reads_a_container_at_a_time(database_urls):
    database = Database(database_urls.service, application="test")
    cursors, where = CursorStore(database), (DEFAULT_TENANT_ID, "slack", SHOP)
    first, second = await cursors.claim(*where), await cursors.claim(*where)
    await cursors.move(*where, "7")
    await cursors.release(*where)
    third = await cursors.claim(*where)
    await database.close()

    assert ("", None, "7") == (first, second, third)
