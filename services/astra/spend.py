"""Money on record: set aside before a model call, settled by its turn, or put down as abandoned."""

from __future__ import annotations

import uuid

from sqlalchemy import func, insert, update

from aucert.astra.v1.transcript_pb2 import SpendReservation as SpendReservationMessage
from services.astra.record import RunHead, hold_unfinished
from services.astra.tables import SpendReservation
from services.common.database import Database, Transaction


class BudgetStore:
    """Reservations asked for by themselves; the transcript makes and settles the others."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def reserve(
        self, tenant_id: str, task_run_id: str, fence: int, *, model_alias: str, usd_micros: int
    ) -> SpendReservationMessage:
        """Set aside the worst case of the next call. Raises FenceStale, TaskRunCompleted, TaskRunNotFound."""
        async with self._database.tenant(tenant_id) as connection:
            run = await hold_unfinished(connection, task_run_id, fence=fence)
            return await reserve(connection, run, model_alias, usd_micros)


async def reserve(
    connection: Transaction, run: RunHead, model_alias: str, usd_micros: int
) -> SpendReservationMessage:
    """Set money aside for a run whose lock is held."""
    reservation_id = str(uuid.uuid4())
    await connection.send(
        insert(SpendReservation),
        {
            "id": reservation_id,
            "tenant_id": run.tenant_id,
            "task_run_id": run.id,
            "model_alias": model_alias,
            "reserved_usd_micros": usd_micros,
            "fence": run.attempt_fence,
        },
    )
    return SpendReservationMessage(
        spend_reservation_id=reservation_id, model_alias=model_alias, reserved_usd_micros=usd_micros
    )


async def abandon_open(connection: Transaction, task_run_id: str) -> list[int]:
    """Put down all open calls of a run as abandoned, at their worst case; return those prices.

    Nobody knows whether the provider did the work, so it counts as done.
    """
    abandoned = await connection.execute(
        update(SpendReservation)
        .where(SpendReservation.task_run_id == task_run_id, SpendReservation.status == "open")
        .values(
            status="abandoned",
            spent_usd_micros=SpendReservation.reserved_usd_micros,
            settled_time=func.now(),
        )
        .returning(SpendReservation.reserved_usd_micros)
    )
    return abandoned.scalars()


async def release_open(connection: Transaction, task_run_id: str) -> None:
    """Settle the open calls of a run at nothing: the provider is known to have refused them."""
    await connection.send(
        update(SpendReservation)
        .where(SpendReservation.task_run_id == task_run_id, SpendReservation.status == "open")
        .values(status="settled", spent_usd_micros=0, settled_time=func.now())
    )
