"""The agent loop without its effects: given the record of a run, what comes next?

Everything is read from the transcript, so an attempt that resumes from the record decides what the one
before it would have decided. Doing it is `run.py`'s part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from aucert.astra.v1.agent_pb2 import Ceilings
from aucert.astra.v1.task_run_pb2 import TaskRun
from aucert.astra.v1.transcript_pb2 import TranscriptTurn
from aucert.models.v1.generation_pb2 import (
    FINISH_REASON_CONTENT_FILTER,
    FINISH_REASON_LENGTH,
    FINISH_REASON_MALFORMED,
)
from aucert.models.v1.message_pb2 import ROLE_ASSISTANT, ROLE_TOOL, Message, ToolCall
from services.worker.labels import bare, continuing
from services.worker.turns import (
    calls_of,
    cut_before_last,
    cuts_in_a_row,
    is_cut,
    is_text,
    text_of,
    tokens_of,
)

CALLS_PER_TURN_MAX = 64
"""More calls than this in one turn are left out of it; the model sees which were made."""
CUTS_IN_A_ROW_MAX = 4
"""Turns that reach the output limit, one after the other, before the run is given up."""
EMPTY_ANSWER = (
    "Your last message held neither text nor a tool call. Call a tool, or write the answer: "
    "its text is posted in the thread."
)
CUT_ANSWER = (
    "Your last message reached the limit of what you may write at once and was cut. Go on exactly where it "
    "stops, without repeating anything: what you wrote is kept and put before it."
)
CUT_CALLS = (
    "Your last message reached the limit of what you may write at once and was cut, so calls may be missing "
    "or broken. Make fewer or smaller calls in one message."
)
CUT_BEFORE_CALLS = (
    "What you wrote before these calls is no part of the answer. Once you have what you need, write the "
    "whole answer anew, from its beginning."
)
MALFORMED_ANSWER = (
    "Your last message could not be read whole. Write it again: a tool call in the form of its schema, or "
    "the whole answer, from its beginning, as plain text."
)
TWO_AUTHORS = (
    "The part of the answer before your last message was written by another model. Write the whole answer "
    "anew, in one message."
)


@dataclass(frozen=True, slots=True)
class CallModel:
    """Ask the model for the next turn."""


@dataclass(frozen=True, slots=True)
class RunTools:
    """Run the calls of the last turn, none of which has a recorded result.

    `remark`: what the model is told beside their results. Empty: nothing.
    """

    calls: tuple[ToolCall, ...]
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Correct:
    """Tell the model that its last turn was unusable."""

    text: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Post this answer, not labelled yet, for the model with this label."""

    text: str
    model_label: str


@dataclass(frozen=True, slots=True)
class Fail:
    """End the run; `reason` is its outcome_reason."""

    reason: str


_NO_ANSWER = (FINISH_REASON_LENGTH, FINISH_REASON_MALFORMED, FINISH_REASON_CONTENT_FILTER)
"""How a turn ends whose text is never posted."""
Step: TypeAlias = CallModel | RunTools | Correct | Finish | Fail


@dataclass(frozen=True, slots=True)
class Limits:
    """How far the run may go."""

    turns_max: int
    tokens_max: int
    mistakes_max: int
    deadline: datetime

    @classmethod
    def of(cls, run: TaskRun, ceilings: Ceilings) -> Limits:
        """The agent's ceilings and the run's own deadline."""
        return cls(
            turns_max=ceilings.turns_max,
            tokens_max=ceilings.tokens_max,
            mistakes_max=ceilings.mistakes_max,
            deadline=run.deadline_time.ToDatetime(UTC),
        )


