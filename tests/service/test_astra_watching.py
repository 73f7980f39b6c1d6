"""Streams of what happens, through the real service."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from aucert.astra.v1 import task_run_service_pb2 as run_pb
from aucert.astra.v1.task_event_pb2 import Notice
from aucert.astra.v1.task_run_pb2 import TASK_RUN_STATUS_COMPLETED, TASK_RUN_STATUS_QUEUED
from aucert.astra.v1.task_run_service_pb2_grpc import TaskRunServiceStub
from services.astra.main import running
from services.astra.notifications import PENDING_MAX, Watch
from services.common.caller import acting_for
from services.common.channels import connect
from services.common.server import DRAIN_SECONDS
from tests.conftest import DatabaseUrls
from tests.service.astra_kit import Astra, astra_service, new_id, refused, settings_for  # noqa: F401


async def events_from(astra: Astra, run_id: str, after: int = 0) -> list[Any]:
    """All events of a watch until it ends by itself."""
    request = run_pb.WatchTaskRunRequest(task_run_id=run_id, after_seq=after)
    return [response.task_event async for response in astra.api.WatchTaskRun(request)]


async def until(stream: AsyncIterator[Any], wanted: Callable[[Any], bool]) -> Any:
    """The first message that is wanted."""
    async for message in stream:
        if wanted(message):
            return message
    raise AssertionError("the stream ended")


async def cut_listening_connections(astra: Astra) -> None:
    cut = await astra.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'astra-notifications' AND datname = current_database()"
    )
    assert cut


async def test_watcher_sees_every_event_under_concurrent_writers_and_then_the_end(astra: Astra) -> None:
    run = await astra.create()
    fence = (await astra.begin(run.task_run_id)).fence
    watches = [asyncio.create_task(events_from(astra, run.task_run_id, after)) for after in (0, 0, 7)]

    async def write(number: int) -> None:
        for _ in range(10):
            await astra.runs.LogTaskEvent(
                run_pb.LogTaskEventRequest(
                    task_run_id=run.task_run_id, fence=fence, notice=Notice(kind=f"{number}")
                )
            )

    await asyncio.gather(*(write(number) for number in range(5)))
    await astra.complete(run.task_run_id, fence)
    first, second, resumed = await asyncio.gather(*watches)
    assert list(range(1, 53)) == [event.seq for event in first]
    assert first == second
    assert first[7:] == resumed
    assert first == await astra.events(run.task_run_id)


async def test_watch_of_a_completed_run_ends(astra: Astra) -> None:
    run = await astra.create()
    fence = (await astra.begin(run.task_run_id)).fence
    await astra.complete(run.task_run_id, fence)
    assert [1, 2] == [event.seq for event in await events_from(astra, run.task_run_id)]
    assert [] == await events_from(astra, run.task_run_id, after=2)


async def test_watch_of_an_unknown_run_is_refused(astra: Astra) -> None:
    with refused("TASK_RUN_NOT_FOUND"):
        await events_from(astra, new_id())


async def test_watchers_miss_nothing_when_the_listening_connection_is_cut(astra: Astra) -> None:
    run = await astra.create()
    fence = (await astra.begin(run.task_run_id)).fence
    stops = astra.runs.WatchStopRequests(run_pb.WatchStopRequestsRequest())
    assert "" == (await anext(aiter(stops))).task_run_id
    runs = astra.api.WatchTaskRuns(run_pb.WatchTaskRunsRequest())
    assert run.task_run_id == (await anext(aiter(runs))).task_run.task_run_id
    events = asyncio.create_task(events_from(astra, run.task_run_id))

    await cut_listening_connections(astra)
    quick = await astra.create()
    await astra.complete(quick.task_run_id, (await astra.begin(quick.task_run_id)).fence)
    await astra.stop(run.thread_id, 9)
    await astra.complete(run.task_run_id, fence)

    assert list(range(1, 4)) == [event.seq for event in await events]
    ended: set[str] = set()
    while ended != {run.task_run_id, quick.task_run_id}:
        found = await until(runs, lambda told: told.task_run.status == TASK_RUN_STATUS_COMPLETED)
        ended.add(found.task_run.task_run_id)
    stops.cancel()
    runs.cancel()


async def test_stop_requests_are_told_first_as_they_are_and_then_as_they_come(astra: Astra) -> None:
    asked_before, asked_later = await astra.create(), await astra.create()
    over = await astra.create()
    for run in (asked_before, over):
        await astra.stop(run.thread_id, 9)
    await astra.complete(over.task_run_id, (await astra.begin(over.task_run_id)).fence)
    stream = astra.runs.WatchStopRequests(run_pb.WatchStopRequestsRequest())
    told = aiter(stream)
    assert ["", asked_before.task_run_id] == [(await anext(told)).task_run_id for _ in range(2)]
    await astra.stop(asked_later.thread_id, 9)
    await until(stream, lambda each: each.task_run_id == asked_later.task_run_id)
    with acting_for(await astra.add_tenant()):
        of_other_tenant = await astra.create()
        await astra.stop(of_other_tenant.thread_id, 9)
    await until(stream, lambda each: each.task_run_id == of_other_tenant.task_run_id)
    stream.cancel()


async def test_runs_are_told_as_they_change_to_their_own_tenant_only(astra: Astra) -> None:
    known = await astra.create()
    stream = astra.api.WatchTaskRuns(run_pb.WatchTaskRunsRequest())
    assert known == (await anext(aiter(stream))).task_run
    with acting_for(await astra.add_tenant()):
        foreign = await astra.create()
    made = await astra.create()
    seen: list[str] = []
    await until(
        stream,
        lambda told: seen.append(told.task_run.task_run_id) or told.task_run == made,  # pyright: ignore
    )
    assert foreign.task_run_id not in seen
    assert TASK_RUN_STATUS_QUEUED == made.status
    fence = (await astra.begin(made.task_run_id)).fence
    await astra.complete(made.task_run_id, fence)
    await until(stream, lambda told: told.task_run.status == TASK_RUN_STATUS_COMPLETED)
    stream.cancel()


async def test_a_service_that_leaves_lets_its_watchers_go_at_once(
    database_urls: DatabaseUrls, tokens: Mapping[str, str]
) -> None:
    async with running(settings_for(database_urls)) as server:
        channel = connect(server.address, tokens["worker"])
        runs: Any = TaskRunServiceStub(channel)
        stops = runs.WatchStopRequests(run_pb.WatchStopRequestsRequest())
        assert "" == (await anext(aiter(stops))).task_run_id
        left = time.monotonic()
    assert time.monotonic() - left < DRAIN_SECONDS / 2
    with refused("SERVICE_UNAVAILABLE"):
        await anext(aiter(stops))
    await channel.close()


async def test_without_the_role_that_looks_tokens_up_the_service_is_not_healthy(
    database_urls: DatabaseUrls,
) -> None:
    url = database_urls.relay.replace("astra_relay", "nobody")
    async with running(settings_for(database_urls, RELAY_DATABASE_URL=url)) as server:
        assert ["postgresql"] == server.missing


async def test_watcher_far_behind_is_told_to_read_everything() -> None:
    watch = Watch("task_run_changed", "tenant ")
    for number in range(PENDING_MAX):
        watch.tell(f"tenant {number}")
    changes = await watch.changes()
    assert (PENDING_MAX, False) == (len(changes.words), changes.everything)
    for number in range(PENDING_MAX + 1):
        watch.tell(f"tenant {number}")
    changes = await watch.changes()
    assert ([], True) == (changes.words, changes.everything)


async def test_a_reader_has_the_text_while_it_is_written_and_workers_hear_of_the_reader(astra: Astra) -> None:
    run = await astra.create()
    fence = (await astra.begin(run.task_run_id)).fence
    told = astra.runs.WatchStopRequests(run_pb.WatchStopRequestsRequest())
    assert "" == (await anext(aiter(told))).task_run_id
    request = run_pb.WatchTaskRunRequest(task_run_id=run.task_run_id, with_text=True)
    reading = astra.api.WatchTaskRun(request)
    await until(told, lambda each: each.read_along_task_run_id == run.task_run_id)

    for word, of_fence in (("Once", fence + 1), (" stale", fence), (" upon \0\U0001f600", fence + 1)):
        text = run_pb.StreamedText(fence=of_fence, position=1, offset=4, text=word)
        await astra.runs.PublishText(run_pb.PublishTextRequest(task_run_id=run.task_run_id, text=text))
    first = await until(reading, lambda each: each.HasField("text"))
    second = await until(reading, lambda each: each.HasField("text"))
    assert [first.text.text, second.text.text] == ["Once", " upon \0\U0001f600"]

    await astra.complete(run.task_run_id, fence)
    ended = await until(reading, lambda each: each.task_event.HasField("agent_completed"))
    assert ended
    reading.cancel()
    told.cancel()


async def test_text_reaches_only_those_who_want_it_and_only_of_their_tenant(astra: Astra) -> None:
    run = await astra.create()
    fence = (await astra.begin(run.task_run_id)).fence
    plain = asyncio.create_task(events_from(astra, run.task_run_id))
    other = await astra.add_tenant()
    text = run_pb.StreamedText(fence=1, position=1, text="secret")
    with acting_for(other):
        await astra.runs.PublishText(run_pb.PublishTextRequest(task_run_id=run.task_run_id, text=text))
    request = run_pb.WatchTaskRunRequest(task_run_id=run.task_run_id, with_text=True)
    reading = astra.api.WatchTaskRun(request)
    await until(reading, lambda each: each.HasField("task_event"))
    with acting_for(other):
        await astra.runs.PublishText(run_pb.PublishTextRequest(task_run_id=run.task_run_id, text=text))
    await astra.complete(run.task_run_id, fence)
    rest = [each async for each in reading]
    assert not any(each.HasField("text") for each in rest)
    assert [event.seq for event in await plain] == [1, 2]
