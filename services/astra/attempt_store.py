"""Begin an attempt: fence out the one before, account for what it left open, gather all that is needed."""

from __future__ import annotations

from datetime import datetime

from google.protobuf.message import Message
from sqlalchemy import ScalarSelect, func, select

from aucert.astra.v1 import task_event_pb2
from aucert.astra.v1.task_run_service_pb2 import BeginAttemptResponse
from services.astra import convert
from services.astra.domain import Status, Step, step
from services.astra.follow_ups import ask_follow_ups, take_follow_ups
from services.astra.record import RunHead, add_events, change, hold
from services.astra.registry_store import read_agents, read_repository
from services.astra.spend import abandon_open
from services.astra.tables import Agent, Repository, TaskRun, ThreadPost, TranscriptTurn
from services.astra.task_run_store import run_on_record
from services.astra.thread_post_store import ANSWER
from services.astra.turns import append_said, read_turns, said_by_user
from services.astra.waits import working_deadline
from services.common.database import Database, Transaction


class AttemptStore:
    """Attempts on runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, tenant_id: str, task_run_id: str, worker: str) -> BeginAttemptResponse:
        """Begin an attempt in the name of a worker. Raises TaskRunNotFound.

        A completed run comes back alone, with fence 0.
        """
        async with self._database.tenant(tenant_id) as connection:
            run = await hold(connection, task_run_id)
            if step(Status(run.status), Status.IN_PROGRESS) is Step.IMPOSSIBLE:
                return BeginAttemptResponse(task_run=await run_on_record(connection, task_run_id))
            run = await _take_over(connection, run, worker)
            position, role = await _last_turn(connection, run)
            if role != "assistant":
                # Only where the model speaks next: after its open calls come their results, and what follows
                # its answer is not answered by it.
                said_meanwhile = await ask_follow_ups(connection, run.id)
                folded = await take_follow_ups(connection, run, said_meanwhile)
                await append_said(connection, run, position + 1, folded)
            return await _gathered(connection, run)


async def _take_over(connection: Transaction, run: RunHead, worker: str) -> RunHead:
    abandoned = await abandon_open(connection, run.id)
    fence = run.attempt_fence + 1
    began: Message = task_event_pb2.AgentStarted(model_alias=run.model_alias, worker=worker)
    if run.attempt_fence > 0:
        began = task_event_pb2.AttemptRestarted(fence=fence, worker=worker, abandoned_calls=len(abandoned))
    # The time an agent may take begins with its work, however long the queue was.
    deadline = working_deadline() if run.attempt_fence > 0 else _first_deadline(run.agent_id)
    taken = await change(
        connection,
        run.id,
        events=1,
        status=Status.IN_PROGRESS,
        waiting_for="",
        wait_expires_time=None,
        attempt_fence=fence,
        started_time=func.coalesce(TaskRun.started_time, func.now()),
        estimated_cost_usd_micros=TaskRun.estimated_cost_usd_micros + sum(abandoned),
        # Begun by itself, it answers for itself: the run it was folded into did not live to do so.
        answered_by_task_run_id=None,
        deadline_time=deadline,
    )
    await add_events(connection, taken, [convert.new_event(began)])
    return taken


def _first_deadline(agent_id: str) -> ScalarSelect[datetime]:
    timeout = func.make_interval(0, 0, 0, 0, 0, 0, Agent.run_timeout_seconds)
    return select(func.now() + timeout).where(Agent.id == agent_id).scalar_subquery()


async def _last_turn(connection: Transaction, run: RunHead) -> tuple[int, str]:
    """Position and role of the last turn; a new transcript is begun with the run's own message."""
    query = (
        select(TranscriptTurn.position, TranscriptTurn.role)
        .where(TranscriptTurn.task_run_id == run.id)
        .order_by(TranscriptTurn.position.desc())
        .limit(1)
    )
    if last := (await connection.execute(query)).one_or_none():
        return last.position, last.role
    message = (await connection.execute(select(TaskRun.message).where(TaskRun.id == run.id))).scalar_one()
    await append_said(connection, run, 0, [said_by_user(message, run.thread_event_id)])
    return 0, "user"


async def _gathered(connection: Transaction, run: RunHead) -> BeginAttemptResponse:
    task_run = await run_on_record(connection, run.id)
    answer = select(ThreadPost.id).where(ThreadPost.task_run_id == run.id, ThreadPost.kind == ANSWER).limit(1)
    return BeginAttemptResponse(
        task_run=task_run,
        fence=run.attempt_fence,
        agent=(await read_agents(connection, Agent.id == run.agent_id))[0],
        repository=await read_repository(connection, Repository.id == task_run.repository_id)
        if task_run.repository_id
        else None,
        turns=await read_turns(connection, run.id),
        answer_begun=(await connection.execute(answer)).one_or_none() is not None,
    )
