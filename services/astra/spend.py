"""Money on record: set aside before a model call, settled by its turn, or put down as abandoned.

A reservation is made only where every cap on its run leaves room for it beside all that is spent and set
aside. Those of a tenant are made one after the other, so however many runs ask at once, none goes over a cap.
What a cap is and who sets it is `budget_store`'s.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Interval, bindparam, func, text, update

from aucert.astra.v1.transcript_pb2 import SpendReservation as SpendReservationMessage
from aucert.astra.v1.transcript_service_pb2 import CommitTurnRequest
from services.astra.errors import BudgetExhausted, BudgetHeld, ReservationNotOpen
from services.astra.record import RunHead, change, hold, hold_unfinished
from services.astra.tables import SpendReservation, TaskRun
from services.common.database import Asked, Database, Transaction

RESERVATION_LIFE = timedelta(hours=1)
"""Longer than a worker may hold a run, so that a reservation this old belongs to no call under way."""


class SpendStore:
    """Reservations asked for by themselves, and those nobody came back for; the transcript has the others."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def reserve(
        self, tenant_id: str, task_run_id: str, fence: int, *, model_alias: str, usd_micros: int
    ) -> SpendReservationMessage:
        """Set aside the worst case of the next call.

        Raises BudgetExhausted, BudgetHeld, FenceStale, TaskRunCompleted and TaskRunNotFound.
        """
        async with self._database.tenant(tenant_id) as connection:
            run = await hold_unfinished(connection, task_run_id, fence=fence)
            asking = await ask_reservation(connection, run, model_alias, usd_micros)
        if refusal := await asking.refusal():
            raise refusal
        return asking.reservation

    async def release(self, tenant_id: str, task_run_id: str, fence: int, spend_reservation_id: str) -> None:
        """Free what was set aside for a call that no provider took. Repeating it changes nothing.

        Raises ReservationNotOpen, FenceStale, TaskRunCompleted and TaskRunNotFound.
        """
        async with self._database.tenant(tenant_id) as connection:
            await hold_unfinished(connection, task_run_id, fence=fence)
            known = {"run": task_run_id, "reservation": spend_reservation_id}
            if (await connection.execute(_RELEASE, known)).one_or_none() is None:
                raise ReservationNotOpen(spend_reservation_id)

    async def abandon_leaked(self, tenant_id: str, task_run_id: str) -> int:
        """Put down a run's reservations older than RESERVATION_LIFE; return how many."""
        async with self._database.tenant(tenant_id) as connection:
            await hold(connection, task_run_id)
            abandoned = await abandon_open(connection, task_run_id, older_than=RESERVATION_LIFE)
            if abandoned:
                cost = TaskRun.estimated_cost_usd_micros + sum(abandoned)
                await change(connection, task_run_id, estimated_cost_usd_micros=cost)
            return len(abandoned)


@dataclass(frozen=True, slots=True)
class Asking:
    """A reservation under way: it holds once its transaction is committed and there is no refusal."""

    reservation: SpendReservationMessage
    _asked: Asked

    async def refusal(self) -> BudgetExhausted | BudgetHeld | None:
        """The cap in the way, if there is one. Asked after the transaction, it waits for nothing."""
        row = (await self._asked.result()).one_or_none()
        if row is None:
            return None
        needed = self.reservation.reserved_usd_micros
        exhausted = row.spent + needed > row.limit_usd_micros
        error = BudgetExhausted if exhausted else BudgetHeld
        return error(
            row.cap, limit=row.limit_usd_micros, spent=row.spent, reserved=row.reserved, needed=needed
        )


async def ask_reservation(connection: Transaction, run: RunHead, model_alias: str, usd_micros: int) -> Asking:
    """Set money aside for a run whose lock is held, if its caps allow it.

    The last thing a transaction does, so that other runs of the tenant wait no longer than its COMMIT takes.
    """
    reservation = SpendReservationMessage(
        spend_reservation_id=str(uuid.uuid4()), model_alias=model_alias, reserved_usd_micros=usd_micros
    )
    # A statement of its own: the next one must see what was committed while this one waited.
    await connection.send(_ONE_AT_A_TIME, {"tenant": run.tenant_id})
    asked = await connection.ask(
        _RESERVE,
        {
            "id": reservation.spend_reservation_id,
            "run": run.id,
            "agent": run.agent_id,
            "tenant": run.tenant_id,
            "model_alias": model_alias,
            "needed": usd_micros,
            "fence": run.attempt_fence,
        },
    )
    return Asking(reservation, asked)


