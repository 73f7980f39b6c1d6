"""The ledger of tool calls: each on record before it is made, and again with what it returned."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from aucert.astra.v1 import task_event_pb2
from aucert.astra.v1.transcript_pb2 import FinishedToolCall
from aucert.models.v1.message_pb2 import ToolCall as ToolCallMessage
from services.astra import convert
from services.astra.record import NewEvent, RunHead
from services.astra.storable import storable
from services.common.database import Asked, Transaction


async def begin_calls(
    connection: Transaction, run: RunHead, position: int, calls: Sequence[ToolCallMessage]
) -> None:
    """Put the calls of the turn at `position` on record as begun."""
    if calls:
        begun = [
            {
                "call_id": call.call_id,
                "tool_name": storable(call.tool_name),
                "arguments": storable(call.arguments_json),
            }
            for call in calls
        ]
        await connection.send(
            _BEGIN,
            {
                "run": run.id,
                "tenant": run.tenant_id,
                "position": position,
                "fence": run.attempt_fence,
                "calls": begun,
            },
        )


async def ask_open_calls(connection: Transaction, task_run_id: str) -> Asked:
    """Look for the calls of a run that have no result yet; `open_calls` reads what is found."""
    return await connection.ask(_OPEN, {"run": task_run_id})


async def open_calls(asked: Asked) -> tuple[int, dict[str, str] | None]:
    """The transcript's last position, and the open calls of the turn there: tool names by call id.

    None for the calls when the last turn is not a model's.
    """
    rows = (await asked.result()).all()
    if not rows or rows[0].role != "assistant":
        return -1, None
    return rows[0].position, {row.call_id: row.tool_name for row in rows if row.call_id is not None}


async def finish_calls(
    connection: Transaction,
    run: RunHead,
    tool_names: dict[str, str],
    results: Sequence[FinishedToolCall],
) -> list[NewEvent]:
    """Put results on record; return the events that tell of them."""
    if not results:
        return []
    finished = [
        {
            "call_id": each.result.call_id,
            "result_text": storable(each.result.text),
            "failed": each.result.failed,
            "reason": storable(each.reason),
            "duration_ms": each.duration_ms,
        }
        for each in results
    ]
    await connection.send(_FINISH, {"run": run.id, "results": finished})
    return [
        convert.new_event(
            task_event_pb2.ToolCallFinished(
                call_id=each.result.call_id,
                tool_name=tool_names[each.result.call_id],
                failed=each.result.failed,
                reason=storable(each.reason),
                duration_ms=each.duration_ms,
            )
        )
        for each in results
    ]


_BEGIN = text(
    """
    INSERT INTO tool_calls (task_run_id, call_id, tenant_id, position, tool_name, arguments, fence)
    SELECT CAST(:run AS uuid), call_id, CAST(:tenant AS uuid), :position, tool_name, arguments, :fence
    FROM jsonb_to_recordset(:calls) AS new (call_id text, tool_name text, arguments text)
    """
).bindparams(bindparam("calls", type_=JSONB))

_OPEN = text(
    """
    SELECT last.position, last.role, tool_calls.call_id, tool_calls.tool_name
    FROM (
        SELECT position, role FROM transcript_turns
        WHERE task_run_id = CAST(:run AS uuid) ORDER BY position DESC LIMIT 1
    ) AS last
    LEFT JOIN tool_calls ON tool_calls.task_run_id = CAST(:run AS uuid) AND tool_calls.status = 'begun'
    """
)

_FINISH = text(
    """
    UPDATE tool_calls SET status = 'finished', finished_time = now(), result_text = new.result_text,
        failed = new.failed, reason = new.reason, duration_ms = new.duration_ms
    FROM jsonb_to_recordset(:results)
        AS new (call_id text, result_text text, failed boolean, reason text, duration_ms bigint)
    WHERE tool_calls.task_run_id = CAST(:run AS uuid) AND tool_calls.call_id = new.call_id
    """
).bindparams(bindparam("results", type_=JSONB))
