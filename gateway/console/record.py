"""Astra's record as one person may read it: every call carries their own token, and no other.

Astra decides by that token what may be read and which tenant's it is; the gateway's own principal, which may
act for every tenant, is not used here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from aucert.astra.v1 import task_run_service_pb2 as runs_pb
from aucert.astra.v1 import transcript_service_pb2 as transcripts_pb
from aucert.astra.v1.task_event_pb2 import TaskEvent
from aucert.astra.v1.task_run_pb2 import TaskRun
from aucert.astra.v1.transcript_pb2 import TranscriptTurn
from services.common import metadata as keys
from services.common.caller import current_caller

if TYPE_CHECKING:
    from aucert.astra.v1.task_run_service_pb2_grpc import TaskRunServiceAsyncStub
    from aucert.astra.v1.transcript_service_pb2_grpc import TranscriptServiceAsyncStub

CALL_SECONDS_MAX = 10.0
EVENTS_A_CALL = 1_000
TURNS_A_CALL = 50
PAGES_MAX = 200
"""Calls one list is read with. A run's ceilings keep it far below."""


class Record:
    """What one principal may read. Its calls raise AioRpcError; a stream lives until its reader leaves."""

    def __init__(
        self, runs: TaskRunServiceAsyncStub, transcripts: TranscriptServiceAsyncStub, token: str
    ) -> None:
        self._runs = runs
        self._transcripts = transcripts
        self._authorization = (keys.AUTHORIZATION, keys.BEARER + token)

    async def runs(self, request: runs_pb.ListTaskRunsRequest) -> runs_pb.ListTaskRunsResponse:
        """A page of runs."""
        return await self._runs.ListTaskRuns(request, timeout=CALL_SECONDS_MAX, metadata=self._metadata())

    async def run(self, task_run_id: str) -> TaskRun:
        """One run as it is now."""
        request = runs_pb.GetTaskRunRequest(task_run_id=task_run_id)
        answer = await self._runs.GetTaskRun(request, timeout=CALL_SECONDS_MAX, metadata=self._metadata())
        return answer.task_run

    async def events(self, task_run_id: str) -> list[TaskEvent]:
        """All events of a run so far, in order."""
        found: list[TaskEvent] = []
        request = runs_pb.ListTaskEventsRequest(task_run_id=task_run_id, page_size=EVENTS_A_CALL)
        for _ in range(PAGES_MAX):
            page = await self._runs.ListTaskEvents(
                request, timeout=CALL_SECONDS_MAX, metadata=self._metadata()
            )
            found.extend(page.task_events)
            request.page_token = page.next_page_token
            if not page.next_page_token:
                break
        return found

    async def turns(self, task_run_id: str, first: int, last: int | None = None) -> list[TranscriptTurn]:
        """The turns of a run from one position to another, both included; None: to the last one recorded."""
        found: list[TranscriptTurn] = []
        request = transcripts_pb.ListTurnsRequest(
            task_run_id=task_run_id, page_size=TURNS_A_CALL, from_position=first
        )
        for _ in range(PAGES_MAX):
            page = await self._transcripts.ListTurns(
                request, timeout=CALL_SECONDS_MAX, metadata=self._metadata()
            )
            found.extend(turn for turn in page.turns if last is None or turn.position <= last)
            request.page_token = page.next_page_token
            if not page.next_page_token or (last is not None and page.turns[-1].position >= last):
                break
        return found

    async def watch_runs(self) -> AsyncGenerator[TaskRun]:
        """The unfinished runs, then each run as it changes."""
        call = self._runs.WatchTaskRuns(runs_pb.WatchTaskRunsRequest(), metadata=self._metadata())
        try:
            async for response in call:
                yield response.task_run
        finally:
            call.cancel()

    async def watch_run(
        self, task_run_id: str, after_seq: int
    ) -> AsyncGenerator[runs_pb.WatchTaskRunResponse]:
        """A run's events after a number, none missing, and text as it is written; ends with the run."""
        request = runs_pb.WatchTaskRunRequest(task_run_id=task_run_id, after_seq=after_seq, with_text=True)
        call = self._runs.WatchTaskRun(request, metadata=self._metadata())
        try:
            async for response in call:
                yield response
        finally:
            call.cancel()

    def _metadata(self) -> list[tuple[str, str]]:
        return [self._authorization, (keys.REQUEST_ID, current_caller().request_id)]
