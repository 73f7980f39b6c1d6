"""The conversation of a run, one step a transaction.

Money, turn, calls, counters and events of a step are written together or not at all, so whoever begins the
next attempt finds either the whole step or nothing of it.
"""

from __future__ import annotations

from sqlalchemy import bindparam, case, select

from aucert.astra.v1 import task_event_pb2
from aucert.astra.v1.transcript_pb2 import TranscriptTurn as TurnMessage
from aucert.astra.v1.transcript_service_pb2 import (
    CommitToolResultsRequest,
    CommitToolResultsResponse,
    CommitTurnRequest,
)
from aucert.models.v1.generation_pb2 import (
    FINISH_REASON_STOP,
    FINISH_REASON_TOOL_CALLS,
    FINISH_REASON_UNSPECIFIED,
)
from aucert.models.v1.message_pb2 import ROLE_TOOL, Message, Part
from services.astra import convert
from services.astra.errors import ReservationNotOpen, ResultsMismatch
from services.astra.follow_ups import ask_follow_ups, take_follow_ups
from services.astra.ledger import ask_open_calls, begin_calls, finish_calls, open_calls
from services.astra.record import add_events, advance, advanced, advancing
from services.astra.spend import ask_reservation, count_turn
from services.astra.storable import storable
from services.astra.tables import TaskRun, TranscriptTurn
from services.astra.turns import Said, append_model_turn, append_said, calls_in, read_turns, said_by_user
from services.common.database import Asked, Database, Transaction


class TranscriptStore:
    """What was said and called. Writes raise FenceStale, TaskRunCompleted and TaskRunNotFound."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def commit_turn(self, tenant_id: str, turn: CommitTurnRequest) -> int:
        """Record a model's turn, settle its reservation and begin its calls; return its position.

        A settled reservation finds the turn it paid for. Raises ReservationNotOpen for an abandoned one.
        """
        try:
            async with self._database.tenant(tenant_id) as connection:
                return await _commit_turn(connection, turn)
        except ReservationNotOpen:
            recorded = await self._position_paid_by(tenant_id, turn)
            if recorded is None:
                raise
            return recorded

    async def commit_tool_results(
        self, tenant_id: str, request: CommitToolResultsRequest
    ) -> CommitToolResultsResponse:
        """Record the results of all open calls, take in follow-ups and set the next call's money aside.

        There is no reservation where a cap leaves too little for it. Results follow a model's
        turn, so repeating this finds another turn last and raises ResultsMismatch; so do results that are not
        exactly those of the open calls.
        """
        async with self._database.tenant(tenant_id) as connection:
            task_run_id, fence = request.task_run_id, request.fence
            counted = await advance(
                connection, _COUNT_RESULTS, task_run_id, fence, events=len(request.results)
            )
            open_now = await ask_open_calls(connection, task_run_id)
            said_meanwhile = await ask_follow_ups(connection, task_run_id)
            run = await advanced(connection, counted, task_run_id, fence)
            position, calls = await open_calls(open_now)
            if calls is None or sorted(calls) != sorted(each.result.call_id for each in request.results):
                raise ResultsMismatch(run.id)
            events = await finish_calls(connection, run, calls, request.results)
            if events:
                await add_events(connection, run, events)
            said = [*_told_by_platform(request), *await take_follow_ups(connection, run, said_meanwhile)]
            turns = await append_said(connection, run, position + 1, said)
            asking = await ask_reservation(
                connection, run, request.next_model_alias, request.next_reserved_usd_micros
            )
        refused = await asking.refusal()  # the results stay on record: they are paid
        return CommitToolResultsResponse(turns=turns, reservation=None if refused else asking.reservation)

    async def turns(self, tenant_id: str, task_run_id: str, *, after: int, limit: int) -> list[TurnMessage]:
        """The recorded turns after a position, in order."""
        async with self._database.tenant(tenant_id) as connection:
            return await read_turns(connection, task_run_id, after=after, limit=limit)

    async def _position_paid_by(self, tenant_id: str, turn: CommitTurnRequest) -> int | None:
        query = select(TranscriptTurn.position).where(
            TranscriptTurn.spend_reservation_id == turn.spend_reservation_id,
            TranscriptTurn.task_run_id == turn.task_run_id,
        )
        async with self._database.tenant(tenant_id) as connection:
            return (await connection.execute(query)).scalar_one_or_none()


async def _commit_turn(connection: Transaction, turn: CommitTurnRequest) -> int:
    counted = await _count_turn(connection, turn)
    appended = await append_model_turn(connection, turn)
    run = await advanced(connection, counted, turn.task_run_id, turn.fence)
    position = (await appended.result()).scalar_one_or_none()
    if position is None:
        raise ReservationNotOpen(turn.spend_reservation_id)
    calls = calls_in(turn.message)
    await begin_calls(connection, run, position, calls)
    event = task_event_pb2.Turn(
        position=position,
        model_alias=turn.model_alias,
        tokens_input=turn.usage.tokens_input + turn.usage.tokens_cache_read + turn.usage.tokens_cache_write,
        tokens_output=turn.usage.tokens_output,
        cost_usd_micros=turn.cost_usd_micros,
        duration_ms=turn.duration_ms,
        tools_called=[storable(call.tool_name) for call in calls],
        cut="" if turn.finish_reason in _NOT_CUT else convert.FINISH_REASON.word(turn.finish_reason),
        passed_over=turn.passed_over,
    )
    await add_events(connection, run, [convert.new_event(event)])
    await count_turn(connection, run, turn)
    return position


async def _count_turn(connection: Transaction, turn: CommitTurnRequest) -> Asked:
    return await advance(
        connection,
        _COUNT_TURN,
        turn.task_run_id,
        turn.fence,
        events=1,
        more_input=turn.usage.tokens_input,
        more_output=turn.usage.tokens_output,
        more_cache_read=turn.usage.tokens_cache_read,
        more_cache_write=turn.usage.tokens_cache_write,
        more_cost=turn.cost_usd_micros,
        label=turn.model_label,
        prompt=turn.prompt_sha256,
    )


_NOT_CUT = (FINISH_REASON_UNSPECIFIED, FINISH_REASON_STOP, FINISH_REASON_TOOL_CALLS)
_COUNT_RESULTS = advancing()
_COUNT_TURN = advancing(
    turn_count=TaskRun.turn_count + 1,
    tokens_input=TaskRun.tokens_input + bindparam("more_input"),
    tokens_output=TaskRun.tokens_output + bindparam("more_output"),
    tokens_cache_read=TaskRun.tokens_cache_read + bindparam("more_cache_read"),
    tokens_cache_write=TaskRun.tokens_cache_write + bindparam("more_cache_write"),
    estimated_cost_usd_micros=TaskRun.estimated_cost_usd_micros + bindparam("more_cost"),
    model_label=bindparam("label"),
    prompt_sha256=case((TaskRun.prompt_sha256 == "", bindparam("prompt")), else_=TaskRun.prompt_sha256),
)


def _told_by_platform(request: CommitToolResultsRequest) -> list[Said]:
    said: list[Said] = []
    if request.results:
        parts = [Part(tool_result=each.result) for each in request.results]
        said.append(Said(Message(role=ROLE_TOOL, parts=parts)))
    if request.correction:
        said.append(said_by_user(request.correction))
    return said
