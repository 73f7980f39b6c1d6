"""What the thread workflow has done for it: claim an event, work on a run, end a run that is lost.

Ids in, ids and small values out. Each may run twice: the record makes every step of theirs idempotent.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import grpc
from temporalio import activity

from aucert.astra.v1.task_run_pb2 import TASK_RUN_STATUS_WAITING
from aucert.astra.v1.task_run_service_pb2 import (
    BeginAttemptRequest,
    BeginAttemptResponse,
    GetTaskRunRequest,
)
from aucert.dispatcher.v1.dispatcher_service_pb2 import ClaimNextEventRequest
from services.common.caller import acting_for
from services.common.errors import ServiceError, from_rpc
from services.common.thread_input import ThreadInput
from services.worker.agent import Finish
from services.worker.catalogue import Catalogue
from services.worker.costs import Shortage
from services.worker.endings import Endings, answer_begun
from services.worker.failures import BUDGET_EXHAUSTED, FENCE_STALE, only_reasons_leave
from services.worker.pacing import RateLimited
from services.worker.pauses import Pause, Pauses, now_ms
from services.worker.run import Attempt
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
from services.worker.stops import Stops, unless
from services.worker.stubs import Stubs

SEGMENT_SECONDS = 600.0
"""How long one activity holds a run before it hands it back, so that no retry starts from far behind."""


class Activities:
    """The activities, over the stubs they use. `worker` is the name attempts are recorded under."""

    def __init__(
        self,
        stubs: Stubs,
        catalogue: Catalogue,
        endings: Endings,
        pauses: Pauses,
        stops: Stops,
        *,
        worker: str,
        heartbeat_seconds: float,
    ) -> None:
        self._stubs = stubs
        self._catalogue = catalogue
        self._endings = endings
        self._pauses = pauses
        self._stops = stops
        self._worker = worker
        self._heartbeat_seconds = heartbeat_seconds

    @activity.defn(name=CLAIM_NEXT)
    async def claim_next(self, thread: ThreadInput) -> Claim:
        """Put the finished event away and claim the thread's next one."""
        with (
            only_reasons_leave(thread.thread_id, attempt=activity.info().attempt),
            acting_for(thread.tenant_id),
        ):
            response = await self._stubs.dispatcher.ClaimNextEvent(
                ClaimNextEventRequest(
                    thread_id=thread.thread_id, finished_thread_event_id=thread.finished_event_id
                )
            )
        event = response.event
        return Claim(event.thread_event_id, list(event.task_run_ids), self._heartbeat_seconds)

    @activity.defn(name=WORK_ON_RUN)
    async def work_on_run(self, run: RunToWork) -> WorkResult:
        """Carry a run on until it is over, must wait, or is handed back."""
        with only_reasons_leave(run.task_run_id, attempt=activity.info().attempt), acting_for(run.tenant_id):
            async with _heartbeating():
                return await self._attempt(run)

    @activity.defn(name=GIVE_UP)
    async def give_up(self, run: RunToEnd) -> None:
        """End a run that cannot go on, and tell the thread."""
        with only_reasons_leave(run.task_run_id, attempt=activity.info().attempt), acting_for(run.tenant_id):
            async with _heartbeating():
                await self._endings.give_up(run)

    async def _attempt(self, run: RunToWork) -> WorkResult:
        pause = Pause.of(run)
        try:
            with self._stops.watching(run.task_run_id) as stopped:
                if run.resume_time_ms > now_ms() and await self._waits_on(run.task_run_id):
                    return pause.result(Progress.WAIT, run.resume_time_ms)
                begun = await self._stubs.runs.BeginAttempt(
                    BeginAttemptRequest(task_run_id=run.task_run_id, worker=self._worker)
                )
                return await self._carry_on(begun, stopped, pause)
        except (grpc.aio.AioRpcError, ServiceError) as error:
            failure = error if isinstance(error, ServiceError) else from_rpc(error)
            if failure.reason == FENCE_STALE:
                # A newer attempt owns the run. If this one is the stalled one, Temporal no longer listens;
                # if the newer one is, the run is taken back.
                return pause.result(Progress.CONTINUE)
            raise failure from None

    async def _waits_on(self, task_run_id: str) -> bool:
        """Whether a run, rung before its time, has no reason to be begun: it is not over or to be stopped."""
        run = (await self._stubs.runs.GetTaskRun(GetTaskRunRequest(task_run_id=task_run_id))).task_run
        return run.status == TASK_RUN_STATUS_WAITING and not run.HasField("stop_requested_time")

    async def _carry_on(
        self, begun: BeginAttemptResponse, stopped: asyncio.Event, pause: Pause
    ) -> WorkResult:
        task_run, fence = begun.task_run, begun.fence
        if not fence:
            await self._endings.already_over(task_run)
            return WorkResult(Progress.OVER)
        if task_run.HasField("stop_requested_time"):
            stopped.set()
        try:
            answer = answer_begun(begun) or await unless(stopped, self._to_answer(begun))
            if answer is not None:
                await self._endings.answer(task_run, fence, answer)
            elif stopped.is_set():
                await self._endings.stop(task_run, fence)
            else:
                return pause.result(Progress.CONTINUE)
        except RateLimited as limited:
            return await self._pauses.for_a_limit(task_run, fence, limited.delay, pause)
        except ServiceError as refusal:
            if refusal.reason != BUDGET_EXHAUSTED:
                raise
            return await self._pauses.for_money(
                task_run, fence, Shortage.of(refusal.metadata), pause=pause, turns=begun.turns
            )
        return WorkResult(Progress.OVER)

    async def _to_answer(self, begun: BeginAttemptResponse) -> Finish | None:
        attempt = await Attempt.prepare(
            begun, self._stubs, self._catalogue, self._stops.readers, leaving=_leaving()
        )
        return await attempt.to_answer()


@asynccontextmanager
async def _heartbeating() -> AsyncIterator[None]:
    """Tell Temporal three times within the heartbeat timeout that this worker lives.

    It is also how a cancellation reaches the activity: as CancelledError in the enclosed block.
    """
    timeout = activity.info().heartbeat_timeout
    if timeout is None:
        raise ValueError("the workflow gives every long activity a heartbeat timeout")
    beating = asyncio.create_task(_beat(timeout / 3))
    try:
        yield
    finally:
        beating.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beating


async def _beat(interval: timedelta) -> None:
    while True:
        activity.heartbeat()
        await asyncio.sleep(interval.total_seconds())


def _leaving() -> Callable[[], bool]:
    """Asked at each turn boundary: is this worker shutting down, or has the activity run long enough?"""
    ends = time.monotonic() + SEGMENT_SECONDS
    return lambda: activity.is_worker_shutdown() or time.monotonic() > ends
