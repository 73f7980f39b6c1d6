"""How runs and their events read on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict

from aucert.astra.v1.task_event_pb2 import TaskEvent, Turn
from aucert.astra.v1.task_run_pb2 import TaskRun, TaskRunOutcome, TaskRunStatus

_OBEYED = dict.fromkeys(code for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n")
"""Characters that a terminal takes for commands."""


def plain(text: str) -> str:
    """A text of somebody we need not trust, without what a terminal would obey."""
    return text.translate(_OBEYED)


def status_word(run: TaskRun) -> str:
    """The status, or the outcome once there is one, as the record writes it."""
    if run.outcome:
        return TaskRunOutcome.Name(run.outcome).removeprefix("TASK_RUN_OUTCOME_").lower()
    return TaskRunStatus.Name(run.status).removeprefix("TASK_RUN_STATUS_").lower()


def run_line(run: TaskRun) -> str:
    """One line a run: id, status, model, time, cost, who asked."""
    return (
        f"{run.task_run_id}  {status_word(run):<11}  [{run.model_label}]  {run.duration_ms / 1000:6.1f} s  "
        f"{dollars(run.estimated_cost_usd_micros)}  {run.requester}  {run.workflow_id}"
    )


def dollars(micros: int) -> str:
    """Millionths of a US dollar for people."""
    return f"${micros / 1_000_000:.4f}"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of equal length in columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def as_json(message: Any) -> dict[str, Any]:
    """A message as JSON with the contract's own names."""
    return MessageToDict(message, preserving_proto_field_name=True)


def turn_remarks(turn: Turn) -> str:
    """What was out of the ordinary in a model turn; empty: nothing."""
    cut = f", cut: {turn.cut}" if turn.cut else ""
    others = "".join(f", in place of {each.model_alias}: {each.reason}" for each in turn.passed_over)
    return cut + others


def event_line(event: TaskEvent) -> str:  # noqa: C901, PLR0911 - one line a kind of event, read as a table
    """One line an event."""
    number = f"{event.seq:>3}  "
    match event.WhichOneof("detail"):
        case "agent_started":
            return f"{number}started with {event.agent_started.model_alias}"
        case "attempt_restarted":
            restarted = event.attempt_restarted
            return f"{number}taken up again, {restarted.abandoned_calls} model calls abandoned"
        case "turn":
            turn = event.turn
            what = "called " + ", ".join(turn.tools_called) if turn.tools_called else "answered"
            tokens = f"{turn.tokens_input} + {turn.tokens_output} tokens"
            return f"{number}{turn.model_alias} {what} ({tokens}){turn_remarks(turn)}"
        case "tool_call":
            call = event.tool_call
            return f"{number}  {call.tool_name} {call.reason or 'ok'} in {call.duration_ms} ms"
        case "follow_up":
            return f"{number}a later comment was taken in"
        case "stop_requested":
            return f"{number}stop asked by {event.stop_requested.requester}"
        case "waiting":
            return f"{number}waiting for {event.waiting.waiting_for}"
        case "notice":
            return f"{number}notice posted: {event.notice.kind} {event.notice.url}"
        case "notice_undelivered":
            return f"{number}notice not delivered: {event.notice_undelivered.reason}"
        case "budget_resumed":
            return f"{number}goes on: {event.budget_resumed.set_by or 'a new day'} {event.budget_resumed.cap}"
        case "agent_completed":
            done = event.agent_completed
            return f"{number}{done.outcome} {done.outcome_reason} {done.output_payload.reply_url}".rstrip()
        case None:
            return f"{number}an event this version does not know"
