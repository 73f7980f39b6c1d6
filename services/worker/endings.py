"""How a run ends: an answer posted and recorded, or an outcome with one notice to the people who asked.

An answer is posted before the run is completed, for it may still fail to be; a notice after it, for nobody
should wait for GitHub to see that a run is over. Each step can be repeated, so a crash in between repeats the
one and does the other. What the ledger knows as an answer is finished, whatever happened since: people may
have read it. A notice that cannot be delivered is put on record instead.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import grpc

from aucert.astra.v1.task_event_pb2 import Notice, NoticeUndelivered
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
    ListTaskEventsRequest,
    LogTaskEventRequest,
)
from aucert.astra.v1.thread_post_pb2 import (
    THREAD_POST_KIND_NOTICE_CANCELLED,
    THREAD_POST_KIND_NOTICE_FAILED,
)
from aucert.tools.v1.thread_service_pb2 import PostAnswerRequest, PostNoticeRequest
from services.common.crashpoints import CrashPoint, reach
from services.common.errors import ServiceError, from_rpc
from services.worker.agent import Finish, answer_of
from services.worker.failures import FENCE_STALE, is_final
from services.worker.labels import labelled
from services.worker.notices import cancelled_text, failed_text
from services.worker.pacing import WAIT_IN_PLACE_MAX, paced
from services.worker.steps import RunToEnd

if TYPE_CHECKING:
    from aucert.astra.v1.task_run_service_pb2_grpc import TaskRunServiceAsyncStub
    from aucert.tools.v1.thread_service_pb2_grpc import ThreadServiceAsyncStub

STOP_REQUESTED = "STOP_REQUESTED"
POST_TIMEOUT_SECONDS = 90.0
"""A post may have to wait out the vendor's own request time and search the thread."""
TOLD = frozenset({"notice", "notice_undelivered"})
EVENTS_PAGE = 1000
NOTICE_TRIES_IN_PLACE = 3
NOTICE_WAIT = timedelta(seconds=30)
"""How long to leave a notice alone after those tries, unless the vendor says."""
NOTICE_PATIENCE = timedelta(minutes=10)
"""How long after its run's end a notice is still tried; about twenty times."""


class Endings:
    """Ends runs. `notice_wait_seconds` is the first wait in place between tries of a notice; it doubles."""

    def __init__(
        self,
        runs: TaskRunServiceAsyncStub,
        threads: ThreadServiceAsyncStub,
        *,
        worker: str,
        notice_wait_seconds: float = 1.0,
    ) -> None:
        self._runs = runs
        self._threads = threads
        self._worker = worker
        self._notice_wait_seconds = notice_wait_seconds

    async def answer(self, run: TaskRun, fence: int, answer: Finish) -> None:
        """Post the labelled answer and complete the run. Raises RateLimited and ServiceError."""
        text = labelled(answer.text, answer.model_label)
        request = PostAnswerRequest(task_run_id=run.task_run_id, fence=fence, address=run.address, text=text)
        posted = await paced(lambda: self._threads.PostAnswer(request, timeout=POST_TIMEOUT_SECONDS))
        reach(CrashPoint.ANSWER_POSTED)
        await self._complete(
            CompleteTaskRunRequest(
                task_run_id=run.task_run_id,
                fence=fence,
                outcome=TASK_RUN_OUTCOME_SUCCESS,
                output_text=text,
                reply_url=posted.url,
            )
        )

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
            unposted = answer_of(begun.turns[-1]) if begun.turns else None
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
        if unanswered and not run.answered_by_task_run_id and not await self._is_told(run):
            # No attempt holds the fence of a completed run; the newest one's number still counts.
            await self._notify(run, max(run.attempt_fence, 1))

    async def _is_told(self, run: TaskRun) -> bool:
        """Whether a notice, or that it could not be delivered, is on record."""
        request = ListTaskEventsRequest(task_run_id=run.task_run_id, page_size=EVENTS_PAGE)
        while True:  # a run's events are bounded by its ceilings
            page = await self._runs.ListTaskEvents(request)
            if any(event.WhichOneof("detail") in TOLD for event in page.task_events):
                return True
            if not page.next_page_token:
                return False
            request.page_token = page.next_page_token

    async def _notify(self, run: TaskRun, fence: int) -> None:
        """Post the notice of a completed run and put on record that it was, or that it could not be."""
        event = LogTaskEventRequest(task_run_id=run.task_run_id, fence=fence)
        kind = "cancelled" if run.outcome == TASK_RUN_OUTCOME_CANCELLED else "failed"
        try:
            url = await self._post_notice(run, fence)
            event.notice.CopyFrom(Notice(kind=kind, url=url))
        except ServiceError as error:
            if error.reason == FENCE_STALE or _may_yet_be_posted(run, error):
                raise
            event.notice_undelivered.CopyFrom(NoticeUndelivered(kind=kind, reason=error.reason))
        await self._runs.LogTaskEvent(event)

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
        await self._notify(ended, fence)

    async def _complete(self, request: CompleteTaskRunRequest) -> TaskRun:
        response = await self._runs.CompleteTaskRun(request)
        reach(CrashPoint.RUN_COMPLETED)
        return response.task_run

    async def _post_notice(self, run: TaskRun, fence: int) -> str:
        """Post the notice, with a few short waits, and return its link.

        Raises ServiceError: refused for good, or to be tried again after its `retry_after`.
        """
        cancelled = run.outcome == TASK_RUN_OUTCOME_CANCELLED
        request = PostNoticeRequest(
            task_run_id=run.task_run_id,
            fence=fence,
            address=run.address,
            kind=THREAD_POST_KIND_NOTICE_CANCELLED if cancelled else THREAD_POST_KIND_NOTICE_FAILED,
            text=cancelled_text(run.task_run_id)
            if cancelled
            else failed_text(run.task_run_id, run.outcome_reason),
        )
        tries = 0
        while True:
            tries += 1
            try:
                return (await self._threads.PostNotice(request, timeout=POST_TIMEOUT_SECONDS)).url
            except grpc.aio.AioRpcError as error:
                failure = from_rpc(error)
            if failure.reason == FENCE_STALE or is_final(failure, attempt=tries):
                raise failure
            asked = failure.retry_after or timedelta(0)
            if tries == NOTICE_TRIES_IN_PLACE or asked > WAIT_IN_PLACE_MAX:
                failure.retry_after = max(asked, NOTICE_WAIT)
                raise failure
            await asyncio.sleep(max(self._notice_wait_seconds * 2 ** (tries - 1), asked.total_seconds()))


def answer_begun(begun: BeginAttemptResponse) -> Finish | None:
    """The answer that is in the thread already, or may be; None: nothing of one was sent."""
    return answer_of(begun.turns[-1]) if begun.answer_begun else None


def _may_yet_be_posted(run: TaskRun, error: ServiceError) -> bool:
    """Whether a notice that failed is worth another try when its time comes."""
    again = datetime.now(UTC) + (error.retry_after or timedelta(0))
    in_time = again < run.completed_time.ToDatetime(UTC) + NOTICE_PATIENCE
    return in_time and not is_final(error, attempt=1)
