"""What becomes of money without anybody asking: leaked reservations end, and a new day is another try."""

from __future__ import annotations

from datetime import UTC, date, datetime

import structlog
from sqlalchemy import func, select

from aucert.astra.v1.task_event_pb2 import BudgetResumed
from services.astra.record import UNFINISHED
from services.astra.spend import RESERVATION_LIFE, SpendStore
from services.astra.tables import SpendReservation, TaskRun
from services.astra.waits import BUDGET, resume
from services.common.database import Database

LEAKS_A_SWEEP = 500
"""Most runs whose reservations are put down in one sweep; the rest have their turn in the next."""

log = structlog.get_logger()


class BudgetSweep:
    """Looks at all tenants as the relay role and works within each. Several may sweep at once."""

    def __init__(self, relay: Database, database: Database) -> None:
        self._relay = relay
        self._database = database
        self._spend = SpendStore(database)
        self._day: date | None = None

    async def once(self) -> None:
        """Put leaked reservations down; on a new day, and when just started, let waiting runs ask again."""
        await self._abandon_leaked()
        today = datetime.now(UTC).date()
        if today != self._day:
            await self._resume_waiting()
            self._day = today

    async def _abandon_leaked(self) -> None:
        query = (
            select(SpendReservation.tenant_id, SpendReservation.task_run_id)
            .where(
                SpendReservation.status == "open",
                SpendReservation.created_time < func.now() - RESERVATION_LIFE,
            )
            .distinct()
            .limit(LEAKS_A_SWEEP)
        )
        async with self._relay.transaction() as connection:
            leaking = (await connection.execute(query)).all()
        for run in leaking:
            abandoned = await self._spend.abandon_leaked(run.tenant_id, run.task_run_id)
            log.warning("reservation_leaked", task_run_id=run.task_run_id, abandoned=abandoned)

    async def _resume_waiting(self) -> None:
        """A cap of a day or a month may have room again; those whose cap has none wait on."""
        query = select(TaskRun.tenant_id).where(UNFINISHED, TaskRun.waiting_for == BUDGET).distinct()
        async with self._relay.transaction() as connection:
            tenants = (await connection.execute(query)).scalars()
        for tenant_id in tenants:
            async with self._database.tenant(tenant_id) as connection:
                await resume(connection, tenant_id, BudgetResumed())
