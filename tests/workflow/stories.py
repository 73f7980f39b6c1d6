"""Threads as they go: each story is played against the server, and its saved history is replayed.

After a change to the workflow that is meant, save them anew: `python -m tests.workflow.stories`.
A change to what is already recorded takes `workflow.patched` and keeps the old histories too.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError

from services.worker.steps import Progress, RunToEnd, RunToWork, WorkResult
from tests.workflow.stage import SUGGEST_CONTINUE_AS_NEW_EVENTS, Meeting, Stage, staged

HISTORIES = Path(__file__).parent / "histories"
Handle = WorkflowHandle[Any, None]
Story = Callable[[Stage], Awaitable[Handle]]


async def three_events_in_order(stage: Stage) -> Handle:
    """Each event is finished before the next is claimed; one of them asks for nothing."""
    stage.add_event("thread", "r1")
    stage.add_event("thread")
    handle = await stage.tell("thread", "r2")
    await handle.result()
    assert stage.finished["thread"] == ["e0", "e1", "e2"]
    assert [run.task_run_id for run in stage.worked] == ["r1", "r2"]
    return handle


async def two_models_side_by_side(stage: Stage) -> Handle:
    """The runs of one event work at the same time: each waits for the other to have begun."""
    meeting = Meeting(2)

    async def meet(_run: RunToWork) -> WorkResult:
        await meeting.arrive()
        return WorkResult(Progress.OVER)

    stage.work = meet
    handle = await stage.tell("thread", "r1", "r2")
    await handle.result()
    assert sorted(run.task_run_id for run in stage.worked) == ["r1", "r2"]
    return handle


async def a_wait_ends_by_its_timer(stage: Stage) -> Handle:
    """The run is taken up again at its time, knowing that it waited."""

    async def wait_once(run: RunToWork) -> WorkResult:
        if run.resume_time_ms:
            assert time.time() * 1000 >= run.resume_time_ms - 50
            return WorkResult(Progress.OVER)
        return WorkResult(Progress.WAIT, round(time.time() * 1000) + 300)

    stage.work = wait_once
    handle = await stage.tell("thread", "r1")
    await handle.result()
    assert [bool(run.resume_time_ms) for run in stage.worked] == [False, True]
    return handle


async def a_ring_ends_a_wait(stage: Stage) -> Handle:
    """An hour's wait is over when the bell rings, for it may be a stop."""
    waits = asyncio.Event()

    async def wait_once(run: RunToWork) -> WorkResult:
        if run.task_run_id == "r2" or run.resume_time_ms:
            return WorkResult(Progress.OVER)
        waits.set()
        return WorkResult(Progress.WAIT, round(time.time() * 1000) + 3_600_000)

    stage.work = wait_once
    handle = await stage.tell("thread", "r1")
    await waits.wait()
    await stage.tell("thread", "r2")
    await handle.result()
    assert stage.finished["thread"] == ["e0", "e1"]
    return handle


async def a_run_that_waits_for_money_goes_on_when_rung(stage: Stage) -> Handle:
    """It knows when its pause ends; once it has gone on, it knows of none."""
    expires_ms = round(time.time() * 1000) + 3_600_000
    waits = asyncio.Event()

    async def pause_then_leave(run: RunToWork) -> WorkResult:
        if len(stage.worked) == 1:
            waits.set()
            return WorkResult(Progress.WAIT, expires_ms, expires_ms)
        return WorkResult(Progress.CONTINUE if run.pause_expires_ms else Progress.OVER)

    stage.work = pause_then_leave
    handle = await stage.tell("thread", "r1")
    await waits.wait()
    await stage.ring("thread")
    await handle.result()
    assert [run.pause_expires_ms for run in stage.worked] == [0, expires_ms, 0]
    return handle


