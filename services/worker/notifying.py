"""Notices in the thread of a run: posted with patience, and on record as told or as undeliverable.

When there is something to tell is decided elsewhere (`endings`, `pauses`); each kind is told once a run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import grpc

from aucert.astra.v1.task_event_pb2 import Notice, NoticeUndelivered
from aucert.astra.v1.task_run_pb2 import TASK_RUN_OUTCOME_CANCELLED, TaskRun
from aucert.astra.v1.task_run_service_pb2 import ListTaskEventsRequest, LogTaskEventRequest
from aucert.astra.v1.thread_post_pb2 import (
    THREAD_POST_KIND_NOTICE_CANCELLED,
    THREAD_POST_KIND_NOTICE_FAILED,
    THREAD_POST_KIND_NOTICE_PAUSED,
    ThreadPostKind,
)
from aucert.tools.v1.thread_service_pb2 import PostNoticeRequest
from services.common.errors import ServiceError, from_rpc
from services.worker.failures import FENCE_STALE, is_final
from services.worker.notices import cancelled_text, failed_text
from services.worker.pacing import WAIT_IN_PLACE_MAX

if TYPE_CHECKING:
    from aucert.astra.v1.task_run_service_pb2_grpc import TaskRunServiceAsyncStub
    from aucert.tools.v1.thread_service_pb2_grpc import ThreadServiceAsyncStub

POST_TIMEOUT_SECONDS = 90.0
"""A post may have to wait out the vendor's own request time and search the thread."""
EVENTS_PAGE = 1000
NOTICE_TRIES_IN_PLACE = 3
NOTICE_WAIT = timedelta(seconds=30)
"""How long to leave a notice alone after those tries, unless the vendor says."""
NOTICE_PATIENCE = timedelta(minutes=10)
"""How long after its run's end a notice is still tried; about twenty times."""
FAILED, CANCELLED, PAUSED = "failed", "cancelled", "paused"
"""Kinds of notices, as the record names them."""
_KINDS: dict[str, ThreadPostKind.ValueType] = {
    FAILED: THREAD_POST_KIND_NOTICE_FAILED,
    CANCELLED: THREAD_POST_KIND_NOTICE_CANCELLED,
    PAUSED: THREAD_POST_KIND_NOTICE_PAUSED,
}


class Notifier:
    """Tells threads. `wait_seconds` is the first wait in place between tries of a notice; it doubles."""

    def __init__(
        self, runs: TaskRunServiceAsyncStub, threads: ThreadServiceAsyncStub, *, wait_seconds: float = 1.0
    ) -> None:
        self._runs = runs
        self._threads = threads
        self._wait_seconds = wait_seconds

    async def told_of_end(self, run: TaskRun) -> bool:
        """Whether the notice of its end, or that it could not be delivered, is on record."""
        return any([kind != PAUSED async for kind in self._told(run)])

    async def tell_end(self, run: TaskRun, fence: int) -> None:
        """Post the notice of a completed run and put on record that it was, or that it could not be.

        Raises ServiceError: to be tried again after its `retry_after`.
        """
        if run.outcome == TASK_RUN_OUTCOME_CANCELLED:
            kind, text = CANCELLED, cancelled_text(run.task_run_id)
        else:
            kind, text = FAILED, failed_text(run.task_run_id, run.outcome_reason)
        await self._tell(run, fence, kind, text)

    async def tell_paused(self, run: TaskRun, fence: int, text: str) -> None:
        """Post the notice of a run that waits for money, the first time it does. Raises as `tell_end`."""
        if PAUSED not in [kind async for kind in self._told(run)]:
            await self._tell(run, fence, PAUSED, text)

    async def _tell(self, run: TaskRun, fence: int, kind: str, text: str) -> None:
        event = LogTaskEventRequest(task_run_id=run.task_run_id, fence=fence)
        request = PostNoticeRequest(
            task_run_id=run.task_run_id, fence=fence, address=run.address, kind=_KINDS[kind], text=text
        )
        try:
            event.notice.CopyFrom(Notice(kind=kind, url=await self._post(request)))
        except ServiceError as error:
            if error.reason == FENCE_STALE or _may_yet_be_posted(run, error):
                raise
            event.notice_undelivered.CopyFrom(NoticeUndelivered(kind=kind, reason=error.reason))
        await self._runs.LogTaskEvent(event)

    async def _told(self, run: TaskRun) -> AsyncIterator[str]:
        """The kinds of notices on record."""
        request = ListTaskEventsRequest(task_run_id=run.task_run_id, page_size=EVENTS_PAGE)
        while True:  # a run's events are bounded by its ceilings
            page = await self._runs.ListTaskEvents(request)
            for event in page.task_events:
                match event.WhichOneof("detail"):
                    case "notice":
                        yield event.notice.kind
                    case "notice_undelivered":
                        yield event.notice_undelivered.kind
                    case _:
                        pass
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def _post(self, request: PostNoticeRequest) -> str:
        """Post a notice, with a few short waits, and return its link.

        Raises ServiceError: refused for good, or to be tried again after its `retry_after`.
        """
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
            await asyncio.sleep(max(self._wait_seconds * 2 ** (tries - 1), asked.total_seconds()))


def _may_yet_be_posted(run: TaskRun, error: ServiceError) -> bool:
    """Whether a notice that failed is worth another try later; that of a run not yet over always is."""
    if is_final(error, attempt=1):
        return False
    if not run.HasField("completed_time"):
        return True
    again = datetime.now(UTC) + (error.retry_after or timedelta(0))
    return again < run.completed_time.ToDatetime(UTC) + NOTICE_PATIENCE
