"""The activities against the other services in memory: what is recorded is never paid or posted twice."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from aucert.astra.v1 import task_run_pb2 as task_run
from aucert.astra.v1.task_run_service_pb2 import WatchStopRequestsResponse
from aucert.models.v1.generation_pb2 import FINISH_REASON_CONTENT_FILTER, FINISH_REASON_LENGTH, PassedOver
from aucert.models.v1.message_pb2 import ROLE_ASSISTANT, ROLE_TOOL, Message, ToolResult
from aucert.tools.v1.tool_pb2 import TOOL_EFFECT_WRITE
from aucert.tools.v1.tool_service_pb2 import CallToolRequest, CallToolResponse
from services.common.billing import UNBILLED
from services.common.crashpoints import CrashPoint
from services.common.errors import Exhausted, NotFound, Refused, ServiceError, Unavailable
from services.worker import endings, reading_along, run, tool_calls
from services.worker.activities import Activities
from services.worker.catalogue import Catalogue
from services.worker.endings import Endings
from services.worker.notifying import NOTICE_PATIENCE, NOTICE_TRIES_IN_PLACE, NOTICE_WAIT, Notifier
from services.worker.pauses import Pauses
from services.worker.reading_along import Readers
from services.worker.steps import Progress, RunToEnd, RunToWork, WorkResult
from services.worker.stops import Stops
from services.worker.tool_calls import CALLS_AT_ONCE_MAX
from tests.workflow.fakes import RESERVED, TENANT, Services, calling, said

BUDGET_WAIT = timedelta(hours=24)
SECRET = "the-customer's-words"


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the worker may catch it."""


@dataclasses.dataclass
class Worker:
    """The activities of one worker process, run as Temporal would."""

    activities: Activities
    services: Services
    readers: Readers
    attempt: int = 1

    def environment(self) -> ActivityEnvironment:
        environment = ActivityEnvironment()
        environment.info = dataclasses.replace(
            environment.info, heartbeat_timeout=timedelta(seconds=2), attempt=self.attempt
        )
        return environment

    async def work(
        self, task_run_id: str, resume_time_ms: int = 0, pause_expires_ms: int = 0, pause_position: int = 0
    ) -> WorkResult:
        run_to_work = RunToWork(TENANT, task_run_id, resume_time_ms, pause_expires_ms, pause_position)
        return await self.environment().run(self.activities.work_on_run, run_to_work)

    async def give_up(
        self, task_run_id: str, reason: str = "MODEL_MISTAKES", *, cancelled: bool = False
    ) -> None:
        run_to_end = RunToEnd(TENANT, task_run_id, reason, cancelled)
        await self.environment().run(self.activities.give_up, run_to_end)


@pytest.fixture
async def worker(services: Services) -> AsyncIterator[Worker]:
    stubs = services.stubs
    stops = Stops(stubs.runs)
    listening = asyncio.create_task(stops.listen())
    await stops.listening.wait()
    notifier = Notifier(stubs.runs, stubs.threads, wait_seconds=0.001)
    activities = Activities(
        stubs,
        Catalogue(stubs.models, stubs.tools),
        Endings(stubs.runs, stubs.threads, notifier, worker="w1", resolve_after=("spec_finalize",)),
        Pauses(stubs.runs, notifier, budget_wait=BUDGET_WAIT),
        stops,
        worker="w1",
        heartbeat_seconds=2,
    )
    yield Worker(activities, services, stops.readers)
    listening.cancel()
    await asyncio.wait([listening])


def read_then_answer(messages: list[Message]) -> Message:
    """Reads two files, then answers with how many results it was given."""
    results = [part for message in messages if message.role == ROLE_TOOL for part in message.parts]
    if not results:
        return calling("repo_read_file", "repo_read_file")
    return said(ROLE_ASSISTANT, f"[S46] {len(results)} results.")


def once(error: ServiceError) -> Callable[[int], ServiceError | None]:
    return lambda calls: error if calls == 1 else None


def always(error: ServiceError) -> Callable[[int], ServiceError | None]:
    return lambda _: error


async def test_a_run_reads_answers_and_completes(worker: Worker, services: Services) -> None:
    services.models.script = read_then_answer
    run_id = services.astra.add_run()

    assert await worker.work(run_id) == WorkResult(Progress.OVER)

    record = services.astra.records[run_id]
    assert record.run.outcome == task_run.TASK_RUN_OUTCOME_SUCCESS
    assert record.run.output_text == "[R0] 2 results."
    assert services.tools.posts == {(run_id, "answer"): "[R0] 2 results."}
    assert services.tools.origins == [(run_id, "t1_0", 1), (run_id, "t1_1", 1)]
    assert list(record.reservations.values()) == ["settled", "settled"]
    assert services.models.requests[0].system.startswith("You answer.")
    assert [tool.name for tool in services.models.requests[0].tools] == ["repo_read_file"]


