"""Caps on spending, on a real PostgreSQL: none is overshot, and what was spent adds up."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from alembic import command

from aucert.astra.v1 import budget_service_pb2 as pb
from aucert.astra.v1 import task_run_service_pb2 as run_pb
from aucert.astra.v1.budget_pb2 import (
    CAP_KIND_AGENT_DAY,
    CAP_KIND_RUN,
    CAP_KIND_TENANT_MONTH,
    USAGE_DIMENSION_AGENT,
    USAGE_DIMENSION_DAY,
    USAGE_DIMENSION_MODEL,
)
from aucert.astra.v1.task_run_pb2 import (
    TASK_RUN_STATUS_IN_PROGRESS,
    TASK_RUN_STATUS_WAITING,
    WAIT_REASON_BUDGET,
    TaskRun,
)
from aucert.common.v1.thread_pb2 import SOURCE_MANUAL, ManualThread, ThreadAddress
from services.astra.budget_sweep import BudgetSweep
from services.astra.main import running
from services.astra.migrate import alembic_config, owner_transaction
from services.common.database import Database
from services.common.errors import ServiceError, from_rpc
from tests.service.astra_kit import (  # noqa: F401
    Astra,
    astra_service,
    call,
    in_seconds,
    new_id,
    refused,
    result,
    settings_for,
)

CALL = 100
"""What a call reserves, in millionths of a dollar."""
WORTH = 10
RUNS = 30
PATIENCE_SECONDS = 20
"""A safety limit."""


async def begun(astra: Astra) -> tuple[str, int]:
    """A run at work: its id and fence."""
    run = await astra.create()
    return run.task_run_id, (await astra.begin(run.task_run_id)).fence


async def refusal(asking: Any) -> ServiceError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asking
    return from_rpc(caught.value)


async def spent(astra: Astra) -> int:
    """What the record of reservations says was spent or is set aside."""
    rows = await astra.sql(
        "SELECT coalesce(sum(coalesce(spent_usd_micros, reserved_usd_micros)), 0)::bigint AS spent"
        " FROM spend_reservations"
    )
    return rows[0]["spent"]


@pytest.mark.parametrize("kind", [CAP_KIND_AGENT_DAY, CAP_KIND_TENANT_MONTH])
async def test_thirty_runs_at_once_on_a_cap_worth_ten_calls_get_ten(astra: Astra, kind: Any) -> None:
    await astra.cap(kind, WORTH * CALL)
    runs = await asyncio.gather(*(begun(astra) for _ in range(RUNS)))
    answers = await asyncio.gather(
        *(astra.reserve(run_id, fence, CALL) for run_id, fence in runs), return_exceptions=True
    )
    made = [each for each in answers if isinstance(each, str)]
    reasons = {from_rpc(each).reason for each in answers if isinstance(each, grpc.aio.AioRpcError)}
    assert (WORTH, {"BUDGET_HELD"}) == (len(made), reasons)
    assert WORTH * CALL == await spent(astra)


async def test_thirty_runs_at_work_spend_a_cap_to_its_end_and_never_more(astra: Astra) -> None:
    limit = WORTH * CALL
    await astra.cap(CAP_KIND_TENANT_MONTH, limit)
    runs = await asyncio.gather(*(begun(astra) for _ in range(RUNS)))
    dice = random.Random(7)

    async def work(run_id: str, fence: int) -> None:
        """Turn after turn, each cheaper than its worst case, until the cap is reached."""
        while True:
            try:
                reservation = await astra.reserve(run_id, fence, CALL)
            except grpc.aio.AioRpcError as error:
                failure = from_rpc(error)
                if failure.reason == "BUDGET_EXHAUSTED":
                    assert int(failure.metadata["spent_usd_micros"]) + CALL > limit
                    return
                assert failure.reason == "BUDGET_HELD"
                continue
            await astra.commit_turn(run_id, fence, reservation, cost=dice.randint(1, CALL))

    await asyncio.gather(*(work(run_id, fence) for run_id, fence in runs))
    total = await spent(astra)
    assert limit - CALL < total <= limit
    days = await astra.sql("SELECT sum(spent_usd_micros)::bigint AS spent FROM spend_days")
    costs = await astra.sql("SELECT sum(estimated_cost_usd_micros)::bigint AS spent FROM task_runs")
    assert [{"spent": total}] == days == costs


async def test_a_refusal_says_which_cap_and_how_far_it_is_spent(astra: Astra) -> None:
    run_id, fence = await begun(astra)
    await astra.cap(CAP_KIND_RUN, 250, task_run_id=run_id)
    await astra.commit_turn(run_id, fence, await astra.reserve(run_id, fence, 200), cost=180)
    told = await refusal(astra.reserve(run_id, fence, 90))
    assert "BUDGET_EXHAUSTED" == told.reason
    assert {
        "cap": "run",
        "limit_usd_micros": "250",
        "spent_usd_micros": "180",
        "reserved_usd_micros": "0",
        "needed_usd_micros": "90",
    } == told.metadata
    await astra.reserve(run_id, fence, 70)


async def test_money_under_way_is_waited_for_and_comes_back_with_the_turn(astra: Astra) -> None:
    await astra.cap(CAP_KIND_AGENT_DAY, 150)
    (first, first_fence), (second, second_fence) = await begun(astra), await begun(astra)
    reservation = await astra.reserve(first, first_fence, CALL)
    told = await refusal(astra.reserve(second, second_fence, CALL))
    assert ("BUDGET_HELD", "100", True) == (
        told.reason,
        told.metadata["reserved_usd_micros"],
        told.retry_after is not None,
    )
    await astra.commit_turn(first, first_fence, reservation, cost=20)
    await astra.reserve(second, second_fence, CALL)


@pytest.mark.parametrize("closer", ["agent_slug", "task_run_id"])
async def test_the_closest_cap_of_a_kind_holds_and_zero_is_no_limit(astra: Astra, closer: str) -> None:
    run_id, fence = await begun(astra)
    await astra.cap(CAP_KIND_RUN, 10)
    with refused("BUDGET_EXHAUSTED"):
        await astra.reserve(run_id, fence, CALL)
    whose = {"agent_slug": "atlas", "task_run_id": run_id}[closer]
    await astra.cap(CAP_KIND_RUN, 0, **{closer: whose})
    await astra.reserve(run_id, fence, CALL)


async def test_caps_of_one_tenant_do_not_hold_for_another(astra: Astra) -> None:
    tenant_id = await astra.add_tenant()
    await astra.cap(CAP_KIND_TENANT_MONTH, 1)
    other = (("astra-tenant", tenant_id),)
    created = await astra.dispatcher.CreateTaskRun(_request(), metadata=other)
    begin = run_pb.BeginAttemptRequest(task_run_id=created.task_run.task_run_id, worker="worker-1")
    attempt = await astra.runs.BeginAttempt(begin, metadata=other)
    request = pb.ReserveSpendRequest(
        task_run_id=created.task_run.task_run_id,
        fence=attempt.fence,
        model_alias="rehearsal",
        reserved_usd_micros=CALL,
    )
    made = await astra.budgets.ReserveSpend(request, metadata=other)
    assert CALL == made.reservation.reserved_usd_micros


async def test_results_stay_on_record_when_the_next_call_is_not_allowed(astra: Astra) -> None:
    run_id, fence = await begun(astra)
    await astra.commit_turn(run_id, fence, await astra.reserve(run_id, fence), call("t1_0"))
    await astra.cap(CAP_KIND_RUN, 150, task_run_id=run_id)
    response = await astra.commit_results(run_id, fence, result("t1_0"))
    assert (1, False) == (len(response.turns), response.HasField("reservation"))
    assert [{"status": "finished"}] == await astra.sql("SELECT status FROM tool_calls")
    assert [] == await astra.sql("SELECT id FROM spend_reservations WHERE status = 'open'")


async def test_a_cap_of_yesterday_or_last_month_is_as_good_as_new(astra: Astra) -> None:
    run_id, fence = await begun(astra)
    await astra.commit_turn(run_id, fence, await astra.reserve(run_id, fence, CALL), cost=CALL)
    await astra.cap(CAP_KIND_AGENT_DAY, 150)
    with refused("BUDGET_EXHAUSTED"):
        await astra.reserve(run_id, fence, CALL)
    await astra.sql("UPDATE spend_days SET day = day - 1")
    await astra.cap(CAP_KIND_TENANT_MONTH, 150)
    if datetime.now(UTC).day > 1:
        with refused("BUDGET_EXHAUSTED"):
            await astra.reserve(run_id, fence, CALL)
    await astra.sql("UPDATE spend_days SET day = day - 31")
    await astra.reserve(run_id, fence, CALL)


async def test_a_leaked_reservation_is_put_down_at_its_worst_case(astra: Astra) -> None:
    run_id, fence = await begun(astra)
    await astra.reserve(run_id, fence, CALL)
    await sweep(astra)
    assert 0 == (await astra.get(run_id)).estimated_cost_usd_micros
    await astra.sql("UPDATE spend_reservations SET created_time = created_time - interval '2 hours'")
    await sweep(astra)
    await sweep(astra)
    assert CALL == (await astra.get(run_id)).estimated_cost_usd_micros
    assert [{"status": "abandoned", "spent_usd_micros": CALL}] == await astra.sql(
        "SELECT status, spent_usd_micros FROM spend_reservations"
    )
    assert [{"abandoned_call_count": 1, "spent_usd_micros": CALL}] == await astra.sql(
        "SELECT abandoned_call_count, spent_usd_micros FROM spend_days"
    )


async def sweep(astra: Astra) -> None:
    """As a service that just started does."""
    relay = Database(astra.urls.relay, application="test-relay")
    database = Database(astra.urls.service, application="test")
    try:
        await BudgetSweep(relay, database).once()
    finally:
        await relay.close()
        await database.close()


async def waiting(astra: Astra, seconds: int = 3_600) -> TaskRun:
    """A run that waits for money."""
    return await pause(astra, *await begun(astra), seconds)


async def pause(astra: Astra, run_id: str, fence: int, seconds: int = 3_600) -> TaskRun:
    """Let a run wait for money, as a worker does."""
    request = run_pb.UpdateTaskStatusRequest(
        task_run_id=run_id,
        fence=fence,
        status=TASK_RUN_STATUS_WAITING,
        waiting_for=WAIT_REASON_BUDGET,
        wait_expires_time=in_seconds(seconds),
    )
    return (await astra.runs.UpdateTaskStatus(request)).task_run


def seconds_between(earlier: TaskRun, later: TaskRun) -> float:
    return (later.deadline_time.ToDatetime() - earlier.deadline_time.ToDatetime()) / timedelta(seconds=1)


async def test_waiting_for_money_does_not_use_up_the_time_of_a_run(astra: Astra) -> None:
    run = await astra.create()
    attempt = await astra.begin(run.task_run_id)
    waits = await pause(astra, run.task_run_id, attempt.fence)
    assert 3_600 == pytest.approx(seconds_between(attempt.task_run, waits), abs=60)
    again = await astra.begin(run.task_run_id)
    assert 0 == pytest.approx(seconds_between(attempt.task_run, again.task_run), abs=60)


@pytest.mark.parametrize("whose", ["run", "agent", "tenant"])
async def test_setting_a_cap_puts_the_runs_it_is_for_back_to_work(astra: Astra, whose: str) -> None:
    waits = await waiting(astra)
    elsewhere = await begun(astra)
    match whose:
        case "run":
            response = await astra.cap(CAP_KIND_RUN, 500, task_run_id=waits.task_run_id)
        case "agent":
            response = await astra.cap(CAP_KIND_AGENT_DAY, 500, agent_slug="atlas")
        case _:
            response = await astra.cap(CAP_KIND_TENANT_MONTH, 500)
    run = await astra.get(waits.task_run_id)
    assert [waits.thread_id] == list(response.resumed_thread_ids)
    assert (TASK_RUN_STATUS_IN_PROGRESS, 0, False) == (
        run.status,
        run.waiting_for,
        run.HasField("wait_expires_time"),
    )
    assert -3_600 == pytest.approx(seconds_between(waits, run), abs=60)
    event = (await astra.events(waits.task_run_id))[-1].budget_resumed
    assert ("operator", 500) == (event.set_by, event.limit_usd_micros)
    assert ["agent_started"] == await astra.event_types(elsewhere[0])


async def test_a_cap_of_another_run_leaves_a_waiting_run_alone(astra: Astra) -> None:
    waits = await waiting(astra)
    other_id, _ = await begun(astra)
    response = await astra.cap(CAP_KIND_RUN, 500, task_run_id=other_id)
    assert [] == list(response.resumed_thread_ids)
    assert TASK_RUN_STATUS_WAITING == (await astra.get(waits.task_run_id)).status


async def test_a_new_day_lets_waiting_runs_ask_again(astra: Astra) -> None:
    waits = await waiting(astra)
    async with (
        running(settings_for(astra.urls)),
        asyncio.timeout(PATIENCE_SECONDS),
    ):  # for it every day is new
        while (await astra.get(waits.task_run_id)).status != TASK_RUN_STATUS_IN_PROGRESS:
            await asyncio.sleep(0.01)
    assert ["agent_started", "waiting", "budget_resumed"] == await astra.event_types(waits.task_run_id)


ADA = "github:583231"


async def raised(
    astra: Astra, run: TaskRun, usd_micros: int, *, by: str = ADA, before: int = 2
) -> pb.RaiseCapsResponse:
    """As the dispatcher asks when somebody comments `/atlas raise`."""
    request = pb.RaiseCapsRequest(
        thread_id=run.thread_id, before_thread_seq=before, add_usd_micros=usd_micros, identity=by
    )
    return await astra.raises.RaiseCaps(request)


async def limits(astra: Astra, run: TaskRun) -> dict[str, int]:
    """The caps of which somebody set a limit, by who they are for."""
    rows = await astra.sql(
        "SELECT cap, subject_id::text AS whose, limit_usd_micros FROM budgets WHERE set_by <> ''"
    )
    names = {run.task_run_id: "run", run.tenant_id: "tenant"}
    return {f"{row['cap']} of {names.get(row['whose'], 'agent')}": row["limit_usd_micros"] for row in rows}


async def test_an_identified_operator_makes_room_in_every_cap_that_lacks_it(astra: Astra) -> None:
    await astra.sql("UPDATE principals SET identities = %s WHERE name = 'operator'", [ADA])
    await astra.cap(CAP_KIND_RUN, 100)
    await astra.cap(CAP_KIND_AGENT_DAY, 120)
    await astra.cap(CAP_KIND_TENANT_MONTH, 100_000)
    run = await astra.create()
    fence = (await astra.begin(run.task_run_id)).fence
    await astra.commit_turn(run.task_run_id, fence, await astra.reserve(run.task_run_id, fence, 90), cost=90)
    await pause(astra, run.task_run_id, fence)

    for _ in range(2):  # a dispatcher that crashed asks again
        told = await raised(astra, run, 500)
    assert "operator" == told.principal_name
    assert {
        "run of tenant": 100,
        "run of run": 590,
        "agent_day of tenant": 120,
        "agent_day of agent": 590,
        "tenant_month of tenant": 100_000,
    } == await limits(astra, run)
    assert TASK_RUN_STATUS_IN_PROGRESS == (await astra.get(run.task_run_id)).status
    event = (await astra.events(run.task_run_id))[-1].budget_resumed
    assert f"operator ({ADA})" == event.set_by
    await astra.reserve(run.task_run_id, fence, 500)


@pytest.mark.parametrize("somebody", ["github:1", "slack:T1/U1"])
async def test_a_raise_by_anybody_else_changes_nothing(astra: Astra, somebody: str) -> None:
    await astra.sql("UPDATE principals SET identities = %s WHERE name = 'operator'", [ADA])
    await astra.sql("UPDATE principals SET identities = %s WHERE name = 'api'", ["slack:T1/U1"])
    waits = await waiting(astra)
    told = await raised(astra, waits, 500, by=somebody)
    assert ("", []) == (told.principal_name, list(told.task_run_ids))
    assert {} == await limits(astra, waits)
    assert TASK_RUN_STATUS_WAITING == (await astra.get(waits.task_run_id)).status


async def test_a_raise_reaches_no_run_that_was_asked_for_after_it(astra: Astra) -> None:
    await astra.sql("UPDATE principals SET identities = %s WHERE name = 'operator'", [ADA])
    waits = await waiting(astra)
    assert [] == list((await raised(astra, waits, 500, before=1)).task_run_ids)
    assert [waits.task_run_id] == list((await raised(astra, waits, 500)).task_run_ids)


async def test_waiting_for_money_without_an_end_is_refused(astra: Astra) -> None:
    run_id, fence = await begun(astra)
    request = run_pb.UpdateTaskStatusRequest(
        task_run_id=run_id, fence=fence, status=TASK_RUN_STATUS_WAITING, waiting_for=WAIT_REASON_BUDGET
    )
    with refused("FIELD_INVALID"):
        await astra.runs.UpdateTaskStatus(request)


async def test_only_an_operator_sets_caps(astra: Astra) -> None:
    with refused("SCOPE_MISSING"):
        await astra.budgets.SetCap(pb.SetCapRequest(kind=CAP_KIND_RUN, limit_usd_micros=1))


@pytest.mark.parametrize(
    ("whose", "reason"),
    [
        ({"kind": CAP_KIND_RUN, "agent_slug": "altas"}, "AGENT_NOT_FOUND"),
        ({"kind": CAP_KIND_RUN, "task_run_id": new_id()}, "TASK_RUN_NOT_FOUND"),
        ({"kind": CAP_KIND_RUN, "task_run_id": new_id(), "agent_slug": "atlas"}, "FIELD_INVALID"),
        ({"kind": CAP_KIND_AGENT_DAY, "task_run_id": new_id()}, "FIELD_INVALID"),
        ({"kind": CAP_KIND_TENANT_MONTH, "agent_slug": "atlas"}, "FIELD_INVALID"),
    ],
)
async def test_a_cap_for_nobody_is_refused(astra: Astra, whose: dict[str, Any], reason: str) -> None:
    with refused(reason):
        await astra.caps.SetCap(pb.SetCapRequest(limit_usd_micros=1, **whose))


async def test_caps_are_listed_with_what_is_spent_of_them_in_pages(astra: Astra) -> None:
    run_id, fence = await begun(astra)
    await astra.commit_turn(run_id, fence, await astra.reserve(run_id, fence, CALL), cost=40)
    await astra.reserve(run_id, fence, 7)
    await astra.cap(CAP_KIND_TENANT_MONTH, 3_000)
    await astra.cap(CAP_KIND_AGENT_DAY, 2_000, agent_slug="atlas")
    set_last = await astra.cap(CAP_KIND_RUN, 1_000, task_run_id=run_id)

    request = pb.ListCapsRequest(page_size=2)
    found = []
    while True:
        page = await astra.caps.ListCaps(request)
        found += page.caps
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break
    own, of_agent, of_month, *seeded = found
    assert set_last.cap == own
    assert (run_id, 1_000, 40, 7, "operator") == (
        own.task_run_id,
        own.limit_usd_micros,
        own.spent_usd_micros,
        own.reserved_usd_micros,
        own.set_by,
    )
    assert ("atlas", 2_000, 40, 7) == (
        of_agent.agent_slug,
        of_agent.limit_usd_micros,
        of_agent.spent_usd_micros,
        of_agent.reserved_usd_micros,
    )
    assert (3_000, 40, 7) == (
        of_month.limit_usd_micros,
        of_month.spent_usd_micros,
        of_month.reserved_usd_micros,
    )
    assert {(CAP_KIND_RUN, ""), (CAP_KIND_AGENT_DAY, "")} == {(each.kind, each.set_by) for each in seeded}


async def test_the_report_adds_up_by_day_agent_and_model(astra: Astra) -> None:
    run_id, fence = await begun(astra)
    for cost in (30, 20):
        await astra.commit_turn(run_id, fence, await astra.reserve(run_id, fence), cost=cost)
    await astra.reserve(run_id, fence, CALL)
    await astra.begin(run_id)  # the open call is abandoned
    request = pb.GetUsageReportRequest(
        group_by=[USAGE_DIMENSION_MODEL, USAGE_DIMENSION_DAY, USAGE_DIMENSION_AGENT]
    )
    report = await astra.caps.GetUsageReport(request)
    today = datetime.now(UTC).date()
    assert (today.replace(day=1).isoformat(), today.isoformat()) == (report.first_day, report.last_day)
    [row] = report.rows
    assert (today.isoformat(), "atlas", "rehearsal", 2, 1, 150) == (
        row.day,
        row.agent_slug,
        row.model_alias,
        row.call_count,
        row.abandoned_call_count,
        row.cost_usd_micros,
    )
    assert (20, 10, 6, 4) == (
        row.tokens_input,
        row.tokens_output,
        row.tokens_cache_read,
        row.tokens_cache_write,
    )
    row.day = row.agent_slug = row.model_alias = ""
    assert row == report.total
    by_nothing = await astra.caps.GetUsageReport(pb.GetUsageReportRequest())
    assert ([], row) == (list(by_nothing.rows), by_nothing.total)


async def test_the_report_keeps_to_its_days_and_refuses_odd_ones(astra: Astra) -> None:
    run_id, fence = await begun(astra)
    await astra.commit_turn(run_id, fence, await astra.reserve(run_id, fence))
    await astra.sql("UPDATE spend_days SET day = '2026-01-31'")
    inside = pb.GetUsageReportRequest(first_day="2026-01-31", last_day="2026-02-01")
    assert 100 == (await astra.caps.GetUsageReport(inside)).total.cost_usd_micros
    outside = pb.GetUsageReportRequest(first_day="2026-02-01", last_day="2026-02-28")
    assert 0 == (await astra.caps.GetUsageReport(outside)).total.cost_usd_micros
    for first, last in (
        ("2026-02-30", "2026-03-01"),
        ("2026-03-02", "2026-03-01"),
        ("2024-01-01", "2026-01-01"),
    ):
        with refused("FIELD_INVALID"):
            await astra.caps.GetUsageReport(pb.GetUsageReportRequest(first_day=first, last_day=last))


def _request() -> run_pb.CreateTaskRunRequest:
    return run_pb.CreateTaskRunRequest(
        task_run_id=new_id(),
        agent_slug="atlas",
        thread_id=new_id(),
        thread_event_id=new_id(),
        thread_seq=1,
        workflow_id="other/manual/1",
        source=SOURCE_MANUAL,
        address=ThreadAddress(manual=ManualThread()),
        operation="answer",
        model_alias="rehearsal",
        model_label="R0",
        message="Message",
    )


async def test_what_was_spent_before_there_were_caps_counts_towards_them(astra: Astra) -> None:
    run_id, fence = await begun(astra)
    await astra.commit_turn(run_id, fence, await astra.reserve(run_id, fence))
    await astra.reserve(run_id, fence)
    await astra.begin(run_id)  # the open call is abandoned
    query = "SELECT * FROM spend_days"
    counted = await astra.sql(query)

    def migrate_there_and_back() -> None:
        for go, revision in ((command.downgrade, "0004"), (command.upgrade, "head")):
            with owner_transaction(astra.urls.owner) as connection:
                go(alembic_config(connection), revision)

    await asyncio.to_thread(migrate_there_and_back)
    assert counted == await astra.sql(query)


async def test_what_was_set_aside_for_a_call_nobody_took_is_free_again(astra: Astra) -> None:
    run = await astra.create()
    fence = (await astra.begin(run.task_run_id)).fence
    await astra.cap(CAP_KIND_RUN, 500)
    reservation = await astra.reserve(run.task_run_id, fence, 500)
    for _ in range(2):
        await release(astra, run.task_run_id, fence, reservation)
    paid = await astra.reserve(run.task_run_id, fence, 500)
    await astra.commit_turn(run.task_run_id, fence, paid, cost=0)
    with refused("RESERVATION_NOT_OPEN"):
        await release(astra, run.task_run_id, fence, paid)
    assert (await astra.get(run.task_run_id)).estimated_cost_usd_micros == 0


async def test_a_stale_attempt_frees_nothing(astra: Astra) -> None:
    run = await astra.create()
    fence = (await astra.begin(run.task_run_id)).fence
    reservation = await astra.reserve(run.task_run_id, fence)
    later = (await astra.begin(run.task_run_id)).fence
    with refused("FENCE_STALE"):
        await release(astra, run.task_run_id, fence, reservation)
    with refused("RESERVATION_NOT_OPEN"):  # abandoned: nobody knows what became of the call
        await release(astra, run.task_run_id, later, reservation)


async def release(astra: Astra, task_run_id: str, fence: int, reservation: str) -> None:
    await astra.budgets.ReleaseSpend(
        pb.ReleaseSpendRequest(task_run_id=task_run_id, fence=fence, spend_reservation_id=reservation)
    )
