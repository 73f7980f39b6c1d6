"""End the runs whose deadline has passed, whatever became of their workers, and see to money left over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog
from sqlalchemy import func, select

from services.astra.budget_sweep import BudgetSweep
from services.astra.ending_store import EndingStore
from services.astra.record import UNFINISHED
from services.astra.tables import TaskRun
from services.common.database import Database
from services.common.errors import ServiceError, Unavailable

INTERVAL_SECONDS = 60.0
RUNS_A_SWEEP = 500
"""Most runs ended in one sweep; the rest have their turn in the next."""

log = structlog.get_logger()


class Sweeper:
    """Finds overdue runs of all tenants as the relay role, and ends each within its tenant.

    Several may sweep at once: the run's row lock decides.
    """

    def __init__(
        self,
        relay: Database,
        endings: EndingStore,
        money: BudgetSweep,
        *,
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self._relay = relay
        self._endings = endings
        self._money = money
        self._interval_seconds = interval_seconds

    @asynccontextmanager
    async def sweeping(self) -> AsyncIterator[None]:
        """Sweep at once and every interval until the block is left."""
        task = asyncio.create_task(self._forever())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def sweep(self) -> int:
        """End what is overdue; return how many runs this sweep ended."""
        query = (
            select(TaskRun.id, TaskRun.tenant_id)
            .where(UNFINISHED, TaskRun.deadline_time < func.now())
            .order_by(TaskRun.deadline_time)
            .limit(RUNS_A_SWEEP)
        )
        async with self._relay.transaction() as connection:
            overdue = (await connection.execute(query)).all()
        return sum([await self._expire(run.tenant_id, run.id) for run in overdue])

    async def _expire(self, tenant_id: str, task_run_id: str) -> bool:
        try:
            return await self._endings.expire(tenant_id, task_run_id)
        except Unavailable:  # the record is away: so it is for all others
            raise
        except Exception:
            log.exception("expire_failed", task_run_id=task_run_id)
            return False

    async def _forever(self) -> None:
        while True:
            try:
                ended = await self.sweep()
                await self._money.once()
            except ServiceError as error:  # the record is away: the next sweep finds the same runs
                log.warning("sweep_failed", reason=error.reason)
            except Exception:
                log.exception("sweep_failed")
            else:
                if ended:
                    log.info("swept", ended=ended)
            await asyncio.sleep(self._interval_seconds)