@pytest.mark.parametrize(
    ("point", "abandoned"),
    [
        (CrashPoint.SPEND_RESERVED, 1),
        (CrashPoint.PROVIDER_ANSWERED, 1),
        (CrashPoint.TURN_COMMITTED, 0),
        (CrashPoint.ANSWER_POSTED, 0),
        (CrashPoint.RUN_COMPLETED, 0),
    ],
)
@pytest.mark.parametrize("reached", [1, 2])
async def test_a_run_killed_anywhere_is_resumed_from_the_record(
    worker: Worker,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
    point: CrashPoint,
    abandoned: int,
    reached: int,
) -> None:
    left = (
        reached
        if point in {CrashPoint.SPEND_RESERVED, CrashPoint.PROVIDER_ANSWERED, CrashPoint.TURN_COMMITTED}
        else 1
    )

    def reach(passed: CrashPoint) -> None:
        nonlocal left
        left -= passed == point
        if passed == point and left == 0:
            raise Killed

    monkeypatch.setattr(run, "reach", reach)
    monkeypatch.setattr(endings, "reach", reach)
    services.models.script = read_then_answer
    run_id = services.astra.add_run()

    with pytest.raises(Killed):
        await worker.work(run_id)
    assert await worker.work(run_id) == WorkResult(Progress.OVER)

    record = services.astra.records[run_id]
    called = services.faults.calls["Generate"] + (point is CrashPoint.SPEND_RESERVED)
    assert record.run.outcome == task_run.TASK_RUN_OUTCOME_SUCCESS
    assert (record.count("settled"), record.count("abandoned"), record.count("open")) == (2, abandoned, 0)
    assert called == 2 + abandoned
    assert services.tools.posts == {(run_id, "answer"): "[R0] 2 results."}
    assert services.tools.posts_sent == 1


async def test_an_attempt_with_a_stale_fence_changes_nothing_and_hands_back(
    worker: Worker, services: Services
) -> None:
    services.models.hang.clear()
    run_id = services.astra.add_run()
    stalled = asyncio.create_task(worker.work(run_id))
    await services.models.generating.wait()

    services.astra.records[run_id].run.attempt_fence += 1  # a newer attempt began
    services.models.hang.set()

    assert await stalled == WorkResult(Progress.CONTINUE)
    record = services.astra.records[run_id]
    assert len(record.turns) == 1
    assert record.run.status == task_run.TASK_RUN_STATUS_IN_PROGRESS
    assert services.tools.posts == {}


async def test_a_stop_cuts_the_model_at_once(worker: Worker, services: Services) -> None:
    services.models.hang.clear()  # the model never finishes
    run_id = services.astra.add_run()
    working = asyncio.create_task(worker.work(run_id))
    await services.models.generating.wait()

    asked = time.monotonic()
    services.astra.ask_to_stop(run_id)
    async with asyncio.timeout(1.0):
        assert await working == WorkResult(Progress.OVER)

    assert time.monotonic() - asked < 1.0
    run_record = services.astra.records[run_id].run
    assert (run_record.outcome, run_record.outcome_reason) == (
        task_run.TASK_RUN_OUTCOME_CANCELLED,
        "STOP_REQUESTED",
    )
    assert list(services.tools.posts) == [(run_id, "cancelled")]


async def test_a_run_stopped_before_it_began_never_calls_the_model(
    worker: Worker, services: Services
) -> None:
    run_id = services.astra.add_run()
    services.astra.ask_to_stop(run_id)

    assert await worker.work(run_id) == WorkResult(Progress.OVER)

    assert services.models.requests == []
    assert list(services.tools.posts) == [(run_id, "cancelled")]


