"""Fold what was said meanwhile into the run that is at work.

A queued run of the same thread, agent, operation and model that was said later is answered by this run:
its message joins the transcript, and it ends with this run. A run asked to stop takes nothing in, for a
stop reaches nothing said after it.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Row, bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from aucert.astra.v1 import task_event_pb2
from services.astra import convert
from services.astra.domain import Status
from services.astra.record import UNFINISHED, RunHead, add_events, change, tell_watchers
from services.astra.tables import TaskRun
from services.astra.turns import Said, said_by_user

FOLLOW_UPS_MAX = 16
"""Most follow-ups one transaction takes in; the rest wait for the next one."""


async def take_follow_ups(connection: AsyncConnection, run: RunHead) -> list[Said]:
    """Fold the follow-ups of a run whose lock is held; return what they say, for the transcript, in order."""
    if run.stop_requested_time is not None:
        return []
    found = await connection.execute(
        _FOLLOW_UPS,
        {
            "thread": run.thread_id,
            "seq": run.thread_seq,
            "agent": run.agent_id,
            "asked": run.operation,
            "alias": run.model_alias,
        },
    )
    follow_ups = found.all()
    if follow_ups:
        await connection.execute(
            update(TaskRun)
            .where(TaskRun.id.in_([each.id for each in follow_ups]))
            .values(answered_by_task_run_id=run.id)
        )
        await _tell(connection, run, follow_ups)
    return [said_by_user(each.message, each.thread_event_id) for each in follow_ups]


async def _tell(connection: AsyncConnection, run: RunHead, follow_ups: Sequence[Row[str, str, str]]) -> None:
    numbered = await change(connection, run.id, events=len(follow_ups))
    events = [
        task_event_pb2.FollowUp(thread_event_id=each.thread_event_id, task_run_id=each.id)
        for each in follow_ups
    ]
    await add_events(connection, numbered, [convert.new_event(each) for each in events])
    for each in follow_ups:
        await tell_watchers(connection, run.tenant_id, each.id)


_FOLLOW_UPS = (
    select(TaskRun.id, TaskRun.thread_event_id, TaskRun.message)
    .where(
        UNFINISHED,
        TaskRun.thread_id == bindparam("thread"),
        TaskRun.thread_seq > bindparam("seq"),
        TaskRun.agent_id == bindparam("agent"),
        TaskRun.operation == bindparam("asked"),
        TaskRun.model_alias == bindparam("alias"),
        TaskRun.status == Status.QUEUED,
        TaskRun.stop_requested_time.is_(None),
        TaskRun.answered_by_task_run_id.is_(None),
    )
    .order_by(TaskRun.thread_seq)
    .limit(FOLLOW_UPS_MAX)
    # One that somebody else changes right now can wait for the next look; waiting for it could deadlock.
    .with_for_update(key_share=True, skip_locked=True)
)