async def a_run_handed_back_is_taken_up(stage: Stage) -> Handle:
    """A worker that leaves hands the run back, and it goes on at once."""
    left = iter([Progress.CONTINUE, Progress.CONTINUE, Progress.OVER])

    async def leave_twice(_run: RunToWork) -> WorkResult:
        return WorkResult(next(left))

    stage.work = leave_twice
    handle = await stage.tell("thread", "r1")
    await handle.result()
    assert [run.task_run_id for run in stage.worked] == ["r1"] * 3
    return handle


async def a_failed_run_is_given_up_beside_one_that_succeeds(stage: Stage) -> Handle:
    """A final failure ends its own run, with its reason, and not the other."""

    async def fail(run: RunToWork) -> WorkResult:
        if run.task_run_id == "r1":
            raise ApplicationError("MODEL_MISTAKES r1", type="MODEL_MISTAKES", non_retryable=True)
        return WorkResult(Progress.OVER)

    stage.work = fail
    handle = await stage.tell("thread", "r1", "r2")
    await handle.result()
    assert stage.given_up == [RunToEnd("tenant", "r1", "MODEL_MISTAKES")]
    assert stage.finished["thread"] == ["e0"]
    return handle


async def a_cancelled_workflow_ends_its_runs(stage: Stage) -> Handle:
    """Cancelled by hand, the workflow still writes how its runs end."""
    works = Meeting(3)

    async def hang(_run: RunToWork) -> WorkResult:
        await works.arrive()
        await asyncio.Event().wait()
        raise AssertionError("never set")

    stage.work = hang
    handle = await stage.tell("thread", "r1", "r2")
    await works.arrive()
    await handle.cancel()
    with suppress(WorkflowFailureError):
        await handle.result()
    assert sorted(run.task_run_id for run in stage.given_up) == ["r1", "r2"]
    assert {(run.reason, run.cancelled) for run in stage.given_up} == {("WORKFLOW_CANCELLED", True)}
    return handle


async def a_long_thread_is_continued_as_new(stage: Stage) -> Handle:
    """Between two events, carrying the finished one, so that none is worked on twice."""
    events = SUGGEST_CONTINUE_AS_NEW_EVENTS // 4  # each leaves about seven in the history
    for number in range(events):
        stage.add_event("thread", f"r{number}")
    handle = await stage.ring("thread")
    await handle.result()
    assert [run.task_run_id for run in stage.worked] == [f"r{number}" for number in range(events)]
    assert stage.finished["thread"] == [f"e{number}" for number in range(events)]
    first = await stage.first_run(handle).describe()
    assert first.status is WorkflowExecutionStatus.CONTINUED_AS_NEW
    return handle


STORIES: list[Story] = [
    three_events_in_order,
    two_models_side_by_side,
    a_wait_ends_by_its_timer,
    a_ring_ends_a_wait,
    a_run_that_waits_for_money_goes_on_when_rung,
    a_run_handed_back_is_taken_up,
    a_failed_run_is_given_up_beside_one_that_succeeds,
    a_cancelled_workflow_ends_its_runs,
    a_long_thread_is_continued_as_new,
]


async def save_histories(client: Client) -> None:
    """Play every story and keep its history."""
    HISTORIES.mkdir(exist_ok=True)
    for story in STORIES:
        async with staged(client) as stage:
            history = await stage.first_run(await story(stage)).fetch_history()
            text = json.dumps(_without_stack_traces(json.loads(history.to_json())), indent=1)
            (HISTORIES / f"{story.__name__}.json").write_text(text + "\n")


def _without_stack_traces(value: Any) -> Any:
    """They name the paths of this machine, and replay does not read them."""
    if isinstance(value, dict):
        return {key: _without_stack_traces(each) for key, each in value.items() if key != "stackTrace"}
    return [_without_stack_traces(each) for each in value] if isinstance(value, list) else value


async def _main() -> None:
    from tests.workflow.conftest import start_temporal

    async with await start_temporal() as environment:
        await save_histories(environment.client)


if __name__ == "__main__":
    asyncio.run(_main())
