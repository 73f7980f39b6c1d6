"""TaskRunService."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aucert.astra.v1 import task_run_service_pb2 as pb
from aucert.astra.v1.task_run_pb2 import TASK_RUN_STATUS_WAITING, WAIT_REASON_BUDGET
from aucert.astra.v1.task_run_service_pb2_grpc import TaskRunServiceServicer
from services.astra import convert
from services.astra.attempt_store import AttemptStore
from services.astra.domain import Ending, Outcome, Status
from services.astra.ending_store import EndingStore
from services.astra.pages import key_of, page_size, token_after
from services.astra.reading_along import ReadingAlong
from services.astra.stop_store import StopStore
from services.astra.task_run_store import RunFilter, TaskRunStore
from services.astra.watching import Watching
from services.common.caller import current_caller
from services.common.errors import FieldInvalid

if TYPE_CHECKING:
    from services.common.door import Context

RUNS_A_PAGE, RUNS_A_PAGE_MAX = 50, 200
EVENTS_A_PAGE, EVENTS_A_PAGE_MAX = 100, 1_000
_RUNS = "task_runs"


class TaskRunServicer(TaskRunServiceServicer):
    """The life of task runs, each call within the caller's tenant."""

    def __init__(
        self,
        *,
        runs: TaskRunStore,
        attempts: AttemptStore,
        endings: EndingStore,
        stops: StopStore,
        watching: Watching,
        reading_along: ReadingAlong,
    ) -> None:
        self._runs = runs
        self._attempts = attempts
        self._endings = endings
        self._stops = stops
        self._watching = watching
        self._reading_along = reading_along

    async def CreateTaskRun(
        self, request: pb.CreateTaskRunRequest, context: Context
    ) -> pb.CreateTaskRunResponse:
        """Record a run, queued."""
        del context
        return pb.CreateTaskRunResponse(task_run=await self._runs.create(_tenant(), request))

    async def GetTaskRun(self, request: pb.GetTaskRunRequest, context: Context) -> pb.GetTaskRunResponse:
        """Read one run."""
        del context
        return pb.GetTaskRunResponse(task_run=await self._runs.get(_tenant(), request.task_run_id))

    async def ListTaskRuns(
        self, request: pb.ListTaskRunsRequest, context: Context
    ) -> pb.ListTaskRunsResponse:
        """List runs, newest first."""
        del context
        limit = page_size(request.page_size, usual=RUNS_A_PAGE, most=RUNS_A_PAGE_MAX)
        key = key_of(request.page_token, _RUNS, datetime.fromisoformat, uuid.UUID)
        found = await self._runs.page(
            _tenant(),
            limit=limit + 1,
            before=None if key is None else (key[0], str(key[1])),
            wanted=RunFilter(
                status=convert.STATUS.word(request.status),
                outcome=convert.OUTCOME.word(request.outcome),
                source=convert.SOURCE.word(request.source),
                model_alias=request.model_alias,
                thread_id=request.thread_id,
                thread_event_id=request.thread_event_id,
            ),
        )
        response = pb.ListTaskRunsResponse(task_runs=found[:limit])
        if len(found) > limit:
            last = found[limit - 1]
            created = last.created_time.ToDatetime(tzinfo=UTC).isoformat()
            response.next_page_token = token_after(_RUNS, created, last.task_run_id)
        return response

    async def BeginAttempt(
        self, request: pb.BeginAttemptRequest, context: Context
    ) -> pb.BeginAttemptResponse:
        """Begin an attempt and fence out older ones."""
        del context
        return await self._attempts.begin(_tenant(), request.task_run_id, request.worker)

    async def PinCommit(self, request: pb.PinCommitRequest, context: Context) -> pb.PinCommitResponse:
        """Pin the commit a run reads."""
        del context
        return pb.PinCommitResponse(
            commit=await self._runs.pin(_tenant(), request.task_run_id, request.commit)
        )

    async def UpdateTaskStatus(
        self, request: pb.UpdateTaskStatusRequest, context: Context
    ) -> pb.UpdateTaskStatusResponse:
        """Move a run between in progress and waiting."""
        del context
        if request.status == TASK_RUN_STATUS_WAITING and not request.waiting_for:
            raise FieldInvalid([("waiting_for", "must say what the run waits for")])
        if request.waiting_for == WAIT_REASON_BUDGET and not request.HasField("wait_expires_time"):
            raise FieldInvalid([("wait_expires_time", "must say how long the run waits for money")])
        expires = request.wait_expires_time if request.HasField("wait_expires_time") else None
        run = await self._runs.move(
            _tenant(),
            request.task_run_id,
            request.fence,
            Status(convert.STATUS.word(request.status)),
            waiting_for=convert.WAIT_REASON.word(request.waiting_for),
            expires=expires and expires.ToDatetime(tzinfo=UTC),
        )
        return pb.UpdateTaskStatusResponse(task_run=run)

    async def RequestStop(self, request: pb.RequestStopRequest, context: Context) -> pb.RequestStopResponse:
        """Ask runs of a thread to stop."""
        del context
        asked = await self._stops.request(
            _tenant(),
            request.thread_id,
            before_seq=request.before_thread_seq,
            task_run_id=request.task_run_id,
            requester=request.requester,
        )
        return pb.RequestStopResponse(task_run_ids=asked)

    async def WatchStopRequests(
        self, request: pb.WatchStopRequestsRequest, context: Context
    ) -> AsyncIterator[pb.WatchStopRequestsResponse]:
        """Stream the runs asked to stop, and those that somebody reads along with."""
        del request, context
        async with aclosing(self._watching.for_workers()) as told:
            async for response in told:
                yield response

    async def PublishText(self, request: pb.PublishTextRequest, context: Context) -> pb.PublishTextResponse:
        """Pass on text of a model as it is written."""
        del context
        await self._reading_along.publish(_tenant(), request.task_run_id, request.text)
        return pb.PublishTextResponse()

    async def LogTaskEvent(
        self, request: pb.LogTaskEventRequest, context: Context
    ) -> pb.LogTaskEventResponse:
        """Put an event on the record of a run."""
        del context
        detail = getattr(request, request.WhichOneof("detail") or "notice")
        event = await self._runs.log_event(
            _tenant(), request.task_run_id, request.fence, convert.new_event(detail)
        )
        return pb.LogTaskEventResponse(task_event=event)

    async def ListTaskEvents(
        self, request: pb.ListTaskEventsRequest, context: Context
    ) -> pb.ListTaskEventsResponse:
        """List a run's events in order."""
        del context
        listing = f"task_events/{request.task_run_id}"
        limit = page_size(request.page_size, usual=EVENTS_A_PAGE, most=EVENTS_A_PAGE_MAX)
        key = key_of(request.page_token, listing, int)
        found = await self._runs.events(
            _tenant(), request.task_run_id, after=key[0] if key else 0, limit=limit + 1
        )
        more = len(found) > limit
        return pb.ListTaskEventsResponse(
            task_events=found[:limit],
            next_page_token=token_after(listing, found[limit - 1].seq) if more else "",
        )

    async def WatchTaskRun(
        self, request: pb.WatchTaskRunRequest, context: Context
    ) -> AsyncIterator[pb.WatchTaskRunResponse]:
        """Stream a run's events."""
        del context
        happenings = self._watching.run(
            _tenant(), request.task_run_id, request.after_seq, with_text=request.with_text
        )
        async with aclosing(happenings):
            async for each in happenings:
                if isinstance(each, pb.StreamedText):
                    yield pb.WatchTaskRunResponse(text=each)
                else:
                    yield pb.WatchTaskRunResponse(task_event=each)

    async def WatchTaskRuns(
        self, request: pb.WatchTaskRunsRequest, context: Context
    ) -> AsyncIterator[pb.WatchTaskRunsResponse]:
        """Stream the tenant's runs as they change."""
        del request, context
        async with aclosing(self._watching.runs(_tenant())) as runs:
            async for run in runs:
                yield pb.WatchTaskRunsResponse(task_run=run)

    async def CompleteTaskRun(
        self, request: pb.CompleteTaskRunRequest, context: Context
    ) -> pb.CompleteTaskRunResponse:
        """End a run."""
        del context
        ending = Ending(
            Outcome(convert.OUTCOME.word(request.outcome)),
            request.outcome_reason,
            request.output_text,
            request.reply_url,
        )
        run = await self._endings.complete(_tenant(), request.task_run_id, request.fence, ending)
        return pb.CompleteTaskRunResponse(task_run=run)


def _tenant() -> str:
    return current_caller().tenant_id