async def count_turn(connection: Transaction, run: RunHead, turn: CommitTurnRequest) -> None:
    """Add a turn whose reservation is settled to what was used on the reservation's day."""
    usage = turn.usage
    await connection.send(
        _COUNT_TURN,
        {
            "tenant": run.tenant_id,
            "agent": run.agent_id,
            "model_alias": turn.model_alias,
            "tokens_input": usage.tokens_input,
            "tokens_output": usage.tokens_output,
            "tokens_cache_read": usage.tokens_cache_read,
            "tokens_cache_write": usage.tokens_cache_write,
            "cost": turn.cost_usd_micros,
            "reservation": turn.spend_reservation_id,
        },
    )


async def abandon_open(
    connection: Transaction, task_run_id: str, *, older_than: timedelta = timedelta(0)
) -> list[int]:
    """Put down open calls of a run as abandoned, at their worst case; return those prices.

    Nobody knows whether the provider did the work, so it counts as done.
    """
    abandoned = await connection.execute(_ABANDON, {"run": task_run_id, "older_than": older_than})
    return abandoned.scalars()


async def release_open(connection: Transaction, task_run_id: str) -> None:
    """Settle the open calls of a run at nothing: the provider is known to have refused them."""
    await connection.send(
        update(SpendReservation)
        .where(SpendReservation.task_run_id == task_run_id, SpendReservation.status == "open")
        .values(status="settled", spent_usd_micros=0, settled_time=func.now())
    )


_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended('spend/' || :tenant, 0))")

_RELEASE = text(
    """
    UPDATE spend_reservations
    SET status = 'settled', spent_usd_micros = 0, settled_time = coalesce(settled_time, now())
    WHERE id = CAST(:reservation AS uuid) AND task_run_id = CAST(:run AS uuid)
        AND (status = 'open' OR (status = 'settled' AND spent_usd_micros = 0 AND NOT EXISTS (
            SELECT FROM transcript_turns WHERE spend_reservation_id = CAST(:reservation AS uuid))))
    RETURNING id
    """
)

TAKEN = """
    WITH today AS (SELECT date_trunc('day', now(), 'UTC') AS day, date_trunc('month', now(), 'UTC') AS month),
    closest AS (
        SELECT DISTINCT ON (cap) cap, limit_usd_micros FROM budgets
        WHERE tenant_id = CAST(:tenant AS uuid)
            AND subject_id IN (CAST(:run AS uuid), CAST(:agent AS uuid), CAST(:tenant AS uuid))
        ORDER BY cap, subject_id = CAST(:run AS uuid) DESC, subject_id = CAST(:agent AS uuid) DESC
    ),
    taken AS (
        SELECT closest.*, used.spent, used.reserved FROM closest, today, LATERAL (
            SELECT estimated_cost_usd_micros AS spent, (
                SELECT coalesce(sum(reserved_usd_micros), 0) FROM spend_reservations
                WHERE task_run_id = task_runs.id AND status = 'open') AS reserved
            FROM task_runs WHERE closest.cap = 'run' AND id = CAST(:run AS uuid)
            UNION ALL
            SELECT (
                SELECT coalesce(sum(spent_usd_micros), 0) FROM spend_days
                WHERE tenant_id = CAST(:tenant AS uuid) AND agent_id = CAST(:agent AS uuid)
                    AND day = (today.day AT TIME ZONE 'UTC')::date), (
                SELECT coalesce(sum(reserved_usd_micros), 0) FROM spend_reservations AS held
                JOIN task_runs ON task_runs.id = held.task_run_id
                WHERE held.tenant_id = CAST(:tenant AS uuid) AND held.status = 'open'
                    AND task_runs.agent_id = CAST(:agent AS uuid) AND held.created_time >= today.day)
            WHERE closest.cap = 'agent_day'
            UNION ALL
            SELECT (
                SELECT coalesce(sum(spent_usd_micros), 0) FROM spend_days
                WHERE tenant_id = CAST(:tenant AS uuid) AND day >= (today.month AT TIME ZONE 'UTC')::date), (
                SELECT coalesce(sum(reserved_usd_micros), 0) FROM spend_reservations AS held
                WHERE held.tenant_id = CAST(:tenant AS uuid) AND held.status = 'open'
                    AND held.created_time >= today.month)
            WHERE closest.cap = 'tenant_month'
        ) AS used
        WHERE closest.limit_usd_micros > 0
    )"""
