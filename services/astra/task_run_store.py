"""Task runs: recorded by the dispatcher, read by anyone allowed, pinned, moved between work and waiting."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, func, literal, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from aucert.astra.v1 import task_event_pb2
from aucert.astra.v1.task_event_pb2 import TaskEvent as TaskEventMessage
from aucert.astra.v1.task_run_pb2 import TaskRun as TaskRunMessage
from aucert.astra.v1.task_run_service_pb2 import CreateTaskRunRequest
from services.astra import convert
from services.astra.domain import Status, Step, step
from services.astra.errors import (
    AgentNotFound,
    RepositoryNotFound,
    TaskRunNotFound,
    TaskRunTaken,
    TransitionImpossible,
)
from services.astra.record import (
    UNFINISHED,
    NewEvent,
    add_events,
    change,
    hold,
    hold_unfinished,
    tell_watchers,
)
from services.astra.spend import release_open
from services.astra.storable import message_to_json, storable
from services.astra.tables import Agent, Repository, TaskEvent, TaskRun
from services.astra.waits import BUDGET, waiting_deadline, working_deadline
from services.common.database import Database, Transaction

RunKey = tuple[datetime, str]
QUEUED_DAYS_MAX = 7
"""How long a run may wait for its first attempt: longer than the workers or Temporal are ever away, so that
what was accepted is begun when they return, and short enough that nobody gets an answer they gave up on."""


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs of a tenant, in the words of the record; an empty word leaves its side open."""

    status: str = ""
    outcome: str = ""
    source: str = ""
    model_alias: str = ""
    thread_id: str = ""
    thread_event_id: str = ""


ALL_RUNS = RunFilter()


