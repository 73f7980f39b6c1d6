"""From the inbox to a rung thread: in order, by one relay at a time, through every failure."""

import asyncio
import uuid
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from aucert.dispatcher.v1.dispatcher_service_pb2 import IngestWebhooksRequest
from services.astra.seed import DEFAULT_TENANT_ID
from services.common.database import Database
from services.common.errors import Invalid, Unavailable
from services.dispatcher import handler as handling
from services.dispatcher import relay as relaying
from services.dispatcher.domain import NewDelivery
from services.dispatcher.inbox_store import InboxStore
from services.dispatcher.relay import Relay
from services.dispatcher.ringer import TemporalUnavailable
from tests.service.dispatcher_parts import payload, staged, until, webhook


@pytest.fixture
async def stage(database_urls):
    async with staged(database_urls) as stage:
        yield stage


@pytest.fixture
async def inbox(database_urls):
    service = Database(database_urls.service, application="test")
    relay = Database(database_urls.relay, application="test")
    yield InboxStore(service, relay)
    await service.close()
    await relay.close()


@pytest.fixture
def owner(database_urls):
    """Runs a statement as the database's owner."""

    async def execute(statement, *values):
        async with await psycopg.AsyncConnection.connect(database_urls.owner, autocommit=True) as connection:
            cursor = await connection.execute(statement, values)
            return await cursor.fetchall() if cursor.description else []

    return execute


@pytest.fixture
def soon(monkeypatch):
    """Retries at once: what is waited for between them is not what these tests are about."""
    monkeypatch.setattr(handling, "BACKOFF_MAX", timedelta(milliseconds=1))
    monkeypatch.setattr(handling, "AWAY_RETRY_MIN", timedelta(milliseconds=1))
    monkeypatch.setattr(handling, "AWAY_RETRY_MAX", timedelta(milliseconds=1))


async def ingest(stage, *deliveries):
    response = await stage.gateway.IngestWebhooks(IngestWebhooksRequest(deliveries=deliveries))
    return [each.delivery_id for each in response.results]


def new(order_key: str) -> NewDelivery:
    return NewDelivery("github", str(uuid.uuid4()), order_key, {}, b"{}", datetime.now(UTC))


async def keep(inbox, *order_keys):
    return [each.id for each in await inbox.keep(DEFAULT_TENANT_ID, [new(key) for key in order_keys])]


def ids(leased):
    return [each.id for each in leased]


async def test_a_younger_delivery_waits_for_an_older_live_one_of_its_thread(inbox):
    first, second, other = await keep(inbox, "a", "a", "b")

    leased = await inbox.lease(10)
    assert [first, other] == ids(leased)
    assert [] == await inbox.lease(10)

    await inbox.retry(leased[0], delay=timedelta(hours=1), attempts=1, reason="TEST")
    assert [] == await inbox.lease(10)
    assert [] == await inbox.lease(1, delivery_id=second)


@pytest.mark.parametrize("status", ["done", "ignored", "dead"])
async def test_the_next_one_is_due_once_the_older_one_is_put_away(inbox, status):
    _, second = await keep(inbox, "a", "a")
    (leased,) = await inbox.lease(10)

    assert await inbox.put_away(leased, status)

    assert [second] == ids(await inbox.lease(10))


async def test_relays_leasing_at_once_never_get_the_same_delivery(inbox):
    kept = await keep(inbox, *(f"thread-{number % 40}" for number in range(120)))
    seen: list[str] = []

    async def relay():
        while leased := await inbox.lease(3):
            seen.extend(ids(leased))
            for each in leased:
                assert await inbox.put_away(each, "done")

    for _ in range(3):  # a round ends when what is left waits for what others hold
        await asyncio.gather(*(relay() for _ in range(6)))

    assert sorted(kept) == sorted(seen)


async def test_a_lease_that_ran_out_is_given_again_and_its_first_holder_changes_nothing(inbox, owner):
    await keep(inbox, "a")
    (lost,) = await inbox.lease(1)
    await owner("UPDATE webhook_deliveries SET leased_until = now()")

    (held,) = await inbox.lease(1)

    assert (lost.id, 1) == (held.id, held.attempts)
    assert not await inbox.put_away(lost, "done")
    assert not await inbox.retry(lost, delay=timedelta(0), attempts=0, reason="TEST")
    assert await inbox.put_away(held, "done")


async def test_a_delivery_whose_handlers_die_with_it_dies_too(stage, inbox, owner):
    del stage  # its relay takes the delivery up
    (kept,) = await keep(inbox, "a")
    await owner(
        "UPDATE webhook_deliveries SET status = 'leased', leased_until = now(), attempts = attempts + 7,"
        " lease_owner = gen_random_uuid()"
    )

    async def dead():
        return await owner("SELECT 1 FROM webhook_deliveries WHERE status = 'dead' AND id = %s", kept)

    assert await until(dead)


