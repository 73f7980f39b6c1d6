"""The inbox as people see it: listed, shown, handled again, and forgotten after its time."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta

import grpc
import pytest

from aucert.dispatcher.v1 import dispatcher_service_pb2 as pb
from aucert.dispatcher.v1.dispatcher_service_pb2_grpc import DispatcherServiceStub
from aucert.dispatcher.v1.kept_delivery_pb2 import (
    DELIVERY_STATUS_DONE,
    DELIVERY_STATUS_IGNORED,
    DELIVERY_STATUS_PENDING,
)
from services.astra.principals import PRINCIPALS
from services.astra.seed import DEFAULT_TENANT_ID
from services.cli import delivery_commands
from services.common.channels import connect
from services.common.database import Database
from services.dispatcher import convert, delivery_store, handler, retention
from services.dispatcher.delivery_store import DeliveryStore
from services.dispatcher.refusals import RefusalCounts, RefusalStore
from services.dispatcher.retention import Kept, Retention
from tests.service.dispatcher_parts import payload, staged, webhook
from tests.service.tools_stage import reason_of

TALK = "talk among people"


@pytest.fixture
async def stage(database_urls):
    async with staged(database_urls) as stage:
        yield stage


@pytest.fixture
async def databases(database_urls):
    service, relay = (
        Database(database_urls.service, application="t"),
        Database(database_urls.relay, application="t"),
    )
    yield service, relay
    await service.close()
    await relay.close()


async def kept(stage, *, body: str = "@atlas why?", item_id: int = 1) -> str:
    """A delivery in the inbox, at its end."""
    told = pb.IngestWebhooksRequest(deliveries=[webhook(payload(body=body, item_id=item_id))])
    (result,) = (await stage.gateway.IngestWebhooks(told)).results
    await stage.settled(result.delivery_id)
    return result.delivery_id


async def died(stage, delivery_id: str) -> None:
    await stage.rows(
        "UPDATE webhook_deliveries SET status = 'dead', attempts = 8, outcome_reason = 'INTERNAL',"
        " finished_time = now() WHERE id = %s",
        delivery_id,
    )


async def listed(stage, **wanted) -> list[str]:
    found = await stage.operator.ListDeliveries(pb.ListDeliveriesRequest(**wanted))
    return [each.delivery_id for each in found.deliveries]


async def redeliver(stage, delivery_id: str):
    return (
        await stage.operator.RedeliverWebhook(pb.RedeliverWebhookRequest(delivery_id=delivery_id))
    ).delivery


async def test_the_inbox_is_listed_newest_first_as_far_as_it_is_asked_for(stage):
    done = await kept(stage, item_id=1)
    ignored = await kept(stage, item_id=2, body=TALK)
    soon = datetime.now(UTC) + timedelta(hours=1)

    assert [ignored, done] == await listed(stage)
    assert [done] == await listed(stage, status=DELIVERY_STATUS_DONE)
    assert [ignored] == await listed(stage, status=DELIVERY_STATUS_IGNORED, source="github")
    assert [] == await listed(stage, source="slack")
    assert [] == await listed(stage, received_after=soon)
    assert [ignored, done] == await listed(stage, received_before=soon)


async def test_pages_follow_each_other_and_each_looks_at_a_bounded_part(stage, monkeypatch):
    monkeypatch.setattr(delivery_store, "LOOKED_AT_MAX", 2)
    sent = [
        await kept(stage, item_id=number, body=TALK if number % 2 else "@atlas") for number in range(1, 6)
    ]
    request, pages = pb.ListDeliveriesRequest(status=DELIVERY_STATUS_DONE, page_size=1), list[list[str]]()
    while len(pages) < 10:
        page = await stage.operator.ListDeliveries(request)
        pages.append([each.delivery_id for each in page.deliveries])
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break

    assert [sent[3], sent[1]] == [each for page in pages for each in page]
    assert [] in pages
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stage.operator.ListDeliveries(pb.ListDeliveriesRequest(page_token="another"))
    assert "PAGE_TOKEN_INVALID" == reason_of(caught.value)[1]


async def test_what_a_delivery_holds_is_shown_to_operators_without_its_proofs(stage, monkeypatch):
    delivery_id = await kept(stage)
    await stage.rows('UPDATE webhook_deliveries SET headers = headers || \'{"x-hub-signature-256": "sha"}\'')
    asked = pb.GetDeliveryRequest(delivery_id=delivery_id)
    shown = await stage.operator.GetDelivery(asked)
    headers = {each.name: each.value for each in shown.headers}

    assert DELIVERY_STATUS_DONE == shown.delivery.status
    assert len(shown.body) == shown.delivery.body_size_bytes > 0
    assert (convert.HIDDEN, "issue_comment") == (headers["x-hub-signature-256"], headers["x-github-event"])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stage.worker.GetDelivery(asked)
    assert "SCOPE_MISSING" == reason_of(caught.value)[1]


async def test_readers_without_the_right_to_its_content_see_how_far_it_got(stage, monkeypatch):
    delivery_id = await kept(stage)
    few = PRINCIPALS["api"] | {scope for scope in PRINCIPALS["operator"] if scope == 21}
    monkeypatch.setitem(PRINCIPALS, "api", few)
    channel = connect(stage.address, "api-token")
    shown = await DispatcherServiceStub(channel).GetDelivery(pb.GetDeliveryRequest(delivery_id=delivery_id))
    await channel.close()

    assert (delivery_id, b"", 0) == (shown.delivery.delivery_id, shown.body, len(shown.headers))


async def test_a_dead_delivery_is_handled_again_and_who_asked_is_on_record(stage, monkeypatch):
    monkeypatch.setattr(handler, "ATTEMPTS_MAX", 1)
    monkeypatch.setitem(stage.world.failing, "ResolveModel", ValueError("odd"))
    delivery_id = await kept(stage)
    stage.world.failing.clear()
    opened = await redeliver(stage, delivery_id)
    row = await stage.settled(delivery_id, "done")

    assert (DELIVERY_STATUS_PENDING, 0, "operator") == (opened.status, opened.attempts, opened.redelivered_by)
    assert ("operator", 1) == (row["redelivered_by"], len(stage.world.runs))


async def test_an_ignored_delivery_is_handled_again_and_nothing_is_doubled(stage):
    delivery_id = await kept(stage, body=TALK)
    await redeliver(stage, delivery_id)
    row = await stage.settled(delivery_id)
    assert ("ignored", "NOT_ADDRESSED", "operator") == (
        row["status"],
        row["outcome_reason"],
        row["redelivered_by"],
    )

    answered = await kept(stage, item_id=2)
    await died(stage, answered)
    await redeliver(stage, answered)
    await stage.settled(answered, "done")
    assert 1 == len(stage.world.runs)


async def test_a_delivery_that_is_done_is_refused_unless_an_event_of_it_has_no_runs(stage):
    delivery_id = await kept(stage)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await redeliver(stage, delivery_id)
    assert "DELIVERY_DONE" == reason_of(caught.value)[1]

    await stage.rows("UPDATE thread_events SET dispatched_time = NULL")
    stage.world.runs.clear()
    await redeliver(stage, delivery_id)
    await stage.settled(delivery_id, "done")
    assert 1 == len(stage.world.runs)


async def test_the_commands_list_show_and_redeliver(stage, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ASTRA_TOKEN", "operator-token")
    monkeypatch.setenv("DISPATCHER_ADDRESS", stage.address)
    delivery_id = await kept(stage, body=TALK)
    await delivery_commands.list_deliveries("github", "ignored", 1, 50, tmp_path, as_json=True)
    (listed,) = json.loads(capsys.readouterr().out)
    assert (delivery_id, "NOT_ADDRESSED") == (listed["delivery_id"], listed["outcome_reason"])
    await delivery_commands.list_deliveries("", "dead", 0, 50, tmp_path, as_json=False)
    assert "" == capsys.readouterr().out
    await delivery_commands.show_delivery(delivery_id, tmp_path, as_json=False)
    shown = capsys.readouterr().out
    assert ("x-github-event: issue_comment" in shown, TALK in shown) == (True, True)
    await delivery_commands.redeliver(delivery_id, tmp_path, as_json=False)
    assert "pending" in capsys.readouterr().out
    await delivery_commands.list_refusals(7, tmp_path, as_json=True)
    assert [] == json.loads(capsys.readouterr().out)


async def test_a_delivery_of_another_tenant_is_not_found(stage):
    delivery_id = await kept(stage)
    await stage.rows("UPDATE webhook_deliveries SET tenant_id = %s", str(uuid.uuid4()))
    for call in (
        stage.operator.GetDelivery(pb.GetDeliveryRequest(delivery_id=delivery_id)),
        stage.operator.RedeliverWebhook(pb.RedeliverWebhookRequest(delivery_id=delivery_id)),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert "DELIVERY_NOT_FOUND" == reason_of(caught.value)[1]
    assert [] == await listed(stage)


async def test_what_is_over_for_long_is_forgotten_and_starts_nothing_when_it_comes_again(
    stage, databases, monkeypatch
):
    monkeypatch.setattr(delivery_store, "PURGE_BATCH", 1)
    monkeypatch.setattr(retention, "PURGE_BATCH", 1)
    old = [await kept(stage, item_id=number) for number in (1, 2)]
    dead, young = await kept(stage, item_id=3), await kept(stage, item_id=4)
    await died(stage, dead)
    await stage.rows(
        "UPDATE webhook_deliveries SET finished_time = now() - interval '31 days' WHERE id <> %s", young
    )
    live = str(uuid.uuid4())
    await stage.rows(
        "INSERT INTO webhook_deliveries (id, tenant_id, source, external_id, order_key, headers, body,"
        " next_attempt_time, received_time) VALUES (%s, %s, 'github', 'x', 'x', '{}', '', 'infinity',"
        " now() - interval '1 year')",
        live,
        DEFAULT_TENANT_ID,
    )
    keeping = Kept(over=timedelta(days=30), dead=timedelta(days=90))
    purged = await Retention(DeliveryStore(*databases), RefusalStore(*databases), keeping).once()
    left = await stage.rows("SELECT id FROM webhook_deliveries ORDER BY received_time")

    assert len(old) == purged
    assert [live, dead, young] == [str(each["id"]) for each in left]
    again = await kept(stage, item_id=1)
    assert again not in old
    assert 4 == len(stage.world.runs)


async def test_refusals_are_counted_by_day_source_and_reason(stage, databases):
    counts = RefusalCounts(RefusalStore(*databases))
    for reason in ("SIGNATURE_INVALID", "SIGNATURE_INVALID", "SOURCE_OFF"):
        counts.count("github", reason)
    await counts.flush()
    counts.count("github", "SOURCE_OFF")
    await counts.flush()
    await counts.flush()
    told = (await stage.operator.ListRefusals(pb.ListRefusalsRequest())).refusals

    assert [("github", "SIGNATURE_INVALID", 2), ("github", "SOURCE_OFF", 2)] == [
        (each.source, each.reason, each.refused_count) for each in told
    ]
    assert {datetime.now(UTC).date().isoformat()} == {each.day for each in told}
    await RefusalStore(*databases).purge(timedelta(days=-2))
    assert [] == await RefusalStore(*databases).since(datetime.now(UTC).date())


async def test_what_is_refused_at_the_door_is_on_record_once_the_dispatcher_ends(database_urls, databases):
    async with staged(database_urls) as stage:
        bad = webhook(secret="another")
        await stage.gateway.IngestWebhooks(pb.IngestWebhooksRequest(deliveries=[bad, bad]))
    (counted,) = await RefusalStore(*databases).since(datetime.now(UTC).date())

    assert ("github", "SIGNATURE_INVALID", 2) == (counted.source, counted.reason, counted.count)
