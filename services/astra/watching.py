"""Streams of what happens: a run's events and text, a tenant's runs, what workers must hear of.

Each begins by watching, then reads the record, then reads on as it is told, so nothing falls in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, nullcontext
from datetime import datetime

from sqlalchemy import ColumnElement, func, or_, select

from aucert.astra.v1.task_event_pb2 import TaskEvent as TaskEventMessage
from aucert.astra.v1.task_run_pb2 import TASK_RUN_STATUS_COMPLETED
from aucert.astra.v1.task_run_pb2 import TaskRun as TaskRunMessage
from aucert.astra.v1.task_run_service_pb2 import StreamedText, WatchStopRequestsResponse
from services.astra import convert
from services.astra.notifications import Notifications
from services.astra.reading_along import ReadingAlong
from services.astra.record import CHANGED_CHANNEL, READERS_CHANNEL, STOP_CHANNEL, UNFINISHED
from services.astra.stop_store import StopStore
from services.astra.tables import TaskRun
from services.astra.task_run_store import TaskRunStore, runs
from services.common.database import Database
from services.common.statements import one_of

EVENTS_A_READ = 200
RUNS_A_READ = 200
"""Most runs held at once; a longer list is read in steps."""


class Watching:
    """The streams. Each lives until its reader leaves, a run's until the run is over.

    All end with Unavailable when this process leaves: their readers go on with another.
    """

    def __init__(
        self,
        database: Database,
        notifications: Notifications,
        runs_on_record: TaskRunStore,
        stops: StopStore,
        reading_along: ReadingAlong,
    ) -> None:
        self._database = database
        self._notifications = notifications
        self._runs = runs_on_record
        self._stops = stops
        self._reading_along = reading_along

    async def run(
        self, tenant_id: str, task_run_id: str, after_seq: int, *, with_text: bool = False
    ) -> AsyncGenerator[TaskEventMessage | StreamedText]:
        """A run's events after a number, and where wanted text as it is written; ends after agent_completed.

        Raises TaskRunNotFound.
        """
        wake = asyncio.Event()
        reading = self._reading_along.reader(tenant_id, task_run_id, wake) if with_text else nullcontext()
        watching = self._notifications.watch(CHANGED_CHANNEL, f"{tenant_id} {task_run_id}", wake=wake)
        with watching as watch, reading as reader:
            # Read before the events: if it says completed, agent_completed is among them, or was seen before.
            run = await self._runs.get(tenant_id, task_run_id)
            while True:
                events = await self._runs.events(tenant_id, task_run_id, after=after_seq, limit=EVENTS_A_READ)
                for event in events:
                    yield event
                    after_seq = event.seq
                    if event.WhichOneof("detail") == "agent_completed":
                        return
                if len(events) == EVENTS_A_READ:
                    continue
                if run.status == TASK_RUN_STATUS_COMPLETED:
                    return
                if reader is None:
                    await watch.changes()
                    continue
                async with aclosing(reader.until_told(watch)) as text:
                    async for piece in text:
                        yield piece

    async def for_workers(self) -> AsyncGenerator[WatchStopRequestsResponse]:
        """Runs of all tenants asked to stop: none once established, then all that are unfinished, then each
        as it is asked; one may be told twice. Between them runs that somebody reads along with."""
        wake = asyncio.Event()
        with (
            self._notifications.watch(STOP_CHANNEL, wake=wake) as stops,
            self._notifications.watch(READERS_CHANNEL, wake=wake) as readers,
        ):
            yield WatchStopRequestsResponse()
            for task_run_id in await self._stops.asked_and_unfinished():
                yield WatchStopRequestsResponse(task_run_id=task_run_id)
            while True:
                changes, read = await stops.changes(), readers.taken()
                told = await self._stops.asked_and_unfinished() if changes.everything else changes.words
                for task_run_id in told:
                    yield WatchStopRequestsResponse(task_run_id=task_run_id)
                for task_run_id in read.words:
                    yield WatchStopRequestsResponse(read_along_task_run_id=task_run_id)

    async def runs(self, tenant_id: str) -> AsyncGenerator[TaskRunMessage]:
        """The tenant's unfinished runs, then each run as it changes."""
        followed: set[str] = set()
        with self._notifications.watch(CHANGED_CHANNEL, f"{tenant_id} ") as watch:
            read_at, wanted = await self._now(), UNFINISHED
            while True:
                async for run in self._read(tenant_id, wanted):
                    if run.status == TASK_RUN_STATUS_COMPLETED:
                        followed.discard(run.task_run_id)
                    else:
                        followed.add(run.task_run_id)
                    yield run
                changes = await watch.changes()
                wanted = one_of(TaskRun.id, changes.words)
                if changes.everything:
                    # Whatever ended in between was followed, or was made in between.
                    made_since = TaskRun.created_time >= read_at
                    read_at = await self._now()
                    wanted = or_(UNFINISHED, one_of(TaskRun.id, followed), made_since)

    async def _read(self, tenant_id: str, wanted: ColumnElement[bool]) -> AsyncGenerator[TaskRunMessage]:
        after = ""
        while True:
            query = runs().where(TaskRun.tenant_id == tenant_id, wanted)
            if after:
                query = query.where(TaskRun.id > after)
            query = query.order_by(TaskRun.id).limit(RUNS_A_READ)
            async with self._database.tenant(tenant_id) as connection:
                found = [convert.task_run(row) for row in await connection.execute(query)]
            for run in found:
                yield run
            if len(found) < RUNS_A_READ:
                return
            after = found[-1].task_run_id

    async def _now(self) -> datetime:
        async with self._database.transaction() as connection:
            return (await connection.execute(select(func.now()))).scalar_one()