class Watched(InboxStore):
    """Tells when a suspect was found."""

    def __init__(self, *databases):
        super().__init__(*databases)
        self.found = asyncio.Event()

    async def suspect_waits(self):
        if found := await super().suspect_waits():
            self.found.set()
        return found


class RecordingHandler:
    """Notes the order, and who was handled beside whom; holds what it is told to."""

    def __init__(self, inbox):
        self.inbox = inbox
        self.held = {}
        self.order = []
        self.under_way = set()
        self.beside = {}

    async def handle(self, delivery):
        self.order.append(delivery.id)
        self.under_way.add(delivery.id)
        for each in self.under_way:
            self.beside[each] = self.beside.get(each, set()) | self.under_way - {each}
        if delivery.id in self.held:
            await self.held[delivery.id].wait()
        await self.inbox.put_away(delivery, "done")
        self.under_way.discard(delivery.id)


@pytest.fixture
async def watched(database_urls):
    service = Database(database_urls.service, application="test")
    relay = Database(database_urls.relay, application="test")
    yield Watched(service, relay)
    await service.close()
    await relay.close()


async def died_with(owner, *delivery_ids, attempts):
    """The process that held these is gone."""
    await owner(
        "UPDATE webhook_deliveries SET status = 'leased', leased_until = now(), attempts = %s,"
        " lease_owner = gen_random_uuid() WHERE id = ANY(%s)",
        attempts,
        list(delivery_ids),
    )


async def test_a_first_death_is_forgiven_and_a_second_makes_a_suspect(inbox, owner):
    kept = await keep(inbox, "a", "b")
    assert not await inbox.suspect_waits()
    await died_with(owner, *kept, attempts=0)
    assert not await inbox.suspect_waits()
    assert [1, 1] == [each.attempts for each in await inbox.lease(10)]

    await died_with(owner, *kept, attempts=1)

    assert await inbox.suspect_waits()
    assert [] == await inbox.lease(10)
    assert [] == await inbox.lease(1, delivery_id=kept[0])
    assert [2] == [each.attempts for each in await inbox.lease_suspect()]


async def test_suspects_are_handled_with_nothing_beside_them(watched, owner):
    kept = await keep(watched, "a", "b", "c", "d")
    await died_with(owner, *kept[:2], attempts=1)
    handler = RecordingHandler(watched)

    async def all_handled():
        return len(handler.order) == len(kept) and not handler.under_way

    async with Relay(watched, handler).running():
        await until(all_handled)

    assert [set(), set()] == [handler.beside[each] for each in kept[:2]]


@pytest.mark.parametrize("asked_for", [False, True])
async def test_a_suspect_waits_for_what_is_under_way_and_new_ones_wait_for_it(watched, owner, asked_for):
    hour = timedelta(hours=1)
    (first,) = await watched.keep(
        DEFAULT_TENANT_ID, [new("busy")], reserved=hour if asked_for else timedelta(0)
    )
    busy = first.id
    handler = RecordingHandler(watched)
    handler.held[busy] = asyncio.Event()

    async def begun():
        return handler.order

    async def all_handled():
        return len(handler.order) == 3 and not handler.under_way

    relay = Relay(watched, handler, poll_seconds=0.01)
    async with relay.running(), asyncio.TaskGroup() as asking:
        if asked_for:
            asking.create_task(relay.handle_now(busy))
        await until(begun)
        (kept,) = await watched.keep(DEFAULT_TENANT_ID, [new("suspect")], reserved=hour)
        await died_with(owner, kept.id, attempts=1)
        await watched.found.wait()
        (late,) = await keep(watched, "late")
        await relay.handle_now(late)
        for _ in range(10):  # many polls: each would take it up
            await owner("SELECT 1")
        handler.held[busy].set()
        await until(all_handled)

    assert [busy, kept.id, late] == handler.order
    assert set() == handler.beside[kept.id]


async def test_what_is_cut_by_a_stop_is_given_back_at_once_and_costs_no_attempt(
    database_urls, owner, monkeypatch
):
    monkeypatch.setattr(relaying, "DRAIN_SECONDS", 0.0)
    ringing = asyncio.Event()

    async def ring(bell):
        ringing.set()
        await asyncio.Event().wait()

    async with staged(database_urls) as stage:
        stage.ringer.ring = ring
        await ingest(stage, webhook())
        await ringing.wait()

    assert [("pending", 0, True)] == await owner(
        "SELECT status, attempts, next_attempt_time <= now() FROM webhook_deliveries"
    )