class TaskRunStore:
    """The runs of a tenant. Unknown ids raise TaskRunNotFound; writes with an old fence FenceStale."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, tenant_id: str, request: CreateTaskRunRequest) -> TaskRunMessage:
        """Record a run, or find the one already there.

        Raises AgentNotFound, RepositoryNotFound, TaskRunTaken.
        """
        async with self._database.tenant(tenant_id) as connection:
            agent_id = await _agent_id(connection, request.agent_slug)
            await _check_repository(connection, request.repository_id)
            created = await connection.execute(
                insert(TaskRun)
                .values(
                    id=request.task_run_id,
                    tenant_id=tenant_id,
                    agent_id=agent_id,
                    thread_id=request.thread_id,
                    thread_event_id=request.thread_event_id,
                    thread_seq=request.thread_seq,
                    workflow_id=request.workflow_id,
                    source=convert.SOURCE.word(request.source),
                    address=message_to_json(request.address),
                    operation=request.operation,
                    model_alias=request.model_alias,
                    model_label=request.model_label,
                    message=storable(request.message),
                    requester=storable(request.requester),
                    source_url=storable(request.source_url),
                    repository_id=request.repository_id or None,
                    requester_trusted=request.requester_trusted,
                    deadline_time=func.now() + timedelta(days=QUEUED_DAYS_MAX),
                )
                .on_conflict_do_nothing()
                .returning(TaskRun.id)
            )
            if created.one_or_none() is not None:
                await tell_watchers(connection, tenant_id, request.task_run_id)
            run = await read_run(connection, request.task_run_id)
            if run is None or run.thread_event_id != request.thread_event_id:
                raise TaskRunTaken(request.task_run_id)
            return run

    async def get(self, tenant_id: str, task_run_id: str) -> TaskRunMessage:
        """One run."""
        async with self._database.tenant(tenant_id) as connection:
            run = await read_run(connection, task_run_id)
        if run is None:
            raise TaskRunNotFound(task_run_id)
        return run

    async def page(
        self,
        tenant_id: str,
        *,
        limit: int,
        before: RunKey | None = None,
        wanted: RunFilter = ALL_RUNS,
    ) -> list[TaskRunMessage]:
        """Runs, newest first, older than `before`; only those wanted."""
        query = runs().order_by(TaskRun.created_time.desc(), TaskRun.id.desc()).limit(limit)
        if before is not None:
            after = tuple_(literal(before[0], TaskRun.created_time.type), literal(before[1], TaskRun.id.type))
            query = query.where(tuple_(TaskRun.created_time, TaskRun.id) < after)
        for column, value in (
            (TaskRun.status, wanted.status),
            (TaskRun.outcome, wanted.outcome),
            (TaskRun.source, wanted.source),
            (TaskRun.model_alias, wanted.model_alias),
            (TaskRun.thread_id, wanted.thread_id),
            (TaskRun.thread_event_id, wanted.thread_event_id),
        ):
            if value:
                query = query.where(column == value)
        if wanted.status and wanted.status != Status.COMPLETED:
            query = query.where(UNFINISHED)  # lets the index of the few unfinished runs be used
        async with self._database.tenant(tenant_id) as connection:
            found = await connection.execute(query.where(TaskRun.tenant_id == tenant_id))
            return [convert.task_run(row) for row in found]

    async def pin(self, tenant_id: str, task_run_id: str, commit: str) -> str:
        """Pin the commit a run reads; the first one wins and is returned."""
        async with self._database.tenant(tenant_id) as connection:
            run = await hold(connection, task_run_id)
            if not run.pinned_commit:
                await change(connection, task_run_id, pinned_commit=commit)
        return run.pinned_commit or commit

    async def move(
        self,
        tenant_id: str,
        task_run_id: str,
        fence: int,
        to: Status,
        *,
        waiting_for: str,
        expires: datetime | None,
    ) -> TaskRunMessage:
        """Move between work and waiting; repeating a move is a no-op. Raises TransitionImpossible.

        A run waits because a provider or a cap refused its next call, so what was set aside for that call is
        free. Waiting for money needs `expires`.
        """
        async with self._database.tenant(tenant_id) as connection:
            run = await hold_unfinished(connection, task_run_id, fence=fence)
            wanted = step(Status(run.status), to)
            if (
                wanted is Step.IMPOSSIBLE or to is Status.COMPLETED
            ):  # an ending has an outcome: CompleteTaskRun
                raise TransitionImpossible(task_run_id, run.status, to)
            if wanted is Step.MOVE and to is Status.WAITING:
                await release_open(connection, task_run_id)
                waiting = task_event_pb2.Waiting(
                    waiting_for=waiting_for, expires_time=convert.timestamp(expires) if expires else None
                )
                run = await change(
                    connection,
                    task_run_id,
                    events=1,
                    status=to,
                    waiting_for=waiting_for,
                    wait_expires_time=expires,
                    deadline_time=waiting_deadline(expires)
                    if expires and waiting_for == BUDGET
                    else TaskRun.deadline_time,
                )
                await add_events(connection, run, [convert.new_event(waiting)])
            elif wanted is Step.MOVE:
                await change(
                    connection,
                    task_run_id,
                    status=to,
                    waiting_for="",
                    wait_expires_time=None,
                    deadline_time=working_deadline(),
                )
                await tell_watchers(connection, tenant_id, task_run_id)
            return await run_on_record(connection, task_run_id)

    async def log_event(
        self, tenant_id: str, task_run_id: str, fence: int, event: NewEvent
    ) -> TaskEventMessage:
        """Put an event on record, also of a run that is over: its notice comes after its end."""
        async with self._database.tenant(tenant_id) as connection:
            await hold(connection, task_run_id, fence=fence)
            run = await change(connection, task_run_id, events=1)
            await add_events(connection, run, [event])
            return (await read_events(connection, task_run_id, after=run.next_event_seq - 2, limit=1))[0]

    async def events(
        self, tenant_id: str, task_run_id: str, *, after: int, limit: int
    ) -> list[TaskEventMessage]:
        """The events after a number, in order."""
        async with self._database.tenant(tenant_id) as connection:
            found = await read_events(connection, task_run_id, after=after, limit=limit)
            if not found:
                await run_on_record(connection, task_run_id)
            return found


def runs() -> Select[Any]:
    """All columns of runs, with the name of the agent."""
    return select(TaskRun.__table__, Agent.slug.label("agent_slug")).join(Agent, Agent.id == TaskRun.agent_id)


async def read_run(connection: Transaction, task_run_id: str) -> TaskRunMessage | None:
    """A run as it is now, or None."""
    row = (await connection.execute(runs().where(TaskRun.id == task_run_id))).one_or_none()
    return None if row is None else convert.task_run(row)


async def run_on_record(connection: Transaction, task_run_id: str) -> TaskRunMessage:
    """A run as it is now. Raises TaskRunNotFound."""
    run = await read_run(connection, task_run_id)
    if run is None:
        raise TaskRunNotFound(task_run_id)
    return run


async def read_events(
    connection: Transaction, task_run_id: str, *, after: int, limit: int
) -> list[TaskEventMessage]:
    """A run's events after a number, in order."""
    query = (
        select(TaskEvent.__table__)
        .where(TaskEvent.task_run_id == task_run_id, TaskEvent.seq > after)
        .order_by(TaskEvent.seq)
        .limit(limit)
    )
    return [convert.task_event(row) for row in await connection.execute(query)]


async def _agent_id(connection: Transaction, slug: str) -> str:
    agent_id = (await connection.execute(select(Agent.id).where(Agent.slug == slug))).scalar_one_or_none()
    if agent_id is None:
        raise AgentNotFound(slug)
    return agent_id


async def _check_repository(connection: Transaction, repository_id: str) -> None:
    """Foreign keys look past row-level security, so whose repository it is must be asked."""
    if repository_id:
        query = select(Repository.id).where(Repository.id == repository_id)
        if (await connection.execute(query)).one_or_none() is None:
            raise RepositoryNotFound(repository_id)
