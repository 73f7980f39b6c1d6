"""Task runs from created to completed, through the real service."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aucert.astra.v1 import task_run_service_pb2 as run_pb
from aucert.astra.v1 import thread_post_service_pb2 as post_pb
from aucert.astra.v1.task_event_pb2 import Notice
from aucert.astra.v1.task_run_pb2 import (
    TASK_RUN_OUTCOME_CANCELLED,
    TASK_RUN_OUTCOME_FAILURE,
    TASK_RUN_OUTCOME_SUCCESS,
    TASK_RUN_STATUS_COMPLETED,
    TASK_RUN_STATUS_IN_PROGRESS,
    TASK_RUN_STATUS_QUEUED,
    TASK_RUN_STATUS_WAITING,
    WAIT_REASON_RATE_LIMIT,
)
from aucert.astra.v1.thread_post_pb2 import THREAD_POST_KIND_ANSWER
from aucert.common.v1.thread_pb2 import SOURCE_GITHUB, SOURCE_MANUAL, GitHubThread, ThreadAddress
from aucert.models.v1.message_pb2 import Part
from services.astra.budget_sweep import BudgetSweep
from services.astra.ending_store import ANSWER_SETTLES, EndingStore
from services.astra.first_agent import FRAGMENTS
from services.astra.sweeper import Sweeper
from services.astra.task_run_store import QUEUED_DAYS_MAX
from services.common.caller import acting_for
from services.common.database import Database
from tests.service.astra_kit import Astra, astra_service, call, in_seconds, new_id, refused, result, turn  # noqa: F401

COMMITS = [f"{number:040x}" for number in range(1, 9)]


async def test_created_run_is_queued_for_days_at_most(astra: Astra) -> None:
    run = await astra.create(message="Why\0?")
    assert TASK_RUN_STATUS_QUEUED == run.status
    assert "atlas" == run.agent_slug
    assert "Why\N{REPLACEMENT CHARACTER}?" == run.message
    assert QUEUED_DAYS_MAX * 24 * 3600 == run.deadline_time.seconds - run.created_time.seconds
    assert run == await astra.get(run.task_run_id)


async def test_creating_a_run_again_returns_the_first(astra: Astra) -> None:
    ids = {"task_run_id": new_id(), "thread_event_id": new_id(), "thread_id": new_id()}
    first = await astra.create(**ids)
    again = await asyncio.gather(*(astra.create(**ids, message="Changed") for _ in range(5)))
    assert [first] * 5 == again


async def test_run_of_an_event_and_model_that_has_one_is_refused(astra: Astra) -> None:
    first = await astra.create()
    with refused("REQUEST_ID_REUSED"):
        await astra.create(thread_event_id=first.thread_event_id)
    with refused("REQUEST_ID_REUSED"):
        await astra.create(task_run_id=first.task_run_id)
    other = await astra.create(thread_event_id=first.thread_event_id, model_alias="other")
    assert other.task_run_id != first.task_run_id
    await astra.create()
    of_event = run_pb.ListTaskRunsRequest(thread_event_id=first.thread_event_id)
    listed = (await astra.runs.ListTaskRuns(of_event)).task_runs
    assert [other.task_run_id, first.task_run_id] == [run.task_run_id for run in listed]


async def test_run_needs_an_agent_and_a_repository_of_its_tenant(astra: Astra) -> None:
    with refused("AGENT_NOT_FOUND"):
        await astra.create(agent_slug="altas")
    with refused("REPOSITORY_NOT_FOUND"):
        await astra.create(repository_id=new_id())


async def test_first_attempt_starts_the_run_and_its_transcript(astra: Astra) -> None:
    run = await astra.create(message="Why?")
    attempt = await astra.begin(run.task_run_id)
    assert 1 == attempt.fence
    assert TASK_RUN_STATUS_IN_PROGRESS == attempt.task_run.status
    assert attempt.task_run.HasField("started_time")
    assert [("Why?", run.thread_event_id)] == [
        (each.message.parts[0].text, each.thread_event_id) for each in attempt.turns
    ]
    assert [*FRAGMENTS] == [each.slug for each in attempt.agent.personalities]
    assert (40, 400_000, 1800, 3) == (
        attempt.agent.ceilings.turns_max,
        attempt.agent.ceilings.tokens_max,
        attempt.agent.ceilings.run_timeout.seconds,
        attempt.agent.ceilings.mistakes_max,
    )
    assert not attempt.HasField("repository")
    assert ["agent_started"] == await astra.event_types(run.task_run_id)


async def test_the_time_an_agent_may_take_begins_with_the_first_attempt(astra: Astra) -> None:
    run = await astra.create()
    await astra.sql("UPDATE task_runs SET created_time = created_time - interval '1 day'")
    first, second = [(await astra.begin(run.task_run_id)).task_run for _ in range(2)]
    assert 30 * 60 == first.deadline_time.seconds - first.started_time.seconds
    assert first.deadline_time == second.deadline_time


async def test_later_attempt_fences_out_the_one_before_and_charges_what_it_left_open(astra: Astra) -> None:
    run = await astra.create()
    first = await astra.begin(run.task_run_id)
    left_open = await astra.reserve(run.task_run_id, first.fence, 500)
    second = await astra.begin(run.task_run_id)
    assert 2 == second.fence
    assert 500 == second.task_run.estimated_cost_usd_micros
    assert first.task_run.started_time == second.task_run.started_time
    assert first.turns == second.turns
    restarted = (await astra.events(run.task_run_id))[1].attempt_restarted
    assert (2, 1) == (restarted.fence, restarted.abandoned_calls)
    with refused("RESERVATION_NOT_OPEN"):
        await astra.commit_turn(run.task_run_id, second.fence, left_open)
    assert [{"status": "abandoned", "spent_usd_micros": 500}] == await astra.sql(
        "SELECT status, spent_usd_micros FROM spend_reservations"
    )


async def test_every_write_with_an_old_fence_is_refused(astra: Astra) -> None:
    run = await astra.create()
    old = (await astra.begin(run.task_run_id)).fence
    reservation = await astra.reserve(run.task_run_id, old)
    await astra.begin(run.task_run_id)
    before = await astra.sql("SELECT * FROM task_runs")
    writes: list[Any] = [
        astra.reserve(run.task_run_id, old),
        astra.commit_turn(run.task_run_id, old, reservation),
        astra.commit_results(run.task_run_id, old, result("t1_0")),
        astra.complete(run.task_run_id, old),
        astra.begin_post(run.task_run_id, old, 1, "text"),
        astra.runs.UpdateTaskStatus(
            run_pb.UpdateTaskStatusRequest(
                task_run_id=run.task_run_id, fence=old, status=TASK_RUN_STATUS_IN_PROGRESS
            )
        ),
        astra.runs.LogTaskEvent(
            run_pb.LogTaskEventRequest(task_run_id=run.task_run_id, fence=old, notice=Notice(kind="failed"))
        ),
    ]
    for write in writes:
        with refused("FENCE_STALE"):
            await write
    assert before == await astra.sql("SELECT * FROM task_runs")


async def test_concurrent_attempts_get_fences_of_their_own(astra: Astra) -> None:
    run = await astra.create()
    attempts = await asyncio.gather(*(astra.begin(run.task_run_id) for _ in range(8)))
    assert list(range(1, 9)) == sorted(attempt.fence for attempt in attempts)
    assert ["agent_started"] + ["attempt_restarted"] * 7 == await astra.event_types(run.task_run_id)


async def test_completed_run_begins_nothing(astra: Astra) -> None:
    run = await astra.create()
    fence = (await astra.begin(run.task_run_id)).fence
    done = await astra.complete(run.task_run_id, fence, output_text="[R0] Yes.")
    attempt = await astra.begin(run.task_run_id)
    assert (0, done) == (attempt.fence, attempt.task_run)
    assert [] == list(attempt.turns)


async def test_first_pinned_commit_wins_among_many(astra: Astra) -> None:
    run = await astra.create()
    pins = await asyncio.gather(
        *(
            astra.pins.PinCommit(run_pb.PinCommitRequest(task_run_id=run.task_run_id, commit=commit))
            for commit in COMMITS
        )
    )
    assert 1 == len({pin.commit for pin in pins})
    assert pins[0].commit == (await astra.get(run.task_run_id)).commit


async def move(astra: Astra, task_run_id: str, fence: int, status: Any, **fields: Any) -> Any:
    request = run_pb.UpdateTaskStatusRequest(task_run_id=task_run_id, fence=fence, status=status, **fields)
    return (await astra.runs.UpdateTaskStatus(request)).task_run


async def test_run_waits_and_goes_on(astra: Astra) -> None:
    run = await astra.create()
    fence = (await astra.begin(run.task_run_id)).fence
    wait = {"waiting_for": WAIT_REASON_RATE_LIMIT, "wait_expires_time": in_seconds(30)}
    waiting = await move(astra, run.task_run_id, fence, TASK_RUN_STATUS_WAITING, **wait)
    assert (TASK_RUN_STATUS_WAITING, WAIT_REASON_RATE_LIMIT) == (waiting.status, waiting.waiting_for)
    assert waiting == await move(astra, run.task_run_id, fence, TASK_RUN_STATUS_WAITING, **wait)
    going = await move(astra, run.task_run_id, fence, TASK_RUN_STATUS_IN_PROGRESS)
    assert (TASK_RUN_STATUS_IN_PROGRESS, False) == (going.status, going.HasField("wait_expires_time"))
    assert ["agent_started", "waiting"] == await astra.event_types(run.task_run_id)


async def test_impossible_moves_are_refused(astra: Astra) -> None:
    run = await astra.create()
    fence = (await astra.begin(run.task_run_id)).fence
    for status in (TASK_RUN_STATUS_QUEUED, TASK_RUN_STATUS_COMPLETED):
        with refused("TRANSITION_IMPOSSIBLE"):
            await move(astra, run.task_run_id, fence, status)
    with refused("FIELD_INVALID"):
        await move(astra, run.task_run_id, fence, TASK_RUN_STATUS_WAITING)
    await astra.complete(run.task_run_id, fence)
    with refused("TASK_RUN_COMPLETED"):
        await move(astra, run.task_run_id, fence, TASK_RUN_STATUS_IN_PROGRESS)


async def test_completion_puts_outcome_and_event_on_record(astra: Astra) -> None:
    run = await astra.create()
    fence = (await astra.begin(run.task_run_id)).fence
    await astra.commit_turn(run.task_run_id, fence, await astra.reserve(run.task_run_id, fence))
    done = await astra.complete(
        run.task_run_id, fence, output_text="[R0] Yes.", reply_url="https://example.org/1"
    )
    assert (TASK_RUN_STATUS_COMPLETED, TASK_RUN_OUTCOME_SUCCESS) == (done.status, done.outcome)
    assert ("[R0] Yes.", "https://example.org/1") == (done.output_text, done.reply_url)
    [row] = await astra.sql(
        "SELECT r.duration_ms, r.completed_time >= r.created_time AS ordered, e.metadata FROM task_runs r"
        " JOIN task_events e ON e.task_run_id = r.id AND e.event_type = 'agent_completed'"
    )
    assert row["ordered"]
    assert done.duration_ms == row["duration_ms"]
    assert {
        "output_payload": {"text": "[R0] Yes.", "reply_url": "https://example.org/1"},
        "model_used": "rehearsal",
        "outcome": "success",
        "outcome_reason": "",
    } == row["metadata"]


async def test_completing_again_is_a_no_op_and_another_way_is_refused(astra: Astra) -> None:
    run = await astra.create()
    fence = (await astra.begin(run.task_run_id)).fence
    done = await astra.complete(run.task_run_id, fence, output_text="[R0] Yes.")
    assert done == await astra.complete(run.task_run_id, fence, output_text="[R0] Other.")
    with refused("TASK_RUN_COMPLETED"):
        await astra.complete(run.task_run_id, fence, TASK_RUN_OUTCOME_CANCELLED)
    with refused("TASK_RUN_COMPLETED"):
        await astra.reserve(run.task_run_id, fence)
    assert ["agent_started", "agent_completed"] == await astra.event_types(run.task_run_id)


async def test_completion_leaves_no_reservation_open(astra: Astra) -> None:
    run = await astra.create()
    fence = (await astra.begin(run.task_run_id)).fence
    await astra.reserve(run.task_run_id, fence, 700)
    done = await astra.complete(
        run.task_run_id, fence, TASK_RUN_OUTCOME_CANCELLED, outcome_reason="STOP_REQUESTED"
    )
    assert 700 == done.estimated_cost_usd_micros
    assert [{"status": "abandoned"}] == await astra.sql("SELECT status FROM spend_reservations")


async def test_a_run_that_waits_frees_what_the_refused_call_had_set_aside(astra: Astra) -> None:
    run = await astra.create()
    fence = (await astra.begin(run.task_run_id)).fence
    await astra.reserve(run.task_run_id, fence, 700)
    request = run_pb.UpdateTaskStatusRequest(
        task_run_id=run.task_run_id,
        fence=fence,
        status=TASK_RUN_STATUS_WAITING,
        waiting_for=WAIT_REASON_RATE_LIMIT,
        wait_expires_time=in_seconds(60),
    )
    await astra.runs.UpdateTaskStatus(request)
    assert 0 == (await astra.begin(run.task_run_id)).task_run.estimated_cost_usd_micros


async def follow_up_of(astra: Astra, run: Any, **fields: Any) -> Any:
    return await astra.create(thread_id=run.thread_id, **{"seq": 2} | fields)


async def test_follow_up_waiting_at_the_begin_of_an_attempt_is_folded_in(astra: Astra) -> None:
    run = await astra.create()
    later = [await follow_up_of(astra, run, seq=seq) for seq in (3, 2)]
    attempt = await astra.begin(run.task_run_id)
    assert ["Message 1", "Message 2", "Message 3"] == [each.message.parts[0].text for each in attempt.turns]
    for each in later:
        assert run.task_run_id == (await astra.get(each.task_run_id)).answered_by_task_run_id
    again = await astra.begin(run.task_run_id)
    assert attempt.turns == again.turns
    assert ["agent_started", "follow_up", "follow_up", "attempt_restarted"] == await astra.event_types(
        run.task_run_id
    )


@pytest.mark.parametrize(
    "fields", [{"seq": 1}, {"operation": "review"}, {"model_alias": "other"}, {"thread_id": new_id()}]
)
async def test_only_later_events_for_the_same_work_are_folded_in(
    astra: Astra, fields: dict[str, Any]
) -> None:
    run = await astra.create(seq=1)
    other = await astra.create(**{"thread_id": run.thread_id, "seq": 2} | fields)
    assert 1 == len((await astra.begin(run.task_run_id)).turns)
    assert "" == (await astra.get(other.task_run_id)).answered_by_task_run_id


@pytest.mark.parametrize(
    ("outcome", "reason", "folded_reason", "folded_text"),
    [
        (TASK_RUN_OUTCOME_SUCCESS, "", "", "[R0] Yes."),
        (TASK_RUN_OUTCOME_FAILURE, "TURNS_EXCEEDED", "ANSWERING_RUN_FAILED", ""),
        (TASK_RUN_OUTCOME_CANCELLED, "STOP_REQUESTED", "STOP_REQUESTED", ""),
    ],
)
async def test_folded_runs_end_with_the_run_that_answers_them(
    astra: Astra, outcome: Any, reason: str, folded_reason: str, folded_text: str
) -> None:
    run = await astra.create()
    later = await follow_up_of(astra, run)
    fence = (await astra.begin(run.task_run_id)).fence
    text = "[R0] Yes." if outcome == TASK_RUN_OUTCOME_SUCCESS else ""
    await astra.complete(run.task_run_id, fence, outcome, outcome_reason=reason, output_text=text)
    folded = await astra.get(later.task_run_id)
    assert (TASK_RUN_STATUS_COMPLETED, outcome, folded_reason, folded_text) == (
        folded.status,
        folded.outcome,
        folded.outcome_reason,
        folded.output_text,
    )
    assert ["agent_completed"] == await astra.event_types(later.task_run_id)


async def test_follow_up_at_the_moment_of_completion_is_answered_or_stays_queued(astra: Astra) -> None:
    for _ in range(20):
        run = await astra.create()
        fence = (await astra.begin(run.task_run_id)).fence
        later, _ = await asyncio.gather(follow_up_of(astra, run), astra.complete(run.task_run_id, fence))
        now = await astra.get(later.task_run_id)
        assert (TASK_RUN_STATUS_QUEUED, "") == (now.status, now.answered_by_task_run_id)


@pytest.mark.parametrize("part", [Part(text="The answer."), call("t1_0")], ids=["an answer", "open calls"])
async def test_an_attempt_that_resumes_at_the_models_own_turn_folds_nothing_in(
    astra: Astra, part: Part
) -> None:
    run = await astra.create()
    fence = (await astra.begin(run.task_run_id)).fence
    await astra.commit_turn(run.task_run_id, fence, await astra.reserve(run.task_run_id, fence), part)
    later = await follow_up_of(astra, run)
    attempt = await astra.begin(run.task_run_id)
    assert 2 == len(attempt.turns)
    assert "" == (await astra.get(later.task_run_id)).answered_by_task_run_id


async def test_folded_run_that_is_begun_answers_for_itself(astra: Astra) -> None:
    run = await astra.create()
    later = await follow_up_of(astra, run)
    fence = (await astra.begin(run.task_run_id)).fence
    attempt = await astra.begin(later.task_run_id)
    assert (1, "") == (attempt.fence, attempt.task_run.answered_by_task_run_id)
    await astra.complete(run.task_run_id, fence)
    assert TASK_RUN_STATUS_IN_PROGRESS == (await astra.get(later.task_run_id)).status


async def test_stop_reaches_what_was_said_before_it_and_nothing_after(astra: Astra) -> None:
    first = await astra.create(seq=1)
    done = await astra.create(thread_id=first.thread_id, seq=2, model_alias="other")
    await astra.complete(done.task_run_id, (await astra.begin(done.task_run_id)).fence)
    after = await follow_up_of(astra, first, seq=4)
    await astra.begin(first.task_run_id)
    assert [first.task_run_id] == await astra.stop(first.thread_id, 3)
    assert [first.task_run_id] == await astra.stop(first.thread_id, 3)
    assert (await astra.get(first.task_run_id)).HasField("stop_requested_time")
    said_after = await astra.get(after.task_run_id)
    assert (False, "") == (said_after.HasField("stop_requested_time"), said_after.answered_by_task_run_id)
    assert 1 == (await astra.event_types(first.task_run_id)).count("stop_requested")
    assert ["Message 1", "Message 4"] == [
        each.message.parts[0].text for each in (await astra.begin(first.task_run_id)).turns
    ]
    assert "" == (await astra.get(after.task_run_id)).answered_by_task_run_id


async def test_stop_of_one_run_leaves_the_others(astra: Astra) -> None:
    run = await astra.create()
    other = await astra.create(thread_id=run.thread_id, model_alias="other")
    assert [other.task_run_id] == await astra.stop(run.thread_id, 9, other.task_run_id)
    assert not (await astra.get(run.task_run_id)).HasField("stop_requested_time")


async def test_stop_of_one_run_sets_free_what_others_said_to_it(astra: Astra) -> None:
    run = await astra.create()
    await astra.begin(run.task_run_id)
    folded = [await follow_up_of(astra, run, seq=seq) for seq in (2, 3)]
    fence = (await astra.begin(run.task_run_id)).fence
    await astra.stop(run.thread_id, 9, folded[0].task_run_id)
    assert [run.task_run_id] == await astra.stop(run.thread_id, 9, run.task_run_id)
    await astra.complete(run.task_run_id, fence, TASK_RUN_OUTCOME_CANCELLED, outcome_reason="STOP_REQUESTED")
    left = [await astra.get(each.task_run_id) for each in folded]
    assert [(TASK_RUN_STATUS_QUEUED, ""), (TASK_RUN_STATUS_QUEUED, "")] == [
        (each.status, each.answered_by_task_run_id) for each in left
    ]
    assert [True, False] == [each.HasField("stop_requested_time") for each in left]


async def test_stop_of_a_folded_run_leaves_the_run_it_was_folded_into(astra: Astra) -> None:
    run = await astra.create()
    folded = await follow_up_of(astra, run)
    fence = (await astra.begin(run.task_run_id)).fence
    assert [folded.task_run_id] == await astra.stop(run.thread_id, 9, folded.task_run_id)
    done = await astra.complete(run.task_run_id, fence, output_text="[R0] Yes.")
    stopped = await astra.get(folded.task_run_id)
    assert TASK_RUN_OUTCOME_SUCCESS == done.outcome
    assert (TASK_RUN_STATUS_QUEUED, "") == (stopped.status, stopped.answered_by_task_run_id)


async def test_notice_is_put_on_record_after_the_end(astra: Astra) -> None:
    run = await astra.create()
    fence = (await astra.begin(run.task_run_id)).fence
    await astra.complete(run.task_run_id, fence, TASK_RUN_OUTCOME_FAILURE, outcome_reason="TURNS_EXCEEDED")
    logged = await astra.runs.LogTaskEvent(
        run_pb.LogTaskEventRequest(
            task_run_id=run.task_run_id, fence=fence, notice=Notice(kind="failed", url="https://example.org")
        )
    )
    assert logged.task_event == (await astra.events(run.task_run_id))[-1]
    assert "https://example.org" == logged.task_event.notice.url


async def test_sweeper_ends_runs_past_their_deadline_in_every_tenant(astra: Astra) -> None:
    overdue = await astra.create()
    fence = (await astra.begin(overdue.task_run_id)).fence
    folded = await follow_up_of(astra, overdue)
    await astra.begin(overdue.task_run_id)
    in_time = await astra.create()
    tenant_id = await astra.add_tenant()
    with acting_for(tenant_id):
        other = await astra.create()
    await astra.sql(
        "UPDATE task_runs SET deadline_time = now() - interval '1 second' WHERE id = ANY(%s::uuid[])",
        [overdue.task_run_id, other.task_run_id],
    )
    relay = Database(astra.urls.relay, application="test")
    service = Database(astra.urls.service, application="test")
    sweeper = Sweeper(relay, EndingStore(service), BudgetSweep(relay, service))
    assert 2 == sum(await asyncio.gather(sweeper.sweep(), sweeper.sweep()))
    assert 0 == await sweeper.sweep()
    await asyncio.gather(relay.close(), service.close())

    ended = await astra.get(overdue.task_run_id)
    assert (TASK_RUN_OUTCOME_FAILURE, "DEADLINE_EXCEEDED") == (ended.outcome, ended.outcome_reason)
    assert "ANSWERING_RUN_FAILED" == (await astra.get(folded.task_run_id)).outcome_reason
    assert TASK_RUN_STATUS_QUEUED == (await astra.get(in_time.task_run_id)).status
    with refused("FENCE_STALE"):
        await astra.complete(overdue.task_run_id, fence)
    with acting_for(tenant_id):
        assert TASK_RUN_STATUS_COMPLETED == (await astra.get(other.task_run_id)).status


class OneStuck(EndingStore):
    """Cannot end one of the runs."""

    stuck = ""

    async def expire(self, tenant_id: str, task_run_id: str) -> bool:
        if task_run_id == self.stuck:
            raise ValueError("a defect")
        return await super().expire(tenant_id, task_run_id)


async def sweep(astra: Astra, *, stuck: str = "") -> int:
    relay = Database(astra.urls.relay, application="test")
    service = Database(astra.urls.service, application="test")
    endings = OneStuck(service)
    endings.stuck = stuck
    ended = await Sweeper(relay, endings, BudgetSweep(relay, service)).sweep()
    await asyncio.gather(relay.close(), service.close())
    return ended


async def make_overdue(astra: Astra) -> None:
    await astra.sql("UPDATE task_runs SET deadline_time = now() - interval '1 second'")


async def test_a_run_that_cannot_be_ended_does_not_keep_the_sweep_from_the_others(astra: Astra) -> None:
    stuck, other = await astra.create(), await astra.create()
    await make_overdue(astra)
    assert 1 == await sweep(astra, stuck=stuck.task_run_id)
    assert TASK_RUN_STATUS_COMPLETED == (await astra.get(other.task_run_id)).status


async def test_sweeper_finds_that_a_run_whose_answer_is_posted_has_succeeded(astra: Astra) -> None:
    run = await astra.create()
    fence = (await astra.begin(run.task_run_id)).fence
    begun = await astra.begin_post(run.task_run_id, fence, THREAD_POST_KIND_ANSWER, "[R0] Yes", ", and no.")
    await make_overdue(astra)
    for part, post in enumerate(begun.posts):
        assert 0 == await sweep(astra)  # it is being posted
        await astra.posts.FinishThreadPost(
            post_pb.FinishThreadPostRequest(
                thread_post_id=post.thread_post_id, external_id="7", url=f"https://example.org/{part}"
            )
        )
    assert 1 == await sweep(astra)
    ended = await astra.get(run.task_run_id)
    assert (TASK_RUN_OUTCOME_SUCCESS, "") == (ended.outcome, ended.outcome_reason)
    assert ("[R0] Yes, and no.", "https://example.org/0") == (ended.output_text, ended.reply_url)


async def test_sweeper_does_not_wait_for_ever_for_an_answer_to_be_posted(astra: Astra) -> None:
    run = await astra.create()
    fence = (await astra.begin(run.task_run_id)).fence
    await astra.begin_post(run.task_run_id, fence, THREAD_POST_KIND_ANSWER, "[R0] Yes.")
    await astra.sql("UPDATE thread_posts SET created_time = created_time - %s", ANSWER_SETTLES)
    await make_overdue(astra)
    assert 1 == await sweep(astra)
    ended = await astra.get(run.task_run_id)
    assert ("DEADLINE_EXCEEDED", "[R0] Yes.") == (ended.outcome_reason, ended.output_text)


async def page(astra: Astra, **fields: Any) -> Any:
    return await astra.api.ListTaskRuns(run_pb.ListTaskRunsRequest(**fields))


async def test_pages_of_runs_are_stable_while_runs_arrive(astra: Astra) -> None:
    made = [(await astra.create()).task_run_id for _ in range(7)]
    listed: list[str] = []
    token = ""
    while True:
        response = await page(astra, page_size=3, page_token=token)
        listed += [run.task_run_id for run in response.task_runs]
        token = response.next_page_token
        if not token:
            break
        await astra.create()
    assert made[::-1] == listed


async def test_runs_are_listed_by_status_and_thread(astra: Astra) -> None:
    runs = [await astra.create() for _ in range(3)]
    await astra.complete(runs[0].task_run_id, (await astra.begin(runs[0].task_run_id)).fence)
    await astra.begin(runs[1].task_run_id)
    for run, status in zip(
        runs, (TASK_RUN_STATUS_COMPLETED, TASK_RUN_STATUS_IN_PROGRESS, TASK_RUN_STATUS_QUEUED), strict=True
    ):
        assert [run.task_run_id] == [
            each.task_run_id for each in (await page(astra, status=status)).task_runs
        ]
        [found] = (await page(astra, thread_id=run.thread_id)).task_runs
        assert run.task_run_id == found.task_run_id


async def test_runs_are_listed_by_outcome_source_and_model_together(astra: Astra) -> None:
    failed = await astra.create(model_alias="kimi")
    fence = (await astra.begin(failed.task_run_id)).fence
    await astra.complete(failed.task_run_id, fence, TASK_RUN_OUTCOME_FAILURE, outcome_reason="WORKER_FAILED")
    github = ThreadAddress(github=GitHubThread(repository="acme/shop", repository_id=42, number=7))
    asked = await astra.create(model_alias="kimi", source=SOURCE_GITHUB, address=github)
    other = await astra.create()
    for fields, wanted in (
        ({"outcome": TASK_RUN_OUTCOME_FAILURE}, [failed]),
        ({"source": SOURCE_GITHUB}, [asked]),
        ({"source": SOURCE_MANUAL}, [other, failed]),
        ({"model_alias": "kimi"}, [asked, failed]),
        ({"model_alias": "kimi", "outcome": TASK_RUN_OUTCOME_FAILURE}, [failed]),
        ({"model_alias": "nobody"}, []),
    ):
        found = (await page(astra, **fields)).task_runs
        assert [run.task_run_id for run in wanted] == [run.task_run_id for run in found], fields
    with refused("FIELD_INVALID"):
        await page(astra, outcome=99)


async def test_page_token_of_another_list_is_refused(astra: Astra) -> None:
    run = await astra.create()
    await astra.begin(run.task_run_id)
    await astra.begin(run.task_run_id)
    events = await astra.runs.ListTaskEvents(
        run_pb.ListTaskEventsRequest(task_run_id=run.task_run_id, page_size=1)
    )
    with refused("PAGE_TOKEN_INVALID"):
        await page(astra, page_token=events.next_page_token)
    rest = await astra.runs.ListTaskEvents(
        run_pb.ListTaskEventsRequest(task_run_id=run.task_run_id, page_token=events.next_page_token)
    )
    assert [2] == [event.seq for event in rest.task_events]


async def test_runs_of_another_tenant_are_not_there(astra: Astra) -> None:
    run = await astra.create()
    fence = (await astra.begin(run.task_run_id)).fence
    reservation = await astra.reserve(run.task_run_id, fence)
    run_id = run.task_run_id
    with acting_for(await astra.add_tenant()):
        for asked in (
            astra.get(run_id),
            astra.begin(run_id),
            astra.events(run_id),
            astra.complete(run_id, fence),
            astra.reserve(run_id, fence),
            astra.transcripts.CommitTurn(turn(run_id, fence, reservation)),
            astra.commit_results(run_id, fence),
            astra.begin_post(run_id, fence, 1, "text"),
            move(astra, run_id, fence, TASK_RUN_STATUS_IN_PROGRESS),
            astra.pins.PinCommit(run_pb.PinCommitRequest(task_run_id=run_id, commit=COMMITS[0])),
        ):
            with refused("TASK_RUN_NOT_FOUND"):
                await asked
        assert [] == await astra.stop(run.thread_id, 9)
        assert [] == list((await page_as_worker(astra)).task_runs)
        with refused("REQUEST_ID_REUSED"):
            await astra.create(task_run_id=run_id)
    assert 0 == len(await astra.sql("SELECT 1 FROM task_runs WHERE stop_requested_time IS NOT NULL"))


async def page_as_worker(astra: Astra) -> Any:
    return await astra.runs.ListTaskRuns(run_pb.ListTaskRunsRequest())
