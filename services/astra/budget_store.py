"""Caps on spending: set by operators, listed with what is spent of them. `spend` sees that they hold."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Select, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import TIMESTAMP, insert

from aucert.astra.v1.budget_pb2 import Cap
from aucert.astra.v1.budget_service_pb2 import (
    RaiseCapsRequest,
    RaiseCapsResponse,
    SetCapRequest,
    SetCapResponse,
)
from aucert.astra.v1.task_event_pb2 import BudgetResumed
from services.astra import convert
from services.astra.domain import Status
from services.astra.errors import AgentNotFound, TaskRunNotFound
from services.astra.record import UNFINISHED
from services.astra.spend import TAKEN
from services.astra.tables import Agent, Budget, TaskRun
from services.astra.waits import BUDGET, resume
from services.common.database import Database, Transaction
from services.common.tables import Id

CapKey = tuple[datetime, str, str]
"""When a cap was set, its kind and its subject: its place in the list."""


class BudgetStore:
    """The caps of a tenant."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def set_cap(self, tenant_id: str, request: SetCapRequest, set_by: str) -> SetCapResponse:
        """Set a cap and put the runs back to work that wait for money and that it applies to.

        Raises AgentNotFound, TaskRunNotFound.
        """
        kind, limit = convert.CAP_KIND.word(request.kind), request.limit_usd_micros
        async with self._database.tenant(tenant_id) as connection:
            subject_id = await _subject(connection, tenant_id, request)
            known = {"limit_usd_micros": limit, "set_by": set_by, "set_time": func.now()}
            await connection.send(
                insert(Budget)
                .values(tenant_id=tenant_id, cap=kind, subject_id=subject_id, **known)
                .on_conflict_do_update(index_elements=["tenant_id", "cap", "subject_id"], set_=known)
            )
            why = BudgetResumed(set_by=set_by, cap=kind, limit_usd_micros=limit)
            threads = await resume(connection, subject_id, why)
            set_now = {"kind": kind, "subject": subject_id, "before": None, "limit": 1}
            row = (await connection.execute(_CAPS, set_now | _NO_KEY | {"tenant": tenant_id})).one()
            return SetCapResponse(cap=convert.cap(row), resumed_thread_ids=threads)

    async def raise_caps(self, tenant_id: str, request: RaiseCapsRequest) -> RaiseCapsResponse:
        """Make room for so much more in all caps of a thread's runs that wait for money, for an operator.

        What is there is counted, so repeating it while nothing is spent changes nothing.
        """
        async with self._database.tenant(tenant_id) as connection:
            asked = await connection.execute(_OPERATOR, {"identity": request.identity})
            operator = asked.scalar_one_or_none()
            if operator is None:
                return RaiseCapsResponse()
            waiting = (await connection.execute(_waiting(request))).all()
            set_by = f"{operator} ({request.identity})"
            for run in waiting:
                known = {"run": run.id, "agent": run.agent_id, "tenant": tenant_id}
                room = {"add": request.add_usd_micros, "set_by": set_by}
                await connection.send(_MAKE_ROOM, known | room)
                await resume(connection, run.id, BudgetResumed(set_by=set_by))
            return RaiseCapsResponse(principal_name=operator, task_run_ids=[run.id for run in waiting])

    async def page(self, tenant_id: str, *, limit: int, before: CapKey | None) -> list[tuple[CapKey, Cap]]:
        """Caps with what is spent of them, the one set last first, set before `before`."""
        key = dict(zip(_NO_KEY, before, strict=True)) if before else _NO_KEY
        listing = {"tenant": tenant_id, "kind": None, "subject": None, "limit": limit}
        async with self._database.tenant(tenant_id) as connection:
            rows = await connection.execute(_CAPS, listing | key)
            return [((row.set_time, row.cap, row.subject_id), convert.cap(row)) for row in rows]


async def _subject(connection: Transaction, tenant_id: str, request: SetCapRequest) -> str:
    """Whom the cap is for."""
    if request.task_run_id:
        query, missing = select(TaskRun.id).where(TaskRun.id == request.task_run_id), TaskRunNotFound
    elif request.agent_slug:
        query, missing = select(Agent.id).where(Agent.slug == request.agent_slug), AgentNotFound
    else:
        return tenant_id
    found = (await connection.execute(query)).scalar_one_or_none()
    if found is None:
        raise missing(request.task_run_id or request.agent_slug)
    return found