"""The caps that hold for :run, :agent and :tenant, with what is spent and set aside of each.

What a run spent is on the run, whose lock is held; what an agent or tenant spent is in spend_days, what they
set aside is open.
"""

# Returns the cap in the way; where none is, the reservation is made.
_RESERVE = text(
    f"""
    {TAKEN},
    in_the_way AS (
        SELECT cap, limit_usd_micros, CAST(spent AS bigint) AS spent, CAST(reserved AS bigint) AS reserved
        FROM taken WHERE spent + reserved + :needed > limit_usd_micros
        ORDER BY spent + :needed > limit_usd_micros DESC, cap
    ),
    made AS (
        INSERT INTO spend_reservations (id, tenant_id, task_run_id, model_alias, reserved_usd_micros, fence)
        SELECT CAST(:id AS uuid), CAST(:tenant AS uuid), CAST(:run AS uuid), :model_alias, :needed, :fence
        WHERE NOT EXISTS (SELECT FROM in_the_way)
    )
    SELECT * FROM in_the_way LIMIT 1
    """  # noqa: S608 - no value is written into it
)

_ADD_UP = """
    ON CONFLICT (tenant_id, day, agent_id, model_alias) DO UPDATE SET
        call_count = spend_days.call_count + excluded.call_count,
        abandoned_call_count = spend_days.abandoned_call_count + excluded.abandoned_call_count,
        tokens_input = spend_days.tokens_input + excluded.tokens_input,
        tokens_output = spend_days.tokens_output + excluded.tokens_output,
        tokens_cache_read = spend_days.tokens_cache_read + excluded.tokens_cache_read,
        tokens_cache_write = spend_days.tokens_cache_write + excluded.tokens_cache_write,
        spent_usd_micros = spend_days.spent_usd_micros + excluded.spent_usd_micros
"""

_COUNT_TURN = text(
    f"""
    INSERT INTO spend_days (tenant_id, day, agent_id, model_alias, call_count, tokens_input, tokens_output,
        tokens_cache_read, tokens_cache_write, spent_usd_micros)
    SELECT CAST(:tenant AS uuid), (created_time AT TIME ZONE 'UTC')::date, CAST(:agent AS uuid), :model_alias,
        1, :tokens_input, :tokens_output, :tokens_cache_read, :tokens_cache_write, :cost
    FROM spend_reservations WHERE id = CAST(:reservation AS uuid)
    {_ADD_UP}
    """  # noqa: S608 - no value is written into it
)

_ABANDON = text(
    f"""
    WITH abandoned AS (
        UPDATE spend_reservations
        SET status = 'abandoned', spent_usd_micros = reserved_usd_micros, settled_time = now()
        WHERE task_run_id = CAST(:run AS uuid) AND status = 'open'
            AND created_time <= clock_timestamp() - :older_than
        RETURNING tenant_id, task_run_id, model_alias, reserved_usd_micros, created_time
    ),
    counted AS (
        INSERT INTO spend_days (tenant_id, day, agent_id, model_alias, abandoned_call_count, spent_usd_micros)
        SELECT abandoned.tenant_id, (abandoned.created_time AT TIME ZONE 'UTC')::date, task_runs.agent_id,
            abandoned.model_alias, count(*), sum(reserved_usd_micros)
        FROM abandoned JOIN task_runs ON task_runs.id = abandoned.task_run_id
        GROUP BY 1, 2, 3, 4
        {_ADD_UP}
    )
    SELECT reserved_usd_micros FROM abandoned
    """  # noqa: S608 - no value is written into it
).bindparams(bindparam("older_than", type_=Interval))
