"""Google's notifications and events on their way through a real dispatcher: read, kept, each act once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aucert.dispatcher.v1.delivery_pb2 import Delivery, Header
from aucert.dispatcher.v1.dispatcher_service_pb2 import IngestWebhooksRequest
from aucert.tools.v1.catch_up_service_pb2 import MissedDelivery, ScanContainerResponse
from services.common.errors import Unavailable
from tests.google_payloads import (
    AUDIENCE,
    COMMENT,
    FILE,
    FOLDER,
    KEY_ID,
    LINK,
    PUSHER,
    REPLY,
    TOKEN,
    encoded,
    identity_token,
    notification,
    public_key_pem,
    push,
    read,
    said,
)
from tests.service.dispatcher_parts import Stage, staged, until
from tests.service.test_gateway_http import fronted

CONTAINER, LOG = f"google-drive:file/{FILE}", "google-drive:changes"
ON = {"DRIVE_CHANNEL_TOKEN": TOKEN, "PUBSUB_AUDIENCE": AUDIENCE, "PUBSUB_SERVICE_ACCOUNT": PUSHER}


@pytest.fixture
async def stage(database_urls) -> AsyncIterator[Stage]:
    async with staged(database_urls, **ON) as stage:
        stage.world.signing_keys[KEY_ID] = public_key_pem()
        yield stage


def acts(*told: dict[str, Any], cursor: str = "1") -> ScanContainerResponse:
    deliveries = [
        MissedDelivery(
            external_id="/".join(filter(None, (FILE, each["comment"]["id"], each["reply_id"]))),
            body=encoded(each),
        )
        for each in told
    ]
    return ScanContainerResponse(deliveries=deliveries, next_cursor=cursor)


def webhook(source: str, headers: dict[str, str], body: bytes = b"") -> Delivery:
    return Delivery(
        source=source, headers=[Header(name=name, value=value) for name, value in headers.items()], body=body
    )


def notified(*args: Any, **more: Any) -> Delivery:
    return webhook("google-drive", notification(*args, **more))


def pushed(body: bytes | None = None, **claims: Any) -> Delivery:
    headers = {"authorization": f"Bearer {identity_token(**claims)}"}
    return webhook("google-events", headers, push() if body is None else body)


async def ingest(stage: Stage, *deliveries: Delivery) -> list[Any]:
    response = await stage.gateway.IngestWebhooks(IngestWebhooksRequest(deliveries=deliveries))
    return list(response.results)


async def settled(stage: Stage, *deliveries: Delivery) -> list[dict[str, Any]]:
    return [await stage.settled(each.delivery_id) for each in await ingest(stage, *deliveries)]


async def runs(stage: Stage, count: int = 1) -> list[Any]:
    async def reached() -> bool:
        return len(stage.world.runs) >= count

    await until(reached)
    return list(stage.world.runs.values())


def scanned(stage: Stage) -> list[str]:
    """What was read but for the allow-list, which catch-up reads by itself."""
    return [each.container for each in stage.world.scanned if each.container in (CONTAINER, LOG)]


async def test_a_notification_has_its_file_read_and_what_is_found_becomes_a_run(stage):
    stage.world.readings[CONTAINER] = [acts(read())]
    (row,) = await settled(stage, notified())
    (run,) = await runs(stage)

    assert ("ignored", "CONTAINER_READ") == (row["status"], row["outcome_reason"])
    assert [CONTAINER] == scanned(stage)
    assert f"default/drive/{FILE}/{COMMENT}" == run.workflow_id
    assert (LINK, "Maria", True) == (run.source_url, run.requester, run.requester_trusted)
    assert (FILE, COMMENT) == (run.address.google_drive.file_id, run.address.google_drive.comment_id)


async def test_notification_event_and_catch_up_tell_of_one_act_and_start_one_run(stage):
    stage.world.readings |= {
        CONTAINER: [acts(read()), acts(read())],
        LOG: [acts(read())],
        f"google-drive:folder/{FOLDER}": [acts(read())],
    }
    await settled(stage, notified(), notified("change", file_id="", number=3), pushed())
    await runs(stage)
    found = await stage.rows("SELECT count(*) FROM webhook_deliveries WHERE external_id LIKE %s", f"{FILE}/%")
    events = await stage.rows("SELECT event_key FROM thread_events")

    assert [1] == [each["count"] for each in found]
    assert [{"event_key": f"drive:{FILE}/{COMMENT}"}] == events
    assert 1 == len(stage.world.runs)


async def test_what_was_told_before_a_whole_reading_began_needs_none_of_its_own(stage):
    await settled(stage, notified(number=1))
    earlier, now = notified(number=2), notified(number=3)
    earlier.received_time.FromDatetime(datetime.now(UTC) - timedelta(minutes=1))
    rows = await settled(stage, earlier)
    assert [("ignored", "CONTAINER_READ")] == [(row["status"], row["outcome_reason"]) for row in rows]
    assert [CONTAINER] == scanned(stage)
    await settled(stage, now)
    assert [CONTAINER, CONTAINER] == scanned(stage)


async def test_one_reading_may_find_several_acts(stage):
    reply = said("@atlas and?", item_id=REPLY)
    stage.world.readings[CONTAINER] = [acts(read(), read(said(), reply))]
    await settled(stage, notified())
    await runs(stage, 2)
    events = await stage.rows("SELECT event_key, seq FROM thread_events ORDER BY seq")

    assert [f"drive:{FILE}/{COMMENT}", f"drive:{FILE}/{COMMENT}/{REPLY}"] == [
        each["event_key"] for each in events
    ]


async def test_the_next_reading_goes_on_from_the_cursor_with_the_threads_we_are_in(stage):
    stage.world.readings[CONTAINER] = [acts(read(), cursor="7")]
    await settled(stage, notified())
    await runs(stage)
    await settled(stage, notified(number=3))
    first, second = [each for each in stage.world.scanned if each.container == CONTAINER]

    assert ("", "7") == (first.cursor, second.cursor)
    assert [COMMENT] == [each.google_drive.comment_id for each in second.threads]


async def test_a_follow_up_without_a_name_is_for_the_agent_in_the_thread(stage):
    stage.world.readings[CONTAINER] = [
        acts(read()),
        acts(read(said(), said("and then?", item_id=REPLY))),
    ]
    await settled(stage, notified())
    await runs(stage)
    await settled(stage, notified(number=3))
    await runs(stage, 2)

    assert {f"default/drive/{FILE}/{COMMENT}"} == {each.workflow_id for each in stage.world.runs.values()}


async def test_while_drive_cannot_be_read_the_notification_waits(stage):
    stage.world.readings[CONTAINER] = [acts(read())]
    stage.world.failing["ScanContainer"] = Unavailable("Google is away.", reason="VENDOR_UNAVAILABLE")
    (result,) = await ingest(stage, notified())

    async def retried() -> bool:
        return (await stage.delivery(result.delivery_id))["outcome_reason"] == "VENDOR_UNAVAILABLE"

    await until(retried)
    stage.world.failing.clear()
    await stage.settled(result.delivery_id)
    assert 1 == len(await runs(stage))


async def test_a_notification_for_a_container_that_is_being_read_waits_its_turn(stage):
    await stage.rows(
        "INSERT INTO source_cursors (tenant_id, source, container, claimed_until)"
        " SELECT id, 'google-drive', %s, now() + interval '1 minute' FROM tenants",
        CONTAINER,
    )
    (result,) = await ingest(stage, notified())

    async def retried() -> bool:
        return (await stage.delivery(result.delivery_id))["outcome_reason"] == "SERVICE_UNAVAILABLE"

    await until(retried)
    await stage.rows("UPDATE source_cursors SET claimed_until = now() WHERE container = %s", CONTAINER)
    await stage.settled(result.delivery_id)
    assert [CONTAINER] == scanned(stage)


async def test_sync_is_answered_a_probe_refused_and_neither_is_kept(stage):
    results = await ingest(stage, notified("sync", number=1), webhook("google-drive", {}))

    assert [200, 401] == [each.http_status for each in results]
    assert [] == await stage.rows("SELECT id FROM webhook_deliveries")
    assert [] == scanned(stage)


async def test_the_same_notification_again_is_the_same_delivery(stage):
    first, again = await ingest(stage, notified(), notified())
    assert first == again


async def test_what_a_notification_carries_is_not_taken_for_a_comment(stage):
    forged = webhook("google-drive", notification("trash"), encoded(read()))
    (row,) = await settled(stage, forged)

    assert "ACTION_NOT_HANDLED" == row["outcome_reason"]
    assert {} == stage.world.runs


async def test_an_event_shows_googles_token_or_is_refused(stage):
    stranger = pushed(email="stranger@evil.iam.gserviceaccount.com")
    bare = webhook("google-events", {}, push())
    odd = pushed(json.dumps({"message": {}}).encode())
    reasons = [json.loads(each.body)["reason"] for each in await ingest(stage, stranger, bare, odd)]

    assert ["SIGNATURE_INVALID", "SIGNATURE_INVALID", "DELIVERY_ID_MISSING"] == reasons


async def test_without_googles_keys_an_event_shall_come_again(stage, monkeypatch):
    monkeypatch.setattr("services.dispatcher.google_keys.FAILED_SECONDS", 0.0)
    stage.world.failing["ListSigningKeys"] = Unavailable("Google is away.", reason="VENDOR_UNAVAILABLE")
    (result,) = await ingest(stage, pushed())

    assert (503, "KEYS_UNAVAILABLE") == (result.http_status, json.loads(result.body)["reason"])
    stage.world.failing.clear()
    assert 202 == (await ingest(stage, pushed()))[0].http_status


async def test_googles_keys_are_asked_for_once_however_many_events_come(stage):
    stage.world.signing_keys.clear()
    stage.world.signing_keys["another"] = public_key_pem()
    refused = await ingest(stage, *(pushed(push(message_id=f"{number}")) for number in range(5)))

    assert {401} == {each.http_status for each in refused}
    assert 1 == stage.world.keys_asked


async def test_a_token_that_is_not_even_meant_for_us_asks_for_no_keys(stage):
    others = [pushed(aud="https://other.example"), pushed(iss="https://evil.example"), pushed(aud=None)]

    assert {401} == {each.http_status for each in await ingest(stage, *others)}
    assert 0 == stage.world.keys_asked


@pytest.mark.parametrize("path", ["google-drive", "drive", "drive/default"])
async def test_drive_is_reached_by_both_its_names_and_a_probe_starts_nothing(stage, path):
    async with (
        fronted(stage.address, stage.world_address) as http,
        http.post(f"/webhooks/{path}", headers=notification()) as kept,
        http.post(f"/webhooks/{path}") as probe,
        http.post(f"/webhooks/{path}", headers=notification("sync", number=1)) as sync,
    ):
        statuses = [kept.status, probe.status, sync.status]
        delivery_id = (await kept.json())["delivery_id"]
    row = await stage.settled(delivery_id)

    assert ([202, 401, 200], "google-drive") == (statuses, row["source"])
    assert [{"count": 1}] == await stage.rows("SELECT count(*) FROM webhook_deliveries")


async def test_odd_deliveries_with_valid_proof_are_never_a_failure_of_ours(stage):
    odd = [b"", b"null", b"[]", b'{"message": 1}', b"\xff", b"[" * 5_000, push("\u0000"), push("x" * 100_000)]
    deliveries = [
        *(webhook("google-drive", notification(number=number), body) for number, body in enumerate(odd)),
        *(notified(f"state {number}", number=100 + number) for number in range(3)),
        *(pushed(body) for body in odd),
    ]
    results = await ingest(stage, *deliveries)

    assert all(each.http_status < 500 for each in results)
    kept = [await stage.settled(each.delivery_id) for each in results if each.delivery_id]
    assert {"ignored"} == {each["status"] for each in kept}


async def test_what_is_not_configured_is_off(database_urls):
    async with staged(database_urls, DRIVE_CHANNEL_TOKEN=TOKEN, PUBSUB_AUDIENCE=AUDIENCE) as stage:
        (result,) = await ingest(stage, pushed())

    told = json.loads(result.body)
    assert (404, "SOURCE_OFF") == (result.http_status, told["reason"])
    assert "PUBSUB_SERVICE_ACCOUNT" in told["detail"]


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (read(containers=["google-drive:file/other"]), "CONTAINER_NOT_REGISTERED"),
        (read(open_to_link=True), "AUTHOR_WITHOUT_STANDING"),
        (read(said("for nobody")), "NOT_ADDRESSED"),
    ],
)
async def test_what_starts_nothing_is_on_record_with_its_reason(stage, told, reason):
    stage.world.readings[CONTAINER] = [acts(told)]
    await settled(stage, notified())

    async def recorded() -> list[dict[str, Any]]:
        return await stage.rows("SELECT id FROM webhook_deliveries WHERE outcome_reason = %s", reason)

    await until(recorded)
    assert {} == stage.world.runs
