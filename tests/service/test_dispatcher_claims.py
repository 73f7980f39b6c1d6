"""How a workflow gets the events of its thread, and who rings it when a ring was lost."""

import uuid
from datetime import timedelta

import grpc
import pytest

from aucert.dispatcher.v1.dispatcher_service_pb2 import (
    CancelTaskRequest,
    ClaimNextEventRequest,
    CreateTaskRequest,
    IngestWebhooksRequest,
    RingThreadsRequest,
    SendMessageRequest,
)
from services.common import metadata
from services.common.database import Database
from services.common.errors import from_rpc
from services.dispatcher.sweep import Sweep
from services.dispatcher.thread_store import ThreadStore
from tests.service.dispatcher_parts import RecordingRinger, payload, staged, webhook


@pytest.fixture
async def stage(database_urls):
    async with staged(database_urls) as stage:
        yield stage


@pytest.fixture
async def threads(database_urls):
    service = Database(database_urls.service, application="test")
    relay = Database(database_urls.relay, application="test")
    yield ThreadStore(service, relay)
    await service.close()
    await relay.close()


async def task(stage, message="Why?"):
    created = await stage.operator.CreateTask(CreateTaskRequest(message=message))
    return stage.world.runs[created.task_run_id]


async def claim(stage, thread_id, finished="", **options):
    request = ClaimNextEventRequest(thread_id=thread_id, finished_thread_event_id=finished)
    response = await stage.worker.ClaimNextEvent(request, **options)
    return response.event if response.HasField("event") else None


async def test_events_are_handed_out_in_order_and_again_until_they_are_finished(stage):
    run = await task(stage)
    sent = await stage.operator.SendMessage(SendMessageRequest(task_run_id=run.task_run_id, message="More"))

    first = await claim(stage, run.thread_id)
    assert (1, [run.task_run_id]) == (first.thread_seq, list(first.task_run_ids))
    assert first == await claim(stage, run.thread_id)

    second = await claim(stage, run.thread_id, first.thread_event_id)
    assert (2, [sent.task_run_id]) == (second.thread_seq, list(second.task_run_ids))
    assert second == await claim(stage, run.thread_id, first.thread_event_id)
    assert await claim(stage, run.thread_id, second.thread_event_id) is None


async def test_a_stop_is_handed_out_without_runs(stage):
    run = await task(stage)
    await stage.operator.CancelTask(CancelTaskRequest(task_run_id=run.task_run_id))

    first = await claim(stage, run.thread_id)
    stop = await claim(stage, run.thread_id, first.thread_event_id)

    assert (2, []) == (stop.thread_seq, list(stop.task_run_ids))


async def test_an_event_without_its_run_gets_it_when_it_is_claimed(stage):
    run = await task(stage)
    stage.world.runs.clear()
    await stage.rows("UPDATE thread_events SET dispatched_time = NULL")

    event = await claim(stage, run.thread_id)

    assert [run.task_run_id] == list(event.task_run_ids) == list(stage.world.runs)
    assert [{"count": 1}] == await stage.rows(
        "SELECT count(*) FROM thread_events WHERE dispatched_time IS NOT NULL"
    )


@pytest.mark.parametrize("tenant", ["", "00000000-0000-4000-8000-000000000001"])
async def test_a_thread_of_another_tenant_is_not_there(stage, tenant):
    run = await task(stage)
    thread_id = run.thread_id if tenant else "00000000-0000-4000-8000-000000000002"

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await claim(stage, thread_id, metadata=[(metadata.TENANT, tenant)] if tenant else [])

    assert "THREAD_NOT_FOUND" == from_rpc(refused.value).reason


async def test_an_event_of_another_thread_is_not_finished_by_mistake(stage):
    one, other = await task(stage), await task(stage)

    await claim(stage, one.thread_id, other.thread_event_id)

    assert other.thread_event_id == (await claim(stage, other.thread_id)).thread_event_id


async def test_the_sweep_rings_each_thread_that_is_left_over_and_no_other(stage, threads, monkeypatch):
    monkeypatch.setattr("services.dispatcher.thread_store.BELLS_PAGE_MAX", 2)
    left = [await task(stage) for _ in range(5)]
    finished = await task(stage)
    await claim(stage, finished.thread_id, finished.thread_event_id)
    ringer = RecordingRinger()

    rung = await Sweep(threads, ringer, left_over_after=timedelta(0)).once()

    assert 5 == rung
    assert sorted(run.workflow_id for run in left) == sorted(ringer.rung)


async def test_a_thread_that_cannot_be_rung_keeps_no_other_from_being_rung(stage, threads, monkeypatch):
    monkeypatch.setattr("services.dispatcher.thread_store.BELLS_PAGE_MAX", 2)
    left = sorted([await task(stage) for _ in range(5)], key=lambda run: run.thread_id)
    ringer = RecordingRinger(refused={left[0].thread_id})

    rung = await Sweep(threads, ringer, left_over_after=timedelta(0)).once()

    assert 4 == rung
    assert sorted(run.workflow_id for run in left[1:]) == sorted(ringer.rung)


async def test_a_page_nobody_of_which_can_be_rung_ends_the_sweep_and_the_next_goes_on(
    stage, threads, monkeypatch
):
    monkeypatch.setattr("services.dispatcher.thread_store.BELLS_PAGE_MAX", 2)
    left = sorted([await task(stage) for _ in range(3)], key=lambda run: run.thread_id)
    ringer = RecordingRinger(refused={run.thread_id for run in left[:2]})
    sweep = Sweep(threads, ringer, left_over_after=timedelta(0))

    assert [0, 1] == [await sweep.once(), await sweep.once()]
    assert [left[2].workflow_id] == ringer.rung


async def test_the_sweep_leaves_fresh_events_to_their_own_ring(stage, threads):
    await task(stage)
    ringer = RecordingRinger()

    assert 0 == await Sweep(threads, ringer, left_over_after=timedelta(minutes=1)).once()
    assert [] == ringer.rung


async def test_threads_are_rung_on_request_and_those_of_other_tenants_are_not(stage):
    runs = [await task(stage), await task(stage)]
    stage.ringer.rung.clear()
    request = RingThreadsRequest(thread_ids=[run.thread_id for run in runs])

    await stage.gateway.RingThreads(request, metadata=[(metadata.TENANT, str(uuid.uuid4()))])
    assert [] == stage.ringer.rung
    await stage.operator.RingThreads(request)
    assert sorted(run.workflow_id for run in runs) == sorted(stage.ringer.rung)


async def test_a_raise_is_an_event_without_runs_told_to_astra_once_with_who_asks(stage):
    hook = webhook(payload(body="/atlas raise $2.50"))
    response = await stage.gateway.IngestWebhooks(IngestWebhooksRequest(deliveries=[hook, hook]))
    await stage.settled(response.results[0].delivery_id)

    (event,) = await stage.rows("SELECT id::text, thread_id::text, seq, kind, author FROM thread_events")
    (told,) = stage.world.raises
    assert ("raise", {}) == (event["kind"], stage.world.runs)
    assert (event["thread_id"], event["seq"], 2_500_000, f"github:{event['author']['external_id']}") == (
        told.thread_id,
        told.before_thread_seq,
        told.add_usd_micros,
        told.identity,
    )
    assert event["author"]["external_id"].isdecimal()
    claimed = await claim(stage, event["thread_id"])
    assert (event["id"], []) == (claimed.thread_event_id, list(claimed.task_run_ids))
    assert 1 == len(stage.ringer.rung) == len(stage.world.raises)
