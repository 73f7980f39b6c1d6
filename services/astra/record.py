"""What every write to a run has in common: its row lock, its fence, its numbered events, its watchers.

The row lock of the run orders all that happens to it. Whoever locks several runs takes the one that was
said first in the thread first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from google.protobuf.message import Message
from sqlalchemy import BigInteger, bindparam, func, literal_column, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.dml import ReturningUpdate

from services.astra.domain import Status
from services.astra.errors import FenceStale, TaskRunCompleted, TaskRunNotFound
from services.astra.storable import message_to_json
from services.astra.tables import TaskRun
from services.common.database import Asked, Transaction

CHANGED_CHANNEL = "task_run_changed"
STOP_CHANNEL = "stop_requested"
TEXT_CHANNEL = "task_run_text"
READERS_CHANNEL = "task_run_readers"
UNFINISHED = literal_column("task_runs.status <> 'completed'")
"""As the partial indexes say it; a bound parameter would hide them from the planner."""


@dataclass(frozen=True, slots=True)
class RunHead:
    """What most writes to a run go on with; not its message, which may be long. `now`: of the transaction."""

    id: str
    tenant_id: str
    agent_id: str
    thread_id: str
    thread_event_id: str
    thread_seq: int
    operation: str
    model_alias: str
    status: str
    outcome: str | None
    pinned_commit: str
    attempt_fence: int
    stop_requested_time: datetime | None
    next_event_seq: int
    now: datetime


_HEAD = [
    func.now().label(each.name) if each.name == "now" else TaskRun.__table__.c[each.name]
    for each in fields(RunHead)
]


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to record: its type is the name of TaskEvent's field, its detail the message in it."""

    event_type: str
    detail: Message


async def hold(connection: Transaction, task_run_id: str, *, fence: int | None = None) -> RunHead:
    """Lock a run's row until the transaction ends. Raises TaskRunNotFound; FenceStale for another fence."""
    query = select(*_HEAD).where(TaskRun.id == task_run_id).with_for_update(key_share=True)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise TaskRunNotFound(task_run_id)
    run = RunHead(*row)
    if fence is not None and run.attempt_fence != fence:
        raise FenceStale(task_run_id)
    return run


async def hold_unfinished(connection: Transaction, task_run_id: str, *, fence: int) -> RunHead:
    """As `hold`; raises TaskRunCompleted when the run is over."""
    run = await hold(connection, task_run_id, fence=fence)
    if run.status == Status.COMPLETED:
        raise TaskRunCompleted(task_run_id, run.outcome or "")
    return run


def advancing(**changes: Any) -> ReturningUpdate[*tuple[Any, ...]]:
    """The statement of an `advance`: built once, for building it costs as much as running it."""
    return (
        update(TaskRun)
        .where(TaskRun.id == bindparam("of_run"), TaskRun.attempt_fence == bindparam("of_fence"), UNFINISHED)
        .values(next_event_seq=TaskRun.next_event_seq + bindparam("new_events"), **changes)
        .returning(*_HEAD)
    )


async def advance(
    connection: Transaction,
    statement: ReturningUpdate[*tuple[Any, ...]],
    task_run_id: str,
    fence: int,
    *,
    events: int,
    **parameters: Any,
) -> Asked:
    """Lock, check, change an unfinished run and set numbers aside for its events.

    What is asked beside it shares its round trip, and counts only if `advanced` finds that it was done.
    """
    known = {"of_run": task_run_id, "of_fence": fence, "new_events": events}
    return await connection.ask(statement, known | parameters)


async def advanced(connection: Transaction, asked: Asked, task_run_id: str, fence: int) -> RunHead:
    """The run as it is after `advance`: the first number set aside is `next_event_seq - events`.

    Raises as `hold_unfinished` does.
    """
    row = (await asked.result()).one_or_none()
    if row is not None:
        return RunHead(*row)
    await hold_unfinished(connection, task_run_id, fence=fence)
    raise FenceStale(task_run_id)  # it changed hands between the two looks


async def change(connection: Transaction, task_run_id: str, *, events: int = 0, **changes: Any) -> RunHead:
    """Change a run whose lock is held, and set numbers aside for its events as `advance` does."""
    statement = (
        update(TaskRun)
        .where(TaskRun.id == task_run_id)
        .values(next_event_seq=TaskRun.next_event_seq + events, **changes)
        .returning(*_HEAD)
    )
    return RunHead(*(await connection.execute(statement)).one())


async def add_events(connection: Transaction, run: RunHead, events: Sequence[NewEvent]) -> None:
    """Record events under the numbers just set aside for them, and tell the watchers."""
    await connection.send(
        _ADD_EVENTS,
        {
            "run": run.id,
            "tenant": run.tenant_id,
            "first": run.next_event_seq - len(events),
            "events": [[each.event_type, message_to_json(each.detail, whole=True)] for each in events],
            "channel": CHANGED_CHANNEL,
            "payload": _payload(run.tenant_id, run.id),
        },
    )


async def tell_watchers(connection: Transaction, tenant_id: str, task_run_id: str) -> None:
    """Wake whoever watches the run, once the transaction is committed."""
    await connection.send(select(func.pg_notify(CHANGED_CHANNEL, _payload(tenant_id, task_run_id))))


def _payload(tenant_id: str, task_run_id: str) -> str:
    return f"{tenant_id} {task_run_id}"


_ADD_EVENTS = text(
    """
    WITH added AS (
        INSERT INTO task_events (task_run_id, seq, tenant_id, event_type, metadata)
        SELECT CAST(:run AS uuid), :first + place - 1, CAST(:tenant AS uuid), event ->> 0, event -> 1
        FROM jsonb_array_elements(:events) WITH ORDINALITY AS new (event, place)
    )
    SELECT pg_notify(:channel, :payload)
    """
).bindparams(bindparam("events", type_=JSONB), bindparam("first", type_=BigInteger))
