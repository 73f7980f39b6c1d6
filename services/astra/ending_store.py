"""End runs: outcome, `agent_completed` event and the runs folded in, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import BigInteger, cast, extract, func, select

from aucert.astra.v1 import task_event_pb2
from aucert.astra.v1.task_run_pb2 import TaskRun as TaskRunMessage
from aucert.astra.v1.thread_post_pb2 import ThreadPost
from services.astra import convert
from services.astra.domain import DEADLINE_EXCEEDED, Ending, Outcome, Status, Step, step
from services.astra.errors import TaskRunCompleted
from services.astra.record import UNFINISHED, RunHead, add_events, change, hold
from services.astra.spend import abandon_open
from services.astra.storable import storable
from services.astra.tables import TaskRun, TranscriptTurn
from services.astra.task_run_store import run_on_record
from services.astra.thread_post_store import ANSWER, parts_on_record
from services.common.database import Database, Transaction

ANSWER_SETTLES = timedelta(minutes=5)
"""Longer than a worker takes to post an answer, a lost one's successor included."""


class EndingStore:
    """How runs end: by the attempt at work, or by the sweeper past their deadline."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def complete(self, tenant_id: str, task_run_id: str, fence: int, ending: Ending) -> TaskRunMessage:
        """End a run. Repeating the same outcome is a no-op; another raises TaskRunCompleted.

        Raises TaskRunNotFound, and FenceStale when a newer attempt is at work.
        """
        async with self._database.tenant(tenant_id) as connection:
            run = await hold(connection, task_run_id, fence=fence)
            if step(Status(run.status), Status.COMPLETED) is Step.MOVE:
                await _end_with_folded(connection, run, ending)
            elif run.outcome != ending.outcome:
                raise TaskRunCompleted(task_run_id, run.outcome or "")
            return await run_on_record(connection, task_run_id)

    async def expire(self, tenant_id: str, task_run_id: str) -> bool:
        """End a run that is past its deadline, fencing out whoever works on it; False when it is not.

        One whose answer is in the thread has succeeded. One whose answer is being posted is left alone for
        ANSWER_SETTLES, so that it does not fail while people begin to read it.
        """
        async with self._database.tenant(tenant_id) as connection:
            run = await hold(connection, task_run_id)
            overdue = select(TaskRun.id).where(
                TaskRun.id == task_run_id, UNFINISHED, TaskRun.deadline_time < func.now()
            )
            if (await connection.execute(overdue)).one_or_none() is None:
                return False
            answer = await parts_on_record(connection, task_run_id, ANSWER)
            if not _is_posted(answer) and any(_begun(part) > run.now - ANSWER_SETTLES for part in answer):
                return False
            await change(connection, task_run_id, attempt_fence=TaskRun.attempt_fence + 1)
            await _end_with_folded(connection, run, _ending_at_deadline(answer))
            return True


def _begun(part: ThreadPost) -> datetime:
    return part.created_time.ToDatetime(UTC)


def _is_posted(answer: Sequence[ThreadPost]) -> bool:
    return bool(answer) and all(part.posted for part in answer)


def _ending_at_deadline(answer: Sequence[ThreadPost]) -> Ending:
    text = "".join(part.text for part in answer)
    if _is_posted(answer):
        return Ending(Outcome.SUCCESS, text=text, reply_url=answer[0].url)
    return Ending(Outcome.FAILURE, DEADLINE_EXCEEDED, text)


async def _end_with_folded(connection: Transaction, run: RunHead, ending: Ending) -> None:
    model_used = await _last_model(connection, run.id) if ending.text else ""
    await _end(connection, run.id, ending, model_used)
    folded = await connection.execute(
        select(TaskRun.id)
        .where(UNFINISHED, TaskRun.answered_by_task_run_id == run.id)
        .order_by(TaskRun.thread_seq)
        .with_for_update(key_share=True)
    )
    shared = ending.of_folded_runs()
    for task_run_id in folded.scalars():
        await _end(connection, task_run_id, shared, model_used if shared.text else "")


async def _end(connection: Transaction, task_run_id: str, ending: Ending, model_used: str) -> None:
    abandoned = await abandon_open(connection, task_run_id)
    output = {"text": storable(ending.text), "reply_url": storable(ending.reply_url)}
    ended = await change(
        connection,
        task_run_id,
        events=1,
        status=Status.COMPLETED,
        waiting_for="",
        wait_expires_time=None,
        outcome=ending.outcome,
        outcome_reason=ending.reason,
        output=output if any(output.values()) else None,
        completed_time=func.clock_timestamp(),
        duration_ms=cast(extract("epoch", func.clock_timestamp() - TaskRun.created_time) * 1000, BigInteger),
        estimated_cost_usd_micros=TaskRun.estimated_cost_usd_micros + sum(abandoned),
    )
    completed = task_event_pb2.AgentCompleted(
        output_payload=task_event_pb2.OutputPayload(**output),
        model_used=model_used,
        outcome=ending.outcome,
        outcome_reason=ending.reason,
    )
    await add_events(connection, ended, [convert.new_event(completed)])


async def _last_model(connection: Transaction, task_run_id: str) -> str:
    """Alias of the model that spoke last; empty: none did."""
    query = (
        select(TranscriptTurn.model_alias)
        .where(TranscriptTurn.task_run_id == task_run_id, TranscriptTurn.role == "assistant")
        .order_by(TranscriptTurn.position.desc())
        .limit(1)
    )
    return (await connection.execute(query)).scalar_one_or_none() or ""
