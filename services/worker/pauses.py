"""Leaves a run waiting without holding a worker's slot; the workflow has the timer.

A provider or vendor that asks to slow down is waited for silently. A cap on spending that is reached is told
in the thread, once; the run goes on when the cap is raised, and fails when nobody does so in time.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from aucert.astra.v1.task_run_pb2 import (
    TASK_RUN_STATUS_WAITING,
    WAIT_REASON_BUDGET,
    WAIT_REASON_RATE_LIMIT,
    TaskRun,
    WaitReason,
)
from aucert.astra.v1.task_run_service_pb2 import UpdateTaskStatusRequest
from aucert.astra.v1.transcript_pb2 import TranscriptTurn
from aucert.models.v1.message_pb2 import ROLE_ASSISTANT
from services.worker.costs import Shortage
from services.worker.failures import RunFailed
from services.worker.notices import paused_text
from services.worker.notifying import Notifier
from services.worker.steps import Progress, RunToWork, WorkResult

if TYPE_CHECKING:
    from aucert.astra.v1.task_run_service_pb2_grpc import TaskRunServiceAsyncStub

OUT_OF_BUDGET = "BUDGET"
"""Reason of a run that waited for money in vain."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A wait for money: when it ends, in Unix time, and the last turn on record when it began.

    0: the run is in none.
    """

    expires_ms: int
    position: int

    @classmethod
    def of(cls, run: RunToWork) -> Pause:
        """As the workflow keeps it, across other waits and workers."""
        return cls(run.pause_expires_ms, run.pause_position)

    def lasts(self, turns: Sequence[TranscriptTurn]) -> bool:
        """Whether the money has not come yet: the model has not spoken since."""
        spoken = (each.position for each in turns if each.message.role == ROLE_ASSISTANT)
        return bool(self.expires_ms) and max(spoken, default=0) <= self.position

    def result(self, progress: Progress, resume_time_ms: int = 0) -> WorkResult:
        """What an activity says of a run in this pause."""
        return WorkResult(progress, resume_time_ms, self.expires_ms, self.position)


class Pauses:
    """Pauses runs. `budget_wait` is how long a run waits for a cap to be raised."""

    def __init__(self, runs: TaskRunServiceAsyncStub, notifier: Notifier, *, budget_wait: timedelta) -> None:
        self._runs = runs
        self._notifier = notifier
        self._budget_wait = budget_wait

    async def for_a_limit(self, run: TaskRun, fence: int, delay: timedelta, pause: Pause) -> WorkResult:
        """Leave the run waiting for `delay`, at most until its deadline; `pause` goes on meanwhile."""
        resume_time_ms = min(now_ms() + _milliseconds(delay), run.deadline_time.ToMilliseconds())
        await self._wait(run, fence, WAIT_REASON_RATE_LIMIT, resume_time_ms)
        return pause.result(Progress.WAIT, resume_time_ms)

    async def for_money(
        self, run: TaskRun, fence: int, shortage: Shortage, *, pause: Pause, turns: Sequence[TranscriptTurn]
    ) -> WorkResult:
        """Leave the run waiting for a cap to be raised, and say so in the thread.

        The `pause` it was in goes on unless one of its `turns` was paid for since. Raises RunFailed when that
        has ended, and ServiceError when it is too early for the notice.
        """
        if not pause.lasts(turns):
            pause = Pause(now_ms() + _milliseconds(self._budget_wait), turns[-1].position)
        if pause.expires_ms <= now_ms():
            raise RunFailed(OUT_OF_BUDGET)
        await self._wait(run, fence, WAIT_REASON_BUDGET, pause.expires_ms)
        await self._notifier.tell_paused(run, fence, paused_text(run, shortage, self._budget_wait))
        return pause.result(Progress.WAIT, pause.expires_ms)

    async def _wait(
        self, run: TaskRun, fence: int, reason: WaitReason.ValueType, resume_time_ms: int
    ) -> None:
        request = UpdateTaskStatusRequest(
            task_run_id=run.task_run_id, fence=fence, status=TASK_RUN_STATUS_WAITING, waiting_for=reason
        )
        request.wait_expires_time.FromMilliseconds(resume_time_ms)
        await self._runs.UpdateTaskStatus(request)


def now_ms() -> int:
    """The Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def _milliseconds(delay: timedelta) -> int:
    return round(delay.total_seconds() * 1000)
