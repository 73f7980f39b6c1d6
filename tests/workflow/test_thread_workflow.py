"""The thread workflow on a real server, inside Temporal's sandbox, with fake activities."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from datetime import timedelta

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError, WorkflowHistory
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer

from services.worker import workflows
from services.worker.steps import Progress, RunToEnd, RunToWork, WorkResult
from services.worker.workflows import SpecAgentWorkflow
from tests.workflow.stage import staged
from tests.workflow.stories import HISTORIES, STORIES, Story, a_cancelled_workflow_ends_its_runs

TASK_SECONDS = 1.0


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_story(temporal: WorkflowEnvironment, story: Story) -> None:
    async with staged(temporal.client) as stage:
        await story(stage)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_saved_history_replays(story: Story) -> None:
    saved = (HISTORIES / f"{story.__name__}.json").read_text()

    await Replayer(workflows=[SpecAgentWorkflow]).replay_workflow(
        WorkflowHistory.from_json(story.__name__, saved)
    )


async def test_no_ring_is_lost_however_it_falls(temporal: WorkflowEnvironment) -> None:
    """Events come at every moment of claims, work and endings; each is finished, once and in order."""
    chance = random.Random(7)

    async with staged(temporal.client) as stage:

        async def take_a_moment(*_: object) -> WorkResult:
            await asyncio.sleep(chance.random() * 0.02)
            return WorkResult(Progress.OVER)

        async def people(thread: str) -> None:
            for number in range(10):
                await stage.tell(thread, f"{thread}-{number}")
                await asyncio.sleep(chance.random() * 0.08)  # about as long as a workflow takes to end
            # No further ring: whatever workflow is left must finish by itself.
            await temporal.client.get_workflow_handle(stage.workflow_id(thread)).result()

        stage.claiming = take_a_moment
        stage.work = take_a_moment
        threads = [f"t{number}" for number in range(10)]
        await asyncio.gather(*(people(thread) for thread in threads))

    for thread in threads:
        assert stage.finished[thread] == [f"e{number}" for number in range(10)]
        assert [run.task_run_id for run in stage.worked if run.task_run_id.startswith(f"{thread}-")] == [
            f"{thread}-{number}" for number in range(10)
        ]


async def test_a_spare_ring_finds_nothing_and_ends(temporal: WorkflowEnvironment) -> None:
    async with staged(temporal.client) as stage:
        handle = await stage.ring("thread")
        await handle.result()

    assert stage.worked == []


async def test_a_ring_seen_while_a_claim_is_on_its_way_is_answered_by_another(
    temporal: WorkflowEnvironment,
) -> None:
    """The claim outlasts a workflow task, so the workflow has seen the ring before it hears "nothing"."""
    async with staged(temporal.client) as stage:
        claims = 0

        async def event_arrives_behind_the_look() -> None:
            nonlocal claims
            claims += 1
            if claims == 1:
                await stage.tell("thread", "r1")
                await asyncio.sleep(2 * TASK_SECONDS)

        stage.claiming = event_arrives_behind_the_look
        handle = await stage.ring("thread", task_timeout=timedelta(seconds=TASK_SECONDS))
        await handle.result()

    assert [run.task_run_id for run in stage.worked] == ["r1"]


async def test_a_run_is_given_up_when_its_retries_are_exhausted(
    temporal: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        workflows, "WORK_RETRIES", dataclasses.replace(workflows.WORK_RETRIES, maximum_attempts=2)
    )

    async def fail(_run: RunToWork) -> WorkResult:
        raise ApplicationError("DATABASE_UNAVAILABLE", type="DATABASE_UNAVAILABLE")

    async with staged(temporal.client, sandboxed=False) as stage:
        stage.work = fail
        await (await stage.tell("thread", "r1")).result()

    assert len(stage.worked) == 2
    assert stage.given_up == [RunToEnd("tenant", "r1", "DATABASE_UNAVAILABLE")]


async def test_an_ending_is_tried_until_it_succeeds(temporal: WorkflowEnvironment) -> None:
    async def fail(_run: RunToWork) -> WorkResult:
        raise ApplicationError("MODEL_OFF", type="MODEL_OFF", non_retryable=True)

    async def end_at_the_third(_run: RunToEnd) -> None:
        if len(stage.given_up) < 3:
            raise ApplicationError("DATABASE_UNAVAILABLE", type="DATABASE_UNAVAILABLE")

    async with staged(temporal.client) as stage:
        stage.work = fail
        stage.end = end_at_the_third
        await (await stage.tell("thread", "r1")).result()

    assert len(stage.given_up) == 3
    assert stage.finished["thread"] == ["e0"]


async def test_a_run_that_cannot_be_ended_fails_the_workflow_and_keeps_the_event(
    temporal: WorkflowEnvironment,
) -> None:
    async def fail(run: RunToWork | RunToEnd) -> WorkResult:
        if run.task_run_id == "r1":
            raise ApplicationError("TASK_RUN_NOT_FOUND", type="TASK_RUN_NOT_FOUND", non_retryable=True)
        return WorkResult(Progress.OVER)

    async def fail_to_end(run: RunToEnd) -> None:
        await fail(run)

    async with staged(temporal.client) as stage:
        stage.work = fail
        stage.end = fail_to_end
        with pytest.raises(WorkflowFailureError):
            await (await stage.tell("thread", "r1", "r2")).result()
        stage.end = None
        await (await stage.ring("thread")).result()

    assert stage.finished["thread"] == ["e0"]


async def test_a_cancelled_workflow_is_closed_as_cancelled(temporal: WorkflowEnvironment) -> None:
    async with staged(temporal.client) as stage:
        handle = await a_cancelled_workflow_ends_its_runs(stage)

        assert (await handle.describe()).status is WorkflowExecutionStatus.CANCELED