def kill_at(point: CrashPoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kill the worker the next time it comes by."""
    killed = False

    def reach(passed: CrashPoint) -> None:
        nonlocal killed
        if passed == point and not killed:
            killed = True
            raise Killed

    for module in (run, endings):
        monkeypatch.setattr(module, "reach", reach)


@pytest.mark.parametrize("error", [None, Refused("Not here.", reason="VENDOR_REFUSED")])
async def test_a_run_that_was_asked_to_resolve_answers_and_marks_the_thread_done(
    worker: Worker, services: Services, error: ServiceError | None
) -> None:
    run_id, plain_id = services.astra.add_run(), services.astra.add_run()
    run = services.astra.records[run_id].run
    run.operation = "resolve_comment"
    services.faults.before["ResolveThread"] = lambda _: error

    assert await worker.work(run_id) == await worker.work(plain_id) == WorkResult(Progress.OVER)

    assert services.tools.resolved == ([] if error else [run.address])
    assert run.outcome == task_run.TASK_RUN_OUTCOME_SUCCESS
    assert sorted(services.tools.posts) == sorted([(run_id, "answer"), (plain_id, "answer")])


@pytest.mark.parametrize(
    ("operation", "trusted", "expected"),
    [("spec_finalize", True, 1), ("spec_finalize", False, 0), ("answer", True, 0)],
)
async def test_unasked_a_thread_is_resolved_only_after_what_the_setting_names_and_for_people_of_the_place(
    worker: Worker, services: Services, operation: str, trusted: bool, expected: int
) -> None:
    run_id = services.astra.add_run()
    run = services.astra.records[run_id].run
    run.operation, run.requester_trusted = operation, trusted

    assert WorkResult(Progress.OVER) == await worker.work(run_id)

    assert expected == len(services.tools.resolved)


def cap_reached(**amounts: int) -> Refused:
    """As Astra refuses a reservation."""
    told = {"limit": 50_000, "spent": 41_200, "reserved": 0, "needed": 31_000} | amounts
    metadata = {"cap": "run"} | {f"{name}_usd_micros": str(value) for name, value in told.items()}
    return Refused("Too little.", reason="BUDGET_EXHAUSTED", metadata=metadata)


async def test_a_run_whose_cap_is_reached_pauses_and_says_how_it_goes_on(
    worker: Worker, services: Services
) -> None:
    services.models.script = read_then_answer
    services.faults.before["ReserveSpend"] = lambda calls: cap_reached() if calls > 1 else None
    services.astra.caps_are_reached = True
    run_id = services.astra.add_run()

    before = time.time() * 1000
    paused = await worker.work(run_id)

    wait_ms = BUDGET_WAIT / timedelta(milliseconds=1)
    assert (Progress.WAIT, paused.resume_time_ms) == (paused.progress, paused.pause_expires_ms)
    assert before + wait_ms - 1 <= paused.resume_time_ms <= time.time() * 1000 + wait_ms
    record = services.astra.records[run_id]
    assert (task_run.TASK_RUN_STATUS_WAITING, task_run.WAIT_REASON_BUDGET) == (
        record.run.status,
        record.run.waiting_for,
    )
    assert paused.resume_time_ms == record.run.wait_expires_time.ToMilliseconds()
    assert len(record.turns) == 3  # the results that were paid for are on record
    text = services.tools.posts[run_id, "paused"]
    assert text == (
        "Paused: of the $0.0500 that one run may spend, $0.0412 is spent, and the next step may cost up to "
        f"$0.0310 (run `{run_id}`). It goes on when an operator raises the cap, as with "
        f"`astra budget set run 1 --run {run_id}`, and is given up after 24 hours."
    )

    services.faults.before.clear()
    assert await worker.work(run_id, *dataclasses.astuple(paused)[1:]) == paused  # rung, but not raised
    record.run.status = task_run.TASK_RUN_STATUS_IN_PROGRESS  # as SetCap does
    assert await worker.work(run_id, *dataclasses.astuple(paused)[1:]) == WorkResult(Progress.OVER)
    assert services.tools.posts[run_id, "answer"] == "[R0] 2 results."
    assert len(services.models.requests) == 2


async def test_a_run_that_is_raised_too_little_waits_on_without_another_notice(
    worker: Worker, services: Services
) -> None:
    services.faults.before["ReserveSpend"] = always(cap_reached())
    run_id = services.astra.add_run()
    paused = await worker.work(run_id)
    services.astra.records[run_id].run.status = task_run.TASK_RUN_STATUS_IN_PROGRESS

    assert await worker.work(run_id, *dataclasses.astuple(paused)[1:]) == paused

    assert services.astra.records[run_id].events == ["waiting", "notice paused", "waiting"]
    assert services.tools.posts_sent == 1


@pytest.mark.parametrize(
    ("method", "between"),
    [
        ("ReserveSpend", Exhausted("held", reason="BUDGET_HELD", retry_after=timedelta(seconds=60))),
        ("PrepareWorkspace", Exhausted("slow", reason="VENDOR_RATE_LIMITED")),
        ("ReserveSpend", Refused("A newer attempt is at work.", reason="FENCE_STALE")),
    ],
)
async def test_a_wait_for_money_keeps_its_end_whatever_else_the_run_waits_for(
    worker: Worker, services: Services, method: str, between: ServiceError
) -> None:
    services.models.script = read_then_answer
    services.faults.before["ReserveSpend"] = lambda calls: cap_reached() if calls > 1 else None
    services.astra.caps_are_reached = True
    run_id = services.astra.add_run()
    paused = await worker.work(run_id)
    record = services.astra.records[run_id]
    record.run.status = task_run.TASK_RUN_STATUS_IN_PROGRESS
    record.run.commit = ""

    services.faults.before = {method: always(between)}
    _, _, *pause = dataclasses.astuple(await worker.work(run_id, 0, *dataclasses.astuple(paused)[2:]))
    assert [paused.pause_expires_ms, 2] == pause

    services.faults.before = {"ReserveSpend": always(cap_reached())}
    assert await worker.work(run_id, 0, *pause) == paused


async def test_a_run_that_went_on_after_its_pause_has_a_whole_one_at_the_next_shortage(
    worker: Worker, services: Services
) -> None:
    services.models.script = read_then_answer
    services.astra.caps_are_reached = True
    services.faults.before["ReserveSpend"] = lambda calls: cap_reached() if calls > 1 else None
    run_id = services.astra.add_run()
    past = round(time.time() * 1000) - 1

    paused = await worker.work(run_id, 0, past, 0)  # its first turn is recorded; the second is too dear

    assert paused.progress is Progress.WAIT
    assert paused.pause_expires_ms > past + BUDGET_WAIT / timedelta(milliseconds=1)
    assert paused.pause_position == 2
    again = await worker.work(run_id, 0, past, 0)  # as after a crash: the record tells that it went on
    assert again.pause_expires_ms >= paused.pause_expires_ms


async def test_a_run_that_waited_for_money_in_vain_fails_and_says_so(
    worker: Worker, services: Services
) -> None:
    services.faults.before["ReserveSpend"] = always(cap_reached())
    run_id = services.astra.add_run()
    await worker.work(run_id)
    past = round(time.time() * 1000) - 1

    with pytest.raises(ApplicationError) as failed:
        await worker.work(run_id, past, past)
    assert ("BUDGET", True) == (failed.value.type, failed.value.non_retryable)
    await worker.give_up(run_id, "BUDGET")

    record = services.astra.records[run_id]
    assert (task_run.TASK_RUN_OUTCOME_FAILURE, "BUDGET") == (record.run.outcome, record.run.outcome_reason)
    assert [(run_id, "paused"), (run_id, "failed")] == list(services.tools.posts)
    assert services.models.requests == []


async def test_a_paused_notice_is_not_taken_for_the_notice_of_the_end(
    worker: Worker, services: Services
) -> None:
    services.faults.before["ReserveSpend"] = always(cap_reached())
    run_id = services.astra.add_run()
    paused = await worker.work(run_id)
    services.astra.end_past_deadline(run_id)

    assert await worker.work(run_id, *dataclasses.astuple(paused)[1:]) == WorkResult(Progress.OVER)

    assert [(run_id, "paused"), (run_id, "failed")] == list(services.tools.posts)


async def test_a_pause_whose_notice_nobody_takes_says_so_on_record_and_waits(
    worker: Worker, services: Services
) -> None:
    services.faults.before["ReserveSpend"] = always(cap_reached())
    services.faults.before["PostNotice"] = always(Refused("Locked.", reason="VENDOR_REFUSED"))
    run_id = services.astra.add_run()

    assert (await worker.work(run_id)).progress is Progress.WAIT

    assert services.astra.records[run_id].events == ["waiting", "notice_undelivered paused"]


async def test_a_pause_is_tried_again_while_the_vendor_is_away(worker: Worker, services: Services) -> None:
    services.faults.before["ReserveSpend"] = always(cap_reached())
    away = Unavailable("away", reason="VENDOR_UNAVAILABLE")
    services.faults.before["PostNotice"] = lambda calls: away if calls <= NOTICE_TRIES_IN_PLACE else None
    run_id = services.astra.add_run()

    with pytest.raises(ApplicationError) as failed:
        await worker.work(run_id)
    assert (failed.value.type, failed.value.non_retryable) == ("VENDOR_UNAVAILABLE", False)
    assert (await worker.work(run_id)).progress is Progress.WAIT

    assert [(run_id, "paused")] == list(services.tools.posts)


async def test_money_that_other_calls_hold_is_waited_for_without_a_notice(
    worker: Worker, services: Services
) -> None:
    held = Exhausted("held", reason="BUDGET_HELD", retry_after=timedelta(milliseconds=1))
    services.faults.before["ReserveSpend"] = once(held)
    run_id = services.astra.add_run()

    assert await worker.work(run_id) == WorkResult(Progress.OVER)

    assert [(run_id, "answer")] == list(services.tools.posts)


@pytest.mark.parametrize("since", ["stopped", "given up", "overdue"])
async def test_an_answer_that_was_posted_is_how_the_run_ends_whatever_came_after(
    worker: Worker, services: Services, monkeypatch: pytest.MonkeyPatch, since: str
) -> None:
    kill_at(CrashPoint.ANSWER_POSTED, monkeypatch)
    run_id = services.astra.add_run()
    with pytest.raises(Killed):
        await worker.work(run_id)

    match since:
        case "stopped":
            services.astra.ask_to_stop(run_id)
            assert await worker.work(run_id) == WorkResult(Progress.OVER)
        case "overdue":
            services.astra.records[run_id].run.deadline_time.FromSeconds(1)
            assert await worker.work(run_id) == WorkResult(Progress.OVER)
        case _:
            await worker.give_up(run_id, "WORKFLOW_CANCELLED", cancelled=True)

    record = services.astra.records[run_id]
    assert record.run.outcome == task_run.TASK_RUN_OUTCOME_SUCCESS
    assert list(services.tools.posts) == [(run_id, "answer")]
    assert record.events == []


async def test_a_stop_wins_over_an_answer_that_was_not_posted(
    worker: Worker, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_at(CrashPoint.TURN_COMMITTED, monkeypatch)
    run_id = services.astra.add_run()
    with pytest.raises(Killed):
        await worker.work(run_id)

    services.astra.ask_to_stop(run_id)
    assert await worker.work(run_id) == WorkResult(Progress.OVER)

    assert list(services.tools.posts) == [(run_id, "cancelled")]


async def test_giving_up_waits_for_an_answer_that_was_begun(worker: Worker, services: Services) -> None:
    limited = Exhausted("slow", reason="VENDOR_RATE_LIMITED", retry_after=timedelta(seconds=90))
    errors = [Unavailable("away", reason="VENDOR_UNAVAILABLE"), limited]
    services.faults.before["PostAnswer"] = lambda calls: errors[calls - 1] if calls <= len(errors) else None
    run_id = services.astra.add_run()
    with pytest.raises(ApplicationError):
        await worker.work(run_id)

    with pytest.raises(ApplicationError) as early:
        await worker.give_up(run_id, "VENDOR_UNAVAILABLE")
    assert (early.value.type, early.value.next_retry_delay) == ("VENDOR_RATE_LIMITED", limited.retry_after)
    await worker.give_up(run_id, "VENDOR_UNAVAILABLE")

    assert services.astra.records[run_id].run.outcome == task_run.TASK_RUN_OUTCOME_SUCCESS
    assert list(services.tools.posts) == [(run_id, "answer")]


async def test_the_stop_stream_is_taken_up_again(worker: Worker, services: Services) -> None:
    services.faults.before["WatchStopRequests"] = once(Unavailable("away"))
    stops = Stops(services.stubs.runs)
    listening = asyncio.create_task(stops.listen())

    await stops.listening.wait()
    with stops.watching("run") as stopped:
        services.astra.tell_workers(WatchStopRequestsResponse(task_run_id="run"))
        await stopped.wait()
    listening.cancel()
    await asyncio.wait([listening])


async def test_mistakes_are_told_to_the_model_within_a_bound(worker: Worker, services: Services) -> None:
    services.models.script = lambda _: calling("no_such_tool")
    run_id = services.astra.add_run()

    with pytest.raises(ApplicationError) as failed:
        await worker.work(run_id)

    assert (failed.value.type, failed.value.non_retryable) == ("MODEL_MISTAKES", True)
    assert len(services.models.requests) == services.astra.ceilings.mistakes_max + 1
    told = services.models.requests[1].messages[-1].parts[0].tool_result
    assert told == ToolResult(
        call_id="t1_0",
        text="There is no tool of that name. You have: repo_read_file.",
        failed=True,
        fixable=True,
    )
    assert services.tools.origins == []


async def test_an_empty_answer_is_corrected_and_then_answered(worker: Worker, services: Services) -> None:
    services.models.script = lambda messages: said(
        ROLE_ASSISTANT, "[R0]" if len(messages) == 1 else "Here it is."
    )
    run_id = services.astra.add_run()

    await worker.work(run_id)

    assert services.tools.posts == {(run_id, "answer"): "[R0] Here it is."}


async def test_an_answer_cut_at_the_output_limit_is_continued_and_posted_whole(
    worker: Worker, services: Services
) -> None:
    services.models.finish_reasons = [FINISH_REASON_LENGTH]
    services.models.script = lambda messages: said(ROLE_ASSISTANT, "One " if len(messages) == 1 else "two.")
    run_id = services.astra.add_run()
    assert await worker.work(run_id) == WorkResult(Progress.OVER)
    assert services.tools.posts[run_id, "answer"] == "[R0] One two."


async def test_a_filtered_answer_ends_the_run_with_its_reason(worker: Worker, services: Services) -> None:
    services.models.finish_reasons = [FINISH_REASON_CONTENT_FILTER]
    with pytest.raises(ApplicationError) as failed:
        await worker.work(services.astra.add_run())
    assert (failed.value.type, failed.value.non_retryable) == ("MODEL_FILTERED", True)


async def test_models_passed_over_are_on_record_and_charged_within_what_was_set_aside(
    worker: Worker, services: Services
) -> None:
    services.models.label = "K26"
    services.models.passed_over = [
        PassedOver(model_alias="sonnet", reason="MODEL_UNAVAILABLE", cost_usd_micros=300)
    ]
    run_id = services.astra.add_run()
    await worker.work(run_id)
    record = services.astra.records[run_id]
    assert record.passed_over == services.models.passed_over
    assert record.turns[-1].cost_usd_micros == 500
    assert services.tools.posts[run_id, "answer"].startswith("[K26] ")

    services.models.passed_over[0].cost_usd_micros = 10 * RESERVED
    run_id = services.astra.add_run()
    await worker.work(run_id)
    assert services.astra.records[run_id].turns[-1].cost_usd_micros == RESERVED


async def test_what_was_set_aside_for_a_call_never_made_is_freed(worker: Worker, services: Services) -> None:
    services.models.script = lambda _: calling("repo_read_file")
    services.tools.reply = lambda _: CallToolResponse(text="no", failed=True, fixable=True)
    run_id = services.astra.add_run()
    with pytest.raises(ApplicationError) as failed:
        await worker.work(run_id)
    record = services.astra.records[run_id]
    assert failed.value.type == "MODEL_MISTAKES"
    assert (record.count("open"), record.count("abandoned")) == (0, 0)


@pytest.mark.parametrize(("metadata", "left_open"), [(UNBILLED, 0), ({}, 1)])
async def test_a_call_that_no_provider_took_costs_nothing(
    worker: Worker, services: Services, metadata: dict[str, str], left_open: int
) -> None:
    error = Unavailable("away", reason="MODEL_UNAVAILABLE", metadata=metadata)
    services.faults.before["Generate"] = always(error)
    run_id = services.astra.add_run()
    with pytest.raises(ApplicationError):
        await worker.work(run_id)
    assert services.astra.records[run_id].count("open") == left_open


async def test_text_is_sent_to_those_who_read_along_and_only_then(
    worker: Worker, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_along, "SEND_SECONDS", 0.0)
    await worker.work(services.astra.add_run())
    assert services.astra.published == []

    services.models.finish_seconds = 0.1
    services.models.generating.clear()
    services.models.hang.clear()
    run_id = services.astra.add_run()
    working = asyncio.create_task(worker.work(run_id))
    await services.models.generating.wait()
    services.astra.tell_of_reader(run_id)
    async with asyncio.timeout(5):
        while not worker.readers.times_told(run_id):
            await asyncio.sleep(0.005)
        services.models.hang.set()
        assert await working == WorkResult(Progress.OVER)
    pieces = services.astra.published
    assert "".join(piece.text for piece in pieces) == "… and so on"
    assert {(piece.position, piece.fence) for piece in pieces} == {(1, 1)}
    assert worker.readers.times_told(run_id) == 0


@pytest.mark.parametrize("method", ["Generate", "CommitTurn"])
async def test_what_is_unforeseen_around_a_model_call_is_tried_a_few_times_only(
    worker: Worker, services: Services, method: str
) -> None:
    services.faults.before[method] = always(ServiceError("a defect"))
    finals: list[bool] = []
    for worker.attempt in (1, 2, 3):
        with pytest.raises(ApplicationError) as failed:
            await worker.work(services.astra.add_run())
        assert failed.value.type == "MODEL_CALL_BROKEN"
        finals.append(failed.value.non_retryable)
    assert finals == [False, False, True]


async def test_a_follow_up_is_read_before_the_next_turn(worker: Worker, services: Services) -> None:
    run_id = services.astra.add_run()

    def reply(request: CallToolRequest) -> CallToolResponse:
        if not services.astra.records[run_id].turns[-1].thread_event_id:
            services.astra.records[run_id].follow_ups = ["and this?"]
        return CallToolResponse(text="read")

    def script(messages: list[Message]) -> Message:
        heard = "and this?" in messages[-1].parts[0].text
        return said(ROLE_ASSISTANT, "Both.") if heard else calling("repo_read_file")

    services.tools.reply = reply
    services.models.script = script

    await worker.work(run_id)

    assert services.tools.posts == {(run_id, "answer"): "[R0] Both."}


async def test_a_refused_call_is_a_result_for_the_model(worker: Worker, services: Services) -> None:
    services.models.script = read_then_answer
    services.faults.before["CallTool"] = once(Refused("Not here.", reason="PATH_IS_SYMLINK"))
    run_id = services.astra.add_run()

    await worker.work(run_id)

    results = services.models.requests[1].messages[-1].parts
    assert sorted((part.tool_result.failed, part.tool_result.text) for part in results) == [
        (False, "read {}"),
        (True, "Not here."),
    ]


async def test_a_call_cut_by_its_timeout_is_not_the_models_mistake(
    worker: Worker, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool_calls, "TIMEOUT_GRACE_SECONDS", 0.0)
    services.models.script = read_then_answer
    services.tools.timeout = timedelta(milliseconds=50)
    services.tools.call_seconds = 60

    await worker.work(services.astra.add_run())

    results = [part.tool_result for part in services.models.requests[1].messages[-1].parts]
    assert [(True, False)] * 2 == [(result.failed, result.fixable) for result in results]


async def test_a_change_cut_by_its_timeout_is_made_sure_of_by_the_same_call(
    worker: Worker, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool_calls, "TIMEOUT_GRACE_SECONDS", 0.0)
    services.models.script = read_then_answer
    services.tools.effect = TOOL_EFFECT_WRITE
    services.tools.timeout = timedelta(milliseconds=50)
    services.tools.call_seconds = 60
    run_id = services.astra.add_run()

    with pytest.raises(ApplicationError) as failed:
        await worker.work(run_id)
    assert (failed.value.type, failed.value.non_retryable) == ("SERVICE_UNAVAILABLE", False)
    services.tools.call_seconds = 0
    assert await worker.work(run_id) == WorkResult(Progress.OVER)

    assert sorted(services.tools.origins) == [(run_id, "t1_0", 2), (run_id, "t1_1", 2)]
    assert len(services.models.requests) == 2


async def test_a_vendor_that_asks_to_wait_holds_no_worker(worker: Worker, services: Services) -> None:
    services.models.script = read_then_answer
    limited = Exhausted("slow down", reason="VENDOR_RATE_LIMITED", retry_after=timedelta(seconds=45))
    services.faults.before["CallTool"] = once(limited)
    run_id = services.astra.add_run()

    assert (await worker.work(run_id)).progress is Progress.WAIT

    run = services.astra.records[run_id].run
    assert (run.status, run.waiting_for) == (
        task_run.TASK_RUN_STATUS_WAITING,
        task_run.WAIT_REASON_RATE_LIMIT,
    )


async def test_a_run_has_its_repository_prepared_once(worker: Worker, services: Services) -> None:
    services.faults.before["Generate"] = once(Unavailable("away", reason="MODEL_UNAVAILABLE"))
    run_id = services.astra.add_run()

    with pytest.raises(ApplicationError):
        await worker.work(run_id)
    assert await worker.work(run_id) == WorkResult(Progress.OVER)

    assert services.faults.calls["PrepareWorkspace"] == 1


@pytest.mark.parametrize(
    ("error", "final"),
    [
        (Unavailable("down", reason="REPOSITORY_UNREACHABLE"), False),
        (Refused("big", reason="REPOSITORY_TOO_LARGE"), True),
        (NotFound("gone", reason="COMMIT_NOT_FOUND"), True),
    ],
)
async def test_without_its_repository_a_run_calls_no_model(
    worker: Worker, services: Services, error: ServiceError, final: bool
) -> None:
    services.faults.before["PrepareWorkspace"] = always(error)
    run_id = services.astra.add_run()

    with pytest.raises(ApplicationError) as failed:
        await worker.work(run_id)
    await worker.give_up(run_id, error.reason)

    assert (failed.value.type, failed.value.non_retryable) == (error.reason, final)
    assert services.models.requests == []
    assert error.reason in services.tools.posts[run_id, "failed"]
    assert "our side" not in services.tools.posts[run_id, "failed"]


async def test_calls_of_a_turn_run_side_by_side_within_a_bound(worker: Worker, services: Services) -> None:
    services.models.script = lambda messages: (
        calling(*["repo_read_file"] * 20) if len(messages) == 1 else said(ROLE_ASSISTANT, "Done.")
    )
    services.tools.call_seconds = 0.02

    await worker.work(services.astra.add_run())

    assert services.tools.calls_at_once_max == CALLS_AT_ONCE_MAX
    assert len(services.tools.origins) == 20


async def test_a_short_rate_limit_is_waited_out_in_place(worker: Worker, services: Services) -> None:
    limited = Exhausted("slow down", reason="MODEL_RATE_LIMITED", retry_after=timedelta(milliseconds=1))
    services.faults.before["Generate"] = lambda calls: limited if calls <= 2 else None
    run_id = services.astra.add_run()

    assert await worker.work(run_id) == WorkResult(Progress.OVER)
    assert list(services.astra.records[run_id].reservations.values()) == ["settled"]


async def test_a_long_rate_limit_leaves_the_run_waiting(worker: Worker, services: Services) -> None:
    limited = Exhausted("slow down", reason="MODEL_RATE_LIMITED", retry_after=timedelta(seconds=60))
    services.faults.before["Generate"] = once(limited)
    run_id = services.astra.add_run()

    waiting = await worker.work(run_id)

    assert waiting.progress is Progress.WAIT
    assert 55_000 < waiting.resume_time_ms - time.time() * 1000 <= 60_000
    run_record = services.astra.records[run_id].run
    assert (run_record.status, run_record.waiting_for) == (
        task_run.TASK_RUN_STATUS_WAITING,
        task_run.WAIT_REASON_RATE_LIMIT,
    )
    assert await worker.work(run_id, waiting.resume_time_ms) == waiting  # rung too early: it waits on
    assert services.faults.calls["Generate"] == 1
    assert services.faults.calls["BeginAttempt"] == 1

    assert await worker.work(run_id, 1) == WorkResult(Progress.OVER)
    assert services.astra.records[run_id].events == ["waiting"]


async def test_a_waiting_run_is_begun_early_to_stop_it_or_when_it_is_over(
    worker: Worker, services: Services
) -> None:
    limited = Exhausted("slow down", reason="MODEL_RATE_LIMITED", retry_after=timedelta(seconds=60))
    services.faults.before["Generate"] = always(limited)
    stopped, over = services.astra.add_run(), services.astra.add_run()
    waits = {run_id: (await worker.work(run_id)).resume_time_ms for run_id in (stopped, over)}

    services.astra.ask_to_stop(stopped)
    services.astra.end_past_deadline(over)

    for run_id, resume_time_ms in waits.items():
        assert await worker.work(run_id, resume_time_ms) == WorkResult(Progress.OVER)
    assert sorted(services.tools.posts) == sorted([(stopped, "cancelled"), (over, "failed")])


async def test_a_wait_never_passes_the_deadline(worker: Worker, services: Services) -> None:
    limited = Exhausted("slow down", reason="MODEL_RATE_LIMITED", retry_after=timedelta(days=1))
    services.faults.before["Generate"] = always(limited)
    run_id = services.astra.add_run(deadline=timedelta(seconds=100))

    waiting = await worker.work(run_id)

    assert waiting.resume_time_ms == services.astra.records[run_id].run.deadline_time.ToMilliseconds()


@pytest.mark.parametrize(
    ("error", "attempt", "final"),
    [
        (Unavailable("away", reason="MODEL_UNAVAILABLE"), 1, False),
        (Unavailable("away", reason="MODEL_UNAVAILABLE"), 8, True),
        (Unavailable("away", reason="DATABASE_UNAVAILABLE"), 30, False),
        (Refused("no", reason="MODEL_REFUSED"), 1, True),
        (Refused("long", reason="MODEL_CONTEXT_EXCEEDED"), 1, True),
        (Unavailable("off", reason="MODEL_OFF"), 1, True),
        (Refused("gone", reason="RESERVATION_NOT_OPEN"), 1, False),
        (ValueError(SECRET), 1, False),
    ],
)
async def test_a_failure_leaves_with_a_reason_and_the_run_and_no_content(
    worker: Worker, services: Services, error: Any, attempt: int, final: bool
) -> None:
    if isinstance(error, ServiceError):
        error.message = SECRET
    services.faults.before["Generate"] = always(error)
    worker.attempt = attempt
    run_id = services.astra.add_run()

    with pytest.raises(ApplicationError) as failed:
        await worker.work(run_id)

    reason = error.reason if isinstance(error, ServiceError) else "MODEL_CALL_BROKEN"
    assert (failed.value.type, failed.value.message) == (reason, f"{reason} {run_id}")
    assert failed.value.non_retryable == final
    assert failed.value.__cause__ is None
    assert failed.value.__suppress_context__


async def test_a_defect_leaves_as_internal_without_content(
    worker: Worker, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object) -> None:
        raise KeyError(SECRET)

    monkeypatch.setattr(run, "conversation", broken)
    run_id = services.astra.add_run()

    with pytest.raises(ApplicationError, match=f"^INTERNAL: INTERNAL {run_id}$") as failed:
        await worker.work(run_id)
    assert not failed.value.non_retryable


async def test_past_its_deadline_a_run_fails_without_a_call(worker: Worker, services: Services) -> None:
    run_id = services.astra.add_run(deadline=timedelta(seconds=-1))

    with pytest.raises(ApplicationError, match="DEADLINE_EXCEEDED"):
        await worker.work(run_id)
    assert services.models.requests == []


async def test_giving_up_tells_the_thread_and_completes_the_run_once(
    worker: Worker, services: Services
) -> None:
    run_id = services.astra.add_run()

    await worker.give_up(run_id)
    await worker.give_up(run_id)

    record = services.astra.records[run_id]
    assert (record.run.outcome, record.run.outcome_reason) == (
        task_run.TASK_RUN_OUTCOME_FAILURE,
        "MODEL_MISTAKES",
    )
    [notice] = services.tools.posts.values()
    assert run_id in notice
    assert "other words" in notice
    assert record.events == ["notice"]
    assert services.tools.posts_sent == 1


async def test_giving_up_for_a_cancelled_workflow_cancels_the_run(worker: Worker, services: Services) -> None:
    run_id = services.astra.add_run()

    await worker.give_up(run_id, "WORKFLOW_CANCELLED", cancelled=True)

    assert services.astra.records[run_id].run.outcome == task_run.TASK_RUN_OUTCOME_CANCELLED
    assert list(services.tools.posts) == [(run_id, "cancelled")]


async def test_a_notice_that_is_refused_is_put_on_record(worker: Worker, services: Services) -> None:
    services.faults.before["PostNotice"] = always(Refused("locked", reason="VENDOR_REFUSED"))
    run_id = services.astra.add_run()

    await worker.give_up(run_id)

    record = services.astra.records[run_id]
    assert record.events == ["notice_undelivered"]
    assert record.run.outcome == task_run.TASK_RUN_OUTCOME_FAILURE
    assert services.faults.calls["PostNotice"] == 1


@pytest.mark.parametrize(
    ("error", "tries", "later"),
    [
        (Unavailable("away", reason="VENDOR_UNAVAILABLE"), NOTICE_TRIES_IN_PLACE, NOTICE_WAIT),
        (
            Exhausted("slow", reason="VENDOR_RATE_LIMITED", retry_after=timedelta(seconds=90)),
            1,
            timedelta(seconds=90),
        ),
    ],
)
async def test_a_notice_that_must_wait_leaves_a_completed_run_and_comes_back_by_a_timer(
    worker: Worker, services: Services, error: ServiceError, tries: int, later: timedelta
) -> None:
    services.faults.before["PostNotice"] = lambda calls: error if calls <= tries else None
    run_id = services.astra.add_run()
    services.astra.ask_to_stop(run_id)

    with pytest.raises(ApplicationError) as left:
        await worker.work(run_id)

    record = services.astra.records[run_id]
    assert (left.value.non_retryable, left.value.next_retry_delay) == (False, later)
    assert record.run.outcome == task_run.TASK_RUN_OUTCOME_CANCELLED
    assert services.faults.calls["PostNotice"] == tries
    assert await worker.work(run_id) == WorkResult(Progress.OVER)
    assert await worker.work(run_id) == WorkResult(Progress.OVER)
    assert record.events == ["notice"]
    assert services.tools.posts_sent == 1


async def test_a_notice_is_given_up_some_time_after_the_end(worker: Worker, services: Services) -> None:
    services.faults.before["PostNotice"] = always(Unavailable("away", reason="VENDOR_UNAVAILABLE"))
    run_id = services.astra.add_run()
    services.astra.end_past_deadline(run_id, ago=NOTICE_PATIENCE)

    assert await worker.work(run_id) == WorkResult(Progress.OVER)
    assert services.astra.records[run_id].events == ["notice_undelivered"]
    assert services.faults.calls["PostNotice"] == NOTICE_TRIES_IN_PLACE


async def test_an_answer_that_cannot_be_posted_stays_on_the_run(worker: Worker, services: Services) -> None:
    services.faults.before["PostAnswer"] = always(Refused("locked", reason="VENDOR_REFUSED"))
    run_id = services.astra.add_run()

    with pytest.raises(ApplicationError, match="VENDOR_REFUSED") as failed:
        await worker.work(run_id)
    assert failed.value.non_retryable
    await worker.give_up(run_id, "VENDOR_REFUSED")

    run_record = services.astra.records[run_id].run
    assert run_record.outcome == task_run.TASK_RUN_OUTCOME_FAILURE
    assert run_record.output_text == "[R0] The answer."


async def test_a_run_ended_by_the_sweeper_still_gets_its_notice(worker: Worker, services: Services) -> None:
    run_id = services.astra.add_run()
    services.astra.end_past_deadline(run_id)

    assert await worker.work(run_id) == WorkResult(Progress.OVER)
    assert await worker.work(run_id) == WorkResult(Progress.OVER)

    assert services.faults.calls["PostNotice"] == 1
    assert services.astra.records[run_id].events == ["notice"]

    assert list(services.tools.posts) == [(run_id, "failed")]


async def test_a_run_folded_into_another_gets_no_notice_of_its_own(
    worker: Worker, services: Services
) -> None:
    run_id = services.astra.add_run()
    services.astra.end_past_deadline(run_id)
    services.astra.records[run_id].run.answered_by_task_run_id = "another"

    assert await worker.work(run_id) == WorkResult(Progress.OVER)

    assert services.tools.posts == {}


async def test_a_worker_that_leaves_hands_the_run_back_at_a_turn_boundary(
    worker: Worker, services: Services
) -> None:
    environment = worker.environment()
    run_id = services.astra.add_run()

    def script(messages: list[Message]) -> Message:
        environment.worker_shutdown()
        return read_then_answer(messages)

    services.models.script = script

    left = await environment.run(worker.activities.work_on_run, RunToWork(TENANT, run_id))

    assert left == WorkResult(Progress.CONTINUE)
    assert services.tools.origins == []
    assert services.astra.records[run_id].count("open") == 0
    assert await worker.work(run_id) == WorkResult(Progress.OVER)
    assert services.astra.records[run_id].count("abandoned") == 0
    assert services.faults.calls["Generate"] == 2
