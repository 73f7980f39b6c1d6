"""Fold what was said meanwhile into the run that is at work.

A queued run of the same thread, agent, operation and model that was said later is answered by this run:
its message joins the transcript, and it ends with this run. A run asked to stop takes nothing in, for a
stop reaches nothing said after it.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Row, and_, bindparam, select, update
from sqlalchemy.orm import aliased

from aucert.astra.v1 import task_event_pb2
from services.astra import convert
from services.astra.domain import Status
from services.astra.record import UNFINISHED, RunHead, add_events, change, tell_watchers
from services.astra.tables import TaskRun
from services.astra.turns import Said, said_by_user
from services.common.database import Asked, Transaction
from services.common.statements import one_of

FOLLOW_UPS_MAX = 16
"""Most follow-ups one transaction takes in; the rest wait for the next one."""


async def ask_follow_ups(connection: Transaction, task_run_id: str) -> Asked:
    """Look for the follow-ups of a run whose lock is held; `take_follow_ups` folds in what is found."""
    return await connection.ask(_FOLLOW_UPS, {"taker": task_run_id})


async def take_follow_ups(connection: Transaction, run: RunHead, asked: Asked) -> list[Said]:
    """Fold follow-ups into a run whose lock is held; return what they say, for the transcript, in order."""
    follow_ups = (await asked.result()).all()
    if follow_ups:
        await connection.send(
            update(TaskRun)
            .where(one_of(TaskRun.id, [each.id for each in follow_ups]))
            .values(answered_by_task_run_id=run.id)
        )
        await _tell(connection, run, follow_ups)
    return [said_by_user(each.message, each.thread_event_id) for each in follow_ups]


async def _tell(
    connection: Transaction, run: RunHead, follow_ups: Sequence[Row[str, str, str, bool]]
) -> None:
    # A run that has taken in what a stranger asks for may do no more than a stranger's.
    less = {} if all(each.requester_trusted for each in follow_ups) else {"requester_trusted": False}
    numbered = await change(connection, run.id, events=len(follow_ups), **less)
    events = [
        task_event_pb2.FollowUp(thread_event_id=each.thread_event_id, task_run_id=each.id)
        for each in follow_ups
    ]
    await add_events(connection, numbered, [convert.new_event(each) for each in events])
    for each in follow_ups:
        await tell_watchers(connection, run.tenant_id, each.id)


_TAKER = aliased(TaskRun)
_FOLLOW_UPS = (
    select(TaskRun.id, TaskRun.thread_event_id, TaskRun.message, TaskRun.requester_trusted)
    .join(
        _TAKER,
        and_(
            _TAKER.thread_id == TaskRun.thread_id,
            _TAKER.thread_seq < TaskRun.thread_seq,
            _TAKER.agent_id == TaskRun.agent_id,
            _TAKER.operation == TaskRun.operation,
            _TAKER.model_alias == TaskRun.model_alias,
        ),
    )
    .where(
        _TAKER.id == bindparam("taker"),
        _TAKER.stop_requested_time.is_(None),
        UNFINISHED,
        TaskRun.status == Status.QUEUED,
        TaskRun.stop_requested_time.is_(None),
        TaskRun.answered_by_task_run_id.is_(None),
    )
    .order_by(TaskRun.thread_seq)
    .limit(FOLLOW_UPS_MAX)
    # One that somebody else changes right now can wait for the next look; waiting for it could deadlock.
    .with_for_update(of=TaskRun, key_share=True, skip_locked=True)
)
