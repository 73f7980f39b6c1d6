"""Stop requests: put on record, and told to the workers that watch."""

from __future__ import annotations

from sqlalchemy import and_, func, or_, select, update

from aucert.astra.v1 import task_event_pb2
from services.astra import convert
from services.astra.record import STOP_CHANNEL, UNFINISHED, add_events, change
from services.astra.storable import storable
from services.astra.tables import TaskRun
from services.common.database import Database
from services.common.statements import one_of


class StopStore:
    """Who was asked to stop. `relay` sees the runs of all tenants."""

    def __init__(self, database: Database, relay: Database) -> None:
        self._database = database
        self._relay = relay

    async def request(
        self, tenant_id: str, thread_id: str, *, before_seq: int, task_run_id: str, requester: str
    ) -> list[str]:
        """Ask the unfinished runs of a thread from before a place in it, or one of them, to stop.

        Returns all that are asked, those asked before included, in the order of the thread. One asked by name
        stops alone: what was folded into it goes on, and so does the run it was folded into.
        """
        query = (
            select(TaskRun.id, TaskRun.stop_requested_time)
            .where(UNFINISHED, TaskRun.thread_id == thread_id, TaskRun.thread_seq < before_seq)
            .order_by(TaskRun.thread_seq, TaskRun.id)
            .with_for_update(key_share=True)
        )
        if task_run_id:
            query = query.where(TaskRun.id == task_run_id)
        async with self._database.tenant(tenant_id) as connection:
            asked = (await connection.execute(query)).all()
            asked_ids = [run.id for run in asked]
            folded_into_them = one_of(TaskRun.answered_by_task_run_id, asked_ids)
            # What the stop does not reach gets a run of its own again.
            if task_run_id:
                unfolded = or_(
                    one_of(TaskRun.id, asked_ids),
                    and_(folded_into_them, TaskRun.stop_requested_time.is_(None)),
                )
            else:
                unfolded = and_(folded_into_them, TaskRun.thread_seq >= before_seq)
            await connection.send(
                update(TaskRun).where(UNFINISHED, unfolded).values(answered_by_task_run_id=None)
            )
            for each in asked:
                if each.stop_requested_time is None:
                    run = await change(connection, each.id, events=1, stop_requested_time=func.now())
                    stop = task_event_pb2.StopRequested(requester=storable(requester))
                    await add_events(connection, run, [convert.new_event(stop)])
                    await connection.send(select(func.pg_notify(STOP_CHANNEL, each.id)))
        return asked_ids

    async def asked_and_unfinished(self) -> list[str]:
        """The unfinished runs of all tenants that are asked to stop."""
        query = select(TaskRun.id).where(UNFINISHED, TaskRun.stop_requested_time.is_not(None))
        async with self._relay.transaction() as connection:
            return (await connection.execute(query)).scalars()
