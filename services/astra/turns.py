"""The rows of a transcript: a model's turn, and messages no model wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from aucert.astra.v1.transcript_pb2 import TranscriptTurn as TurnMessage
from aucert.astra.v1.transcript_service_pb2 import CommitTurnRequest
from aucert.models.v1.message_pb2 import ROLE_USER, Message, Part
from aucert.models.v1.message_pb2 import ToolCall as ToolCallMessage
from services.astra import convert
from services.astra.record import RunHead
from services.astra.storable import message_to_json
from services.astra.tables import TranscriptTurn


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
    connection: AsyncConnection, task_run_id: str, *, after: int = -1, limit: int | None = None
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
    connection: AsyncConnection, run: RunHead, position: int, said: Sequence[Said]
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
        await connection.execute(insert(TranscriptTurn), rows)
    return [
        TurnMessage(
            position=row["position"],
            message=convert.message_from_json(row["message"]),
            thread_event_id=row["thread_event_id"] or "",
            created_time=convert.timestamp(run.now),
        )
        for row in rows
    ]


async def append_model_turn(connection: AsyncConnection, run: RunHead, turn: CommitTurnRequest) -> int:
    """Record what the model said after all that is on record; return its position."""
    recorded = await connection.execute(
        _APPEND_MODEL_TURN,
        {
            "task_run_id": run.id,
            "of_run": run.id,
            "tenant_id": run.tenant_id,
            "role": convert.ROLE.word(turn.message.role),
            "message": message_to_json(turn.message),
            "model_alias": turn.model_alias,
            "model_label": turn.model_label,
            "tokens_input": turn.usage.tokens_input,
            "tokens_output": turn.usage.tokens_output,
            "tokens_cache_read": turn.usage.tokens_cache_read,
            "tokens_cache_write": turn.usage.tokens_cache_write,
            "cost_usd_micros": turn.cost_usd_micros,
            "spend_reservation_id": turn.spend_reservation_id,
        },
    )
    return recorded.scalar_one()


_APPEND_MODEL_TURN = (
    insert(TranscriptTurn)
    .values(
        position=select(func.coalesce(func.max(TranscriptTurn.position) + 1, 0))
        .where(TranscriptTurn.task_run_id == bindparam("of_run"))
        .scalar_subquery()
    )
    .returning(TranscriptTurn.position)
)
