"""The workflow of a thread: claims its events one by one and sees each event's runs to their end.

PostgreSQL orders and remembers; this only supervises. History holds ids, reasons and times, never content.
The worker runs it without Temporal's sandbox, which costs about 30 ms for each new workflow; tests run and
replay it inside the sandbox, so that is where a step out of line is caught.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from services.common.thread_input import RING_SIGNAL, WORKFLOW_TYPE, ThreadInput
    from services.worker.steps import (
        CLAIM_NEXT,
        GIVE_UP,
        WORK_ON_RUN,
        Claim,
        Progress,
        RunToEnd,
        RunToWork,
        WorkResult,
    )

OUTAGE_MAX = timedelta(hours=6)
"""How long the services behind a claim or an ending may be away. Past it the workflow fails, and the next
ring finds the event as it was."""
CLAIM_TIMEOUT = timedelta(seconds=15)
WORK_TIMEOUT = timedelta(minutes=30)
"""Longest one activity may hold a run; it hands the run back by itself well before."""
WORK_RETRIES = RetryPolicy(
    initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30), maximum_attempts=40
)
"""About 18 minutes of a service being away, or 40 workers lost on one run."""
GIVE_UP_TIMEOUT = timedelta(minutes=5)
PATIENCE = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=30))


@workflow.defn(name=WORKFLOW_TYPE)
class SpecAgentWorkflow:
    """One thread's events, in order, until a claim made after the last ring finds none."""

    def __init__(self) -> None:
        self._rings = 0

    @workflow.signal(name=RING_SIGNAL)
    def ring(self) -> None:
        """Something new may be in the thread's inbox."""
        self._rings += 1

    @workflow.run
    async def run(self, thread: ThreadInput) -> None:
        """Work through the thread."""
        finished = thread.finished_event_id
        while True:
            rings = self._rings
            claim = await self._claim(ThreadInput(thread.tenant_id, thread.thread_id, finished))
            if claim.thread_event_id:
                await self._see_through(thread.tenant_id, claim)
                finished = claim.thread_event_id
                if workflow.info().is_continue_as_new_suggested():
                    workflow.continue_as_new(ThreadInput(thread.tenant_id, thread.thread_id, finished))
            elif rings == self._rings:
                # Nothing is awaited since the comparison: a ring that comes now starts the next workflow.
                return

    async def _claim(self, thread: ThreadInput) -> Claim:
        return await workflow.execute_local_activity(
            CLAIM_NEXT,
            thread,
            result_type=Claim,
            start_to_close_timeout=CLAIM_TIMEOUT,
            schedule_to_close_timeout=OUTAGE_MAX,
            retry_policy=PATIENCE,
        )

    async def _see_through(self, tenant_id: str, claim: Claim) -> None:
        """Bring all runs of an event to their end, side by side, even if one of them cannot be ended."""
        heartbeat = timedelta(seconds=claim.heartbeat_seconds)
        runs = (self._run_to_end(RunToWork(tenant_id, each), heartbeat) for each in claim.task_run_ids)
        for ended in await asyncio.gather(*runs, return_exceptions=True):
            if isinstance(ended, BaseException):
                raise ended

    async def _run_to_end(self, run: RunToWork, heartbeat: timedelta) -> None:
        try:
            await self._work(run, heartbeat)
        except (ActivityError, asyncio.CancelledError) as error:
            cancelled = is_cancelled_exception(error)
            reason = "WORKFLOW_CANCELLED" if cancelled else _reason(error)
            # Temporal cancels a workflow once, and this task has had it: the ending is not disturbed.
            await workflow.execute_activity(
                GIVE_UP,
                RunToEnd(run.tenant_id, run.task_run_id, reason, cancelled),
                start_to_close_timeout=GIVE_UP_TIMEOUT,
                schedule_to_close_timeout=OUTAGE_MAX,
                heartbeat_timeout=heartbeat,
                retry_policy=PATIENCE,
            )

    async def _work(self, run: RunToWork, heartbeat: timedelta) -> None:
        """Work on the run until it is over; the record's ceilings and deadline bound the rounds."""
        while True:
            rings = self._rings
            result = await workflow.execute_activity(
                WORK_ON_RUN,
                run,
                result_type=WorkResult,
                start_to_close_timeout=WORK_TIMEOUT,
                heartbeat_timeout=heartbeat,
                retry_policy=WORK_RETRIES,
            )
            if result.progress is Progress.OVER:
                return
            if result.progress is Progress.WAIT:
                await self._wait(result.resume_time_ms, rings)
            run = RunToWork(
                run.tenant_id,
                run.task_run_id,
                result.resume_time_ms,
                result.pause_expires_ms,
                result.pause_position,
            )

    async def _wait(self, resume_time_ms: int, rings: int) -> None:
        """Wait for the time, or for a ring later than those counted: it may be a stop or a raised cap."""
        left = resume_time_ms / 1000 - workflow.time()
        if left > 0:
            try:
                await workflow.wait_condition(lambda: self._rings != rings, timeout=timedelta(seconds=left))
            except TimeoutError:
                return


def _reason(error: BaseException) -> str:
    """The reason code of a failed activity: the type its failure carries, or that it was lost."""
    cause = error.__cause__
    return cause.type if isinstance(cause, ApplicationError) and cause.type else "WORKER_LOST"
