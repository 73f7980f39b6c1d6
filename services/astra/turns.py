"""The rows of a transcript: a model's turn, and messages no model wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, insert, select, text
from sqlalchemy.dialects.postgresql import JSONB

from aucert.astra.v1.transcript_pb2 import TranscriptTurn as TurnMessage
from aucert.astra.v1.transcript_service_pb2 import CommitTurnRequest
from aucert.models.v1.message_pb2 import ROLE_USER, Message, Part
from aucert.models.v1.message_pb2 import ToolCall as ToolCallMessage
from services.astra import convert
from services.astra.record import RunHead
from services.astra.storable import message_to_json
from services.astra.tables import TranscriptTurn
from services.common.database import Asked, Transaction


@dataclass(frozen=True, slots=True)
class Said:
    """A message no model wrote, with the thread event it came from (empty: none)."""

    message: Message
    thread_event_id: str = ""


def said_by_user(text: str, thread_event_id: str = "") -> Said:
    """What a person, or the platform on a person's behalf, tells the model."""
    return Said(Message(role=ROLE_USER, parts=[Part(text=text)]), thread_event_id)


def calls_in(message: Message) -> list[ToolCallMessage]:
    """The tool calls of a message, in order."""
    return [part.tool_call for part in message.parts if part.WhichOneof("content") == "tool_call"]


async def read_turns(
    connection: Transaction, task_run_id: str, *, after: int = -1, limit: int | None = None
) -> list[TurnMessage]:
    """The recorded turns after a position, in order; without a limit all, which the ceilings bound."""
    query = (
        select(TranscriptTurn.__table__)
        .where(TranscriptTurn.task_run_id == task_run_id, TranscriptTurn.position > after)
        .order_by(TranscriptTurn.position)
        .limit(limit)
    )
    return [convert.transcript_turn(row) for row in await connection.execute(query)]


async def append_said(
    connection: Transaction, run: RunHead, position: int, said: Sequence[Said]
) -> list[TurnMessage]:
    """Record messages from a position on; return them as recorded."""
    rows: list[dict[str, Any]] = [
        {
            "task_run_id": run.id,
            "position": position + index,
            "tenant_id": run.tenant_id,
            "role": convert.ROLE.word(each.message.role),
            "message": message_to_json(each.message),
            "thread_event_id": each.thread_event_id or None,
        }
        for index, each in enumerate(said)
    ]
    if rows:
        await connection.send_each(insert(TranscriptTurn), rows)
    return [
        TurnMessage(
            position=row["position"],
            message=convert.message_from_json(row["message"]),
            thread_event_id=row["thread_event_id"] or "",
            created_time=convert.timestamp(run.now),
        )
        for row in rows
    ]


async def append_model_turn(connection: Transaction, turn: CommitTurnRequest) -> Asked:
    """Settle a turn's reservation and record what the model said after all that is on record.

    Asks for its position; none: the reservation is not open. Nothing is recorded either for a run that is
    over, that another attempt holds or that is not the tenant's.
    """
    usage = turn.usage
    return await connection.ask(
        _APPEND_MODEL_TURN,
        {
            "run": turn.task_run_id,
            "fence": turn.fence,
            "role": convert.ROLE.word(turn.message.role),
            "message": message_to_json(turn.message),
            "model_alias": turn.model_alias,
            "model_label": turn.model_label,
            "tokens_input": usage.tokens_input,
            "tokens_output": usage.tokens_output,
            "tokens_cache_read": usage.tokens_cache_read,
            "tokens_cache_write": usage.tokens_cache_write,
            "cost": turn.cost_usd_micros,
            "reservation": turn.spend_reservation_id,
            "finish_reason": convert.FINISH_REASON.word(turn.finish_reason),
        },
    )


_APPEND_MODEL_TURN = text(
    """
    WITH settled AS (
        UPDATE spend_reservations SET status = 'settled', spent_usd_micros = :cost, settled_time = now()
        WHERE id = CAST(:reservation AS uuid) AND task_run_id = CAST(:run AS uuid) AND status = 'open'
        RETURNING id
    )
    INSERT INTO transcript_turns (
        task_run_id, position, tenant_id, role, message, model_alias, model_label, tokens_input,
        tokens_output, tokens_cache_read, tokens_cache_write, cost_usd_micros, spend_reservation_id,
        finish_reason)
    SELECT task_runs.id,
        (SELECT coalesce(max(position) + 1, 0) FROM transcript_turns WHERE task_run_id = task_runs.id),
        tenant_id, :role, :message, :model_alias, :model_label, :tokens_input,
        :tokens_output, :tokens_cache_read, :tokens_cache_write, :cost, settled.id, :finish_reason
    FROM task_runs, settled
    WHERE task_runs.id = CAST(:run AS uuid) AND attempt_fence = :fence AND status <> 'completed'
    RETURNING position
    """
).bindparams(bindparam("message", type_=JSONB))