def _waiting(request: RaiseCapsRequest) -> Select[Id, Id]:
    """The runs the raise reaches, locked in the order of the thread."""
    return (
        select(TaskRun.id, TaskRun.agent_id)
        .where(
            UNFINISHED,
            TaskRun.thread_id == request.thread_id,
            TaskRun.thread_seq < request.before_thread_seq,
            TaskRun.status == Status.WAITING,
            TaskRun.waiting_for == BUDGET,
        )
        .order_by(TaskRun.thread_seq, TaskRun.id)
        .with_for_update(key_share=True)
    )


_OPERATOR = text(
    "SELECT name FROM principals WHERE CAST(:identity AS text) = ANY (identities)"
    " AND 'budgets_write' = ANY (scopes) ORDER BY name LIMIT 1"
)
_MAKE_ROOM = text(
    f"""
    {TAKEN}
    INSERT INTO budgets (tenant_id, cap, subject_id, limit_usd_micros, set_by)
    SELECT CAST(:tenant AS uuid), cap,
        CAST(CASE cap WHEN 'run' THEN :run WHEN 'agent_day' THEN :agent ELSE :tenant END AS uuid),
        spent + reserved + :add, :set_by
    FROM taken WHERE limit_usd_micros < spent + reserved + :add
    ON CONFLICT (tenant_id, cap, subject_id) DO UPDATE SET
        limit_usd_micros = excluded.limit_usd_micros, set_by = excluded.set_by, set_time = now()
    """  # noqa: S608 - no value is written into it
)
_NO_KEY = {"before": None, "before_cap": None, "before_subject": None}
_CAPS = text(
    """
    WITH today AS (SELECT date_trunc('day', now(), 'UTC') AS day, date_trunc('month', now(), 'UTC') AS month)
    SELECT budgets.*, agents.slug AS agent_slug, task_runs.id AS task_run_id,
        CAST(CASE
            WHEN cap = 'run' THEN coalesce(task_runs.estimated_cost_usd_micros, 0)
            WHEN cap = 'tenant_month' THEN (
                SELECT coalesce(sum(spent_usd_micros), 0) FROM spend_days
                WHERE tenant_id = budgets.tenant_id AND day >= (today.month AT TIME ZONE 'UTC')::date)
            ELSE (
                SELECT coalesce(sum(spent_usd_micros), 0) FROM spend_days
                WHERE tenant_id = budgets.tenant_id AND agent_id = agents.id
                    AND day = (today.day AT TIME ZONE 'UTC')::date)
        END AS bigint) AS spent,
        CAST((
            SELECT coalesce(sum(reserved_usd_micros), 0)
            FROM spend_reservations AS held JOIN task_runs AS holder ON holder.id = held.task_run_id
            WHERE held.tenant_id = budgets.tenant_id AND held.status = 'open' AND CASE cap
                WHEN 'run' THEN holder.id = task_runs.id
                WHEN 'tenant_month' THEN held.created_time >= today.month
                ELSE holder.agent_id = agents.id AND held.created_time >= today.day
            END
        ) AS bigint) AS reserved
    FROM today, budgets
    LEFT JOIN agents ON agents.id = subject_id
    LEFT JOIN task_runs ON task_runs.id = subject_id
    WHERE budgets.tenant_id = CAST(:tenant AS uuid)
        AND (CAST(:kind AS text) IS NULL OR (cap = :kind AND subject_id = CAST(:subject AS uuid)))
        AND (CAST(:before AS timestamptz) IS NULL
            OR (set_time, cap, subject_id)
                < (:before, CAST(:before_cap AS text), CAST(:before_subject AS uuid)))
    ORDER BY set_time DESC, cap DESC, subject_id DESC
    LIMIT :limit
    """
).bindparams(bindparam("before", type_=TIMESTAMP(timezone=True)), bindparam("limit", type_=BigInteger))