def next_step(turns: Sequence[TranscriptTurn], limits: Limits, now: datetime) -> Step:
    """Decide what comes next after these recorded turns, of which there is at least one."""
    if now >= limits.deadline:
        return Fail("DEADLINE_EXCEEDED")
    last = turns[-1]
    if last.finish_reason == FINISH_REASON_CONTENT_FILTER:
        return Fail("MODEL_FILTERED")
    if answer := answer_of(turns):
        return answer
    spoken = last.message.role == ROLE_ASSISTANT
    calls = calls_of(last.message) if spoken else ()
    if reason := _given_up(turns, limits):
        return Fail(reason)
    if calls:
        return RunTools(calls, _remark(turns))
    return Correct(_correction(turns)) if spoken else CallModel()


def answer_of(turns: Sequence[TranscriptTurn]) -> Finish | None:
    """The answer that these turns end with: a model's text without calls. None: they end with none.

    What it wrote before, each time up to its output limit, is put before it. Nothing that was cut, or that
    two models wrote, is an answer.
    """
    last = turns[-1]
    if not is_text(last) or last.finish_reason in _NO_ANSWER:
        return None
    written, label = [*cut_before_last(turns), last], last.model_label
    text = bare("".join(continuing(text_of(turn.message), label) for turn in written))
    if not text or any(turn.model_label != label for turn in written):
        return None
    return Finish(text, label)


def _remark(turns: Sequence[TranscriptTurn]) -> str:
    """What to tell a model beside the results of its calls. Empty: nothing."""
    remarks = (CUT_CALLS if is_cut(turns[-1]) else "", CUT_BEFORE_CALLS if cut_before_last(turns) else "")
    return " ".join(filter(None, remarks))


def _correction(turns: Sequence[TranscriptTurn]) -> str:
    """What to tell a model whose last turn is neither an answer nor calls."""
    last = turns[-1]
    if is_cut(last):
        return CUT_ANSWER
    if last.finish_reason == FINISH_REASON_MALFORMED:
        return MALFORMED_ANSWER
    return TWO_AUTHORS if bare(text_of(last.message)) else EMPTY_ANSWER


def _given_up(turns: Sequence[TranscriptTurn], limits: Limits) -> str:
    """Why no further model turn is made: what it failed at, or the ceiling it reached. Empty: one is."""
    if cuts_in_a_row(turns) > CUTS_IN_A_ROW_MAX:
        return "MODEL_OUTPUT_EXCEEDED"
    if mistakes_in_a_row(turns) > limits.mistakes_max:
        return "MODEL_MISTAKES"
    if sum(turn.message.role == ROLE_ASSISTANT for turn in turns) >= limits.turns_max:
        return "TURNS_EXCEEDED"
    if sum(tokens_of(turn) for turn in turns) >= limits.tokens_max:
        return "TOKENS_EXCEEDED"
    return ""


def mistakes_in_a_row(turns: Sequence[TranscriptTurn]) -> int:
    """Model turns up to the last that came to nothing by the model's own fault.

    Such a turn is no answer and not cut, or each of its calls failed in a way other arguments would mend.
    What people say in between does not count as an improvement.
    """
    mistakes = 0
    for place, turn in enumerate(turns, start=1):
        message = turn.message
        if message.role == ROLE_TOOL:
            results = [part.tool_result for part in message.parts if part.HasField("tool_result")]
            mistakes = (
                mistakes + 1 if results and all(each.failed and each.fixable for each in results) else 0
            )
        elif is_text(turn):
            mistakes = 0 if is_cut(turn) or answer_of(turns[:place]) else mistakes + 1
    return mistakes


def as_recorded(message: Message, position: int) -> Message:
    """A model's message as it goes on record: calls get the platform's ids, `t<position>_<index>`.

    Providers number calls as they like, some of them alike in every turn.
    """
    recorded = Message(role=ROLE_ASSISTANT)
    index = 0
    for part in message.parts:
        if not part.HasField("tool_call"):
            recorded.parts.append(part)
        elif index < CALLS_PER_TURN_MAX:
            recorded.parts.append(part)
            recorded.parts[-1].tool_call.call_id = f"t{position}_{index}"
            index += 1
    return recorded