class Held(Database):
    """Commits only when it is told to."""

    def __init__(self, url):
        super().__init__(url, application="test")
        self.written = asyncio.Event()
        self.go = asyncio.Event()

    @asynccontextmanager
    async def tenant(self, tenant_id):
        async with super().tenant(tenant_id) as connection:
            yield connection
            self.written.set()
            await self.go.wait()


async def test_of_two_kept_at_once_the_younger_is_not_seen_before_the_older(inbox, owner, database_urls):
    slow = Held(database_urls.service)
    older = asyncio.create_task(keep(InboxStore(slow, slow), "b", "a"))
    await slow.written.wait()
    younger = asyncio.create_task(keep(inbox, "a", "c", "b"))

    async def waits_or_is_done():
        return younger.done() or await owner(
            "SELECT 1 FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database"
            " WHERE locktype = 'advisory' AND NOT granted AND datname = %s",
            database_urls.name,
        )

    await until(waits_or_is_done)
    assert [] == await inbox.lease(10)
    slow.go.set()
    first, second = await older, await younger

    assert [*first, second[1]] == ids(await inbox.lease(10))
    await slow.close()


async def test_a_comment_while_temporal_is_away_is_accepted_and_rung_later_however_long_it_takes(stage, soon):
    stage.ringer.failure = TemporalUnavailable()
    (delivery_id,) = await ingest(stage, webhook())

    async def retried():
        row = await stage.delivery(delivery_id)
        return row if row["outcome_reason"] == "SERVICE_UNAVAILABLE" else None

    assert 0 == (await until(retried))["attempts"]
    stage.ringer.failure = None

    row = await stage.settled(delivery_id)
    assert ("done", 0) == (row["status"], row["attempts"])
    assert 1 == len(set(stage.ringer.rung))
    assert [{"count": 1}] == await stage.rows("SELECT count(*) FROM thread_events")


@pytest.mark.parametrize("method", ["ListAgents", "ResolveModel", "CreateTaskRun"])
async def test_a_service_that_is_away_costs_no_attempt(stage, soon, method):
    stage.world.failing[method] = Unavailable("away")
    (delivery_id,) = await ingest(stage, webhook())

    async def retried():
        row = await stage.delivery(delivery_id)
        return row["outcome_reason"] == "SERVICE_UNAVAILABLE"

    await until(retried)
    stage.world.failing.clear()

    row = await stage.settled(delivery_id)
    assert ("done", 0) == (row["status"], row["attempts"])


async def test_a_delivery_that_fails_by_itself_dies_and_its_thread_goes_on(stage, soon):
    stage.world.failing["CreateTaskRun"] = Invalid("This can never be a run.")
    (dead,) = await ingest(stage, webhook(payload(item_id=1), guid="poison"))
    row = await stage.settled(dead, "dead")
    (again,) = await ingest(stage, webhook(payload(item_id=1), guid="poison-told-again"))
    await stage.settled(again, "dead")

    assert (handling.ATTEMPTS_MAX, "FIELD_INVALID") == (row["attempts"], row["outcome_reason"])
    (event,) = await stage.rows("SELECT finished_time, dispatched_time FROM thread_events")
    assert event["finished_time"] is not None
    assert event["dispatched_time"] is None

    stage.world.failing.clear()
    (after,) = await ingest(stage, webhook(payload(item_id=2)))
    assert "done" == (await stage.settled(after))["status"]

    await ingest(stage, webhook(payload(item_id=1), guid="poison"))
    assert "done" == (await stage.settled(dead, "done"))["status"]
    events = await stage.rows("SELECT seq, finished_time, dispatched_time FROM thread_events ORDER BY seq")
    assert [1, 2] == [each["seq"] for each in events]
    assert all(each["finished_time"] is None and each["dispatched_time"] for each in events)


async def test_comments_of_one_thread_are_numbered_in_the_order_they_came(stage):
    kept = await ingest(stage, *(webhook(payload(item_id=number)) for number in range(1, 21)))
    for each in kept:
        assert "done" == (await stage.settled(each))["status"]

    events = await stage.rows("SELECT event_key FROM thread_events ORDER BY seq")
    assert [f"github:issue_comment/{number}" for number in range(1, 21)] == [
        each["event_key"] for each in events
    ]


async def test_a_stop_reaches_the_runs_before_it_and_makes_none(stage):
    kept = await ingest(
        stage,
        webhook(payload(body="@atlas why?", item_id=1)),
        webhook(payload(body="@atlas stop", item_id=2)),
    )
    for each in kept:
        assert "done" == (await stage.settled(each))["status"]

    (stop,) = stage.world.stops
    (run,) = stage.world.runs.values()
    assert run.requester_trusted
    assert (run.thread_id, 2, "", "maria") == (
        stop.thread_id,
        stop.before_thread_seq,
        stop.task_run_id,
        stop.requester,
    )
    assert 2 == len(stage.ringer.rung)
