"""Waiting for money: the time a run may take stands still meanwhile, and ends when somebody sets a cap."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, bindparam, case, func, literal, text
from sqlalchemy.dialects.postgresql import JSONB, UUID

from aucert.astra.v1.task_event_pb2 import BudgetResumed
from services.astra.record import CHANGED_CHANNEL
from services.astra.storable import message_to_json
from services.astra.tables import TaskRun
from services.common.database import Transaction

BUDGET = "budget"
"""`waiting_for` of a run that waits for money."""


def waiting_deadline(expires: datetime) -> ColumnElement[Any]:
    """The deadline of a run that waits for money until `expires`: as much later as it may wait."""
    return TaskRun.deadline_time + (literal(expires, TaskRun.deadline_time.type) - func.now())


def working_deadline() -> ColumnElement[Any]:
    """The deadline of a run that is at work again: what it did not wait is taken off."""
    unused = func.greatest(TaskRun.wait_expires_time - func.now(), text("interval '0'"))
    return case((TaskRun.waiting_for == BUDGET, TaskRun.deadline_time - unused), else_=TaskRun.deadline_time)


async def resume(connection: Transaction, subject_id: str, why: BudgetResumed) -> Sequence[str]:
    """Put the runs of a tenant, agent or run that wait for money back to work; return their threads."""
    resumed = await connection.execute(
        _RESUME,
        {
            "subject": subject_id,
            "detail": message_to_json(why, whole=True),
            "channel": CHANGED_CHANNEL,
        },
    )
    return sorted({row.thread_id for row in resumed})


# Locked first, in the order in which everybody locks several runs.
_RESUME = text(
    """
    WITH waiting AS (
        SELECT id FROM task_runs
        WHERE status <> 'completed' AND status = 'waiting' AND waiting_for = 'budget'
            AND :subject IN (id, agent_id, tenant_id)
        ORDER BY thread_id, thread_seq, id
        FOR NO KEY UPDATE
    ),
    resumed AS (
        UPDATE task_runs SET status = 'in_progress', waiting_for = '', wait_expires_time = NULL,
            deadline_time = deadline_time - greatest(wait_expires_time - now(), interval '0'),
            next_event_seq = next_event_seq + 1
        WHERE id IN (SELECT id FROM waiting)
        RETURNING id, tenant_id, thread_id, next_event_seq - 1 AS seq
    ),
    told AS (
        INSERT INTO task_events (task_run_id, seq, tenant_id, event_type, metadata)
        SELECT id, seq, tenant_id, 'budget_resumed', :detail FROM resumed
    )
    SELECT thread_id, pg_notify(:channel, tenant_id || ' ' || id) FROM resumed
    """
).bindparams(bindparam("detail", type_=JSONB), bindparam("subject", type_=UUID(as_uuid=False)))
