"""How a run ends: an answer posted and recorded, or an outcome with one notice to the people who asked.

The post comes before the record of the outcome, and both can be repeated, so a crash in between repeats
the one and does the other. A notice that cannot be delivered is put on record instead.
"""

from __future__ import annotations

import asyncio
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
from services.worker.pacing import paced
from services.worker.steps import RunToEnd

if TYPE_CHECKING:
    from aucert.astra.v1.task_run_service_pb2_grpc import TaskRunServiceAsyncStub
    from aucert.tools.v1.thread_service_pb2_grpc import ThreadServiceAsyncStub

STOP_REQUESTED = "STOP_REQUESTED"
POST_TIMEOUT_SECONDS = 90.0
"""A post may have to wait out the vendor's own request time and search the thread."""
TOLD = frozenset({"notice", "notice_undelivered"})
EVENTS_PAGE = 1000
NOTICE_TRIES_MAX = 8
NOTICE_WAIT_SECONDS_MAX = 30.0


class Endings:
    """Ends runs. `notice_wait_seconds` is the first wait between tries to post a notice; it doubles."""

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

        An answer that was written and could not be posted stays readable on the run.
        """
        begun = await self._runs.BeginAttempt(
            BeginAttemptRequest(task_run_id=lost.task_run_id, worker=self._worker)
        )
        run = begun.task_run
        if not begun.fence:
            await self.already_over(run)
        elif run.HasField("stop_requested_time"):
            await self.stop(run, begun.fence)
        else:
            outcome = TASK_RUN_OUTCOME_CANCELLED if lost.cancelled else TASK_RUN_OUTCOME_FAILURE
            unposted = answer_of(begun.turns[-1]) if begun.turns else None
            text = labelled(unposted.text, unposted.model_label) if unposted else ""
            await self._end(run, begun.fence, outcome, lost.reason, text)

    async def already_over(self, run: TaskRun) -> None:
        """See to the notice of a run that was ended elsewhere: by an attempt that died, or past its deadline.

        A run that was folded into another has that one's notice.
        """
        unanswered = run.outcome in (TASK_RUN_OUTCOME_FAILURE, TASK_RUN_OUTCOME_CANCELLED)
        if unanswered and not run.answered_by_task_run_id and not await self._is_told(run):
            # No attempt holds the fence of a completed run; the newest one's number still counts.
            await self._notify(run, max(run.attempt_fence, 1), run.outcome, run.outcome_reason)

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

    async def _notify(self, run: TaskRun, fence: int, outcome: TaskRunOutcome.ValueType, reason: str) -> None:
        """Post the notice and put on record that it was, or that it could not be."""
        event = LogTaskEventRequest(task_run_id=run.task_run_id, fence=fence)
        kind = "cancelled" if outcome == TASK_RUN_OUTCOME_CANCELLED else "failed"
        try:
            url = await self._post_notice(run, fence, outcome, reason)
            event.notice.CopyFrom(Notice(kind=kind, url=url))
        except ServiceError as error:
            if error.reason == FENCE_STALE:
                raise
            event.notice_undelivered.CopyFrom(NoticeUndelivered(kind=kind, reason=error.reason))
        await self._runs.LogTaskEvent(event)

    async def _end(
        self, run: TaskRun, fence: int, outcome: TaskRunOutcome.ValueType, reason: str, text: str = ""
    ) -> None:
        await self._notify(run, fence, outcome, reason)
        await self._complete(
            CompleteTaskRunRequest(
                task_run_id=run.task_run_id,
                fence=fence,
                outcome=outcome,
                outcome_reason=reason,
                output_text=text,
            )
        )

    async def _complete(self, request: CompleteTaskRunRequest) -> None:
        await self._runs.CompleteTaskRun(request)
        reach(CrashPoint.RUN_COMPLETED)

    async def _post_notice(
        self, run: TaskRun, fence: int, outcome: TaskRunOutcome.ValueType, reason: str
    ) -> str:
        """Post the notice and return its link. Raises ServiceError when it is refused or cannot be posted."""
        cancelled = outcome == TASK_RUN_OUTCOME_CANCELLED
        request = PostNoticeRequest(
            task_run_id=run.task_run_id,
            fence=fence,
            address=run.address,
            kind=THREAD_POST_KIND_NOTICE_CANCELLED if cancelled else THREAD_POST_KIND_NOTICE_FAILED,
            text=cancelled_text(run.task_run_id) if cancelled else failed_text(run.task_run_id, reason),
        )
        tries = 0
        while True:
            tries += 1
            try:
                return (await self._threads.PostNotice(request, timeout=POST_TIMEOUT_SECONDS)).url
            except grpc.aio.AioRpcError as error:
                failure = from_rpc(error)
            if tries == NOTICE_TRIES_MAX or failure.reason == FENCE_STALE or is_final(failure, attempt=tries):
                raise failure
            own = self._notice_wait_seconds * 2 ** (tries - 1)
            asked = failure.retry_after.total_seconds() if failure.retry_after else 0.0
            await asyncio.sleep(min(max(own, asked), NOTICE_WAIT_SECONDS_MAX))
