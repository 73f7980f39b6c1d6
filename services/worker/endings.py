"""How a run ends: an answer posted and recorded, or an outcome with one notice to the people who asked.

An answer is posted before the run is completed, for it may still fail to be; a notice after it, for nobody
should wait for GitHub to see that a run is over. Each step can be repeated, so a crash in between repeats the
one and does the other. What the ledger knows as an answer is finished, whatever happened since: people may
have read it. A notice that cannot be delivered is put on record instead.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from aucert.astra.v1.task_run_pb2 import (
    TASK_RUN_OUTCOME_CANCELLED,
    TASK_RUN_OUTCOME_FAILURE,
    TASK_RUN_OUTCOME_SUCCESS,
    TaskRun,
    TaskRunOutcome,
)
from aucert.astra.v1.task_run_service_pb2 import (
    BeginAttemptRequest,
    BeginAttemptResponse,
    CompleteTaskRunRequest,
)
from aucert.tools.v1.thread_service_pb2 import PostAnswerRequest, ResolveThreadRequest
from services.common.crashpoints import CrashPoint, reach
from services.common.errors import ServiceError
from services.worker.agent import Finish, answer_of
from services.worker.failures import is_final
from services.worker.labels import labelled
from services.worker.notifying import POST_TIMEOUT_SECONDS, Notifier
from services.worker.pacing import paced
from services.worker.steps import RunToEnd

if TYPE_CHECKING:
    from aucert.astra.v1.task_run_service_pb2_grpc import TaskRunServiceAsyncStub
    from aucert.tools.v1.thread_service_pb2_grpc import ThreadServiceAsyncStub

STOP_REQUESTED = "STOP_REQUESTED"
OPERATION_RESOLVE = "resolve_comment"
"""The operation of a run that was asked to close its thread."""


class Endings:
    """Ends runs. `worker` is the name its attempts are recorded under.

    `resolve_after`: operations that close their thread unasked, where who asked belongs to the place.
    """

    def __init__(
        self,
        runs: TaskRunServiceAsyncStub,
        threads: ThreadServiceAsyncStub,
        notifier: Notifier,
        *,
        worker: str,
        resolve_after: Collection[str] = (),
    ) -> None:
        self._resolve_after = resolve_after
        self._runs = runs
        self._threads = threads
        self._notifier = notifier
        self._worker = worker

    async def answer(self, run: TaskRun, fence: int, answer: Finish) -> None:
        """Post the labelled answer and complete the run. Raises RateLimited and ServiceError."""
        text = labelled(answer.text, answer.model_label)
        request = PostAnswerRequest(task_run_id=run.task_run_id, fence=fence, address=run.address, text=text)
        posted = await paced(lambda: self._threads.PostAnswer(request, timeout=POST_TIMEOUT_SECONDS))
        reach(CrashPoint.ANSWER_POSTED)
        unasked = run.requester_trusted and run.operation in self._resolve_after
        if run.operation == OPERATION_RESOLVE or unasked:
            await self._resolve(run)
        await self._complete(
            CompleteTaskRunRequest(
                task_run_id=run.task_run_id,
                fence=fence,
                outcome=TASK_RUN_OUTCOME_SUCCESS,
                output_text=text,
                reply_url=posted.url,
            )
        )

    async def _resolve(self, run: TaskRun) -> None:
        """Mark the thread done. A vendor that will not have it takes nothing from the answer."""
        request = ResolveThreadRequest(address=run.address)
        try:
            await paced(lambda: self._threads.ResolveThread(request, timeout=POST_TIMEOUT_SECONDS))
        except ServiceError as error:
            if not is_final(error, attempt=1):
                raise

    async def stop(self, run: TaskRun, fence: int) -> None:
        """Complete a run that somebody asked to stop."""
        await self._end(run, fence, TASK_RUN_OUTCOME_CANCELLED, STOP_REQUESTED)

    async def give_up(self, lost: RunToEnd) -> None:
        """End a run that cannot go on, fencing out whoever may still be at it.

        An answer that was begun is finished; one that cannot be posted stays readable on the run. Raises
        RateLimited and ServiceError when it is too early for the answer or the notice.
        """
        begun = await self._runs.BeginAttempt(
            BeginAttemptRequest(task_run_id=lost.task_run_id, worker=self._worker)
        )
        run = begun.task_run
        if not begun.fence:
            await self.already_over(run)
        elif await self._finishes_answer(begun):
            return
        elif run.HasField("stop_requested_time"):
            await self.stop(run, begun.fence)
        else:
            outcome = TASK_RUN_OUTCOME_CANCELLED if lost.cancelled else TASK_RUN_OUTCOME_FAILURE
            unposted = answer_of(begun.turns) if begun.turns else None
            text = labelled(unposted.text, unposted.model_label) if unposted else ""
            await self._end(run, begun.fence, outcome, lost.reason, text)

    async def _finishes_answer(self, begun: BeginAttemptResponse) -> bool:
        answer = answer_begun(begun)
        if answer is None:
            return False
        try:
            await self.answer(begun.task_run, begun.fence, answer)
        except ServiceError as error:
            if not is_final(error, attempt=1):
                raise
            return False
        return True

    async def already_over(self, run: TaskRun) -> None:
        """See to the notice of a run that was ended before: by an attempt that died, or past its deadline.

        A run that was folded into another has that one's notice. Raises ServiceError when it is too early.
        """
        unanswered = run.outcome in (TASK_RUN_OUTCOME_FAILURE, TASK_RUN_OUTCOME_CANCELLED)
        if unanswered and not run.answered_by_task_run_id and not await self._notifier.told_of_end(run):
            # No attempt holds the fence of a completed run; the newest one's number still counts.
            await self._notifier.tell_end(run, max(run.attempt_fence, 1))

    async def _end(
        self, run: TaskRun, fence: int, outcome: TaskRunOutcome.ValueType, reason: str, text: str = ""
    ) -> None:
        ended = await self._complete(
            CompleteTaskRunRequest(
                task_run_id=run.task_run_id,
                fence=fence,
                outcome=outcome,
                outcome_reason=reason,
                output_text=text,
            )
        )
        await self._notifier.tell_end(ended, fence)

    async def _complete(self, request: CompleteTaskRunRequest) -> TaskRun:
        response = await self._runs.CompleteTaskRun(request)
        reach(CrashPoint.RUN_COMPLETED)
        return response.task_run


def answer_begun(begun: BeginAttemptResponse) -> Finish | None:
    """The answer that is in the thread already, or may be; None: nothing of one was sent."""
    return answer_of(begun.turns) if begun.answer_begun else None
