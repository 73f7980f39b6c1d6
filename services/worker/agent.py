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
from aucert.models.v1.message_pb2 import ROLE_ASSISTANT, ROLE_TOOL, Message, ToolCall
from services.worker.labels import bare

CALLS_PER_TURN_MAX = 64
"""More calls than this in one turn are left out of it; the model sees which were made."""
EMPTY_ANSWER = (
    "Your last message held neither text nor a tool call. Call a tool, or write the answer: "
    "its text is posted in the thread."
)


@dataclass(frozen=True, slots=True)
class CallModel:
    """Ask the model for the next turn."""


@dataclass(frozen=True, slots=True)
class RunTools:
    """Run the calls of the last turn, none of which has a recorded result."""

    calls: tuple[ToolCall, ...]


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
    if answer := answer_of(last):
        return answer
    spoken = last.message.role == ROLE_ASSISTANT
    calls = calls_of(last.message) if spoken else ()
    if mistakes_in_a_row(turns) > limits.mistakes_max:
        return Fail("MODEL_MISTAKES")
    if exceeded := _exceeded(turns, limits):
        return Fail(exceeded)
    if calls:
        return RunTools(calls)
    return Correct(EMPTY_ANSWER) if spoken else CallModel()


def answer_of(turn: TranscriptTurn) -> Finish | None:
    """The answer this turn is: a model's text without calls. None: it is no answer."""
    message = turn.message
    if message.role != ROLE_ASSISTANT or calls_of(message):
        return None
    text = bare(text_of(message))
    return Finish(text, turn.model_label) if text else None


def _exceeded(turns: Sequence[TranscriptTurn], limits: Limits) -> str:
    """The ceiling that forbids another model turn. Empty: none does."""
    if sum(turn.message.role == ROLE_ASSISTANT for turn in turns) >= limits.turns_max:
        return "TURNS_EXCEEDED"
    if sum(tokens_of(turn) for turn in turns) >= limits.tokens_max:
        return "TOKENS_EXCEEDED"
    return ""


def mistakes_in_a_row(turns: Sequence[TranscriptTurn]) -> int:
    """Model turns up to the last that came to nothing by the model's own fault.

    Such a turn is empty, or each of its calls failed in a way other arguments would mend. What people
    say in between does not count as an improvement.
    """
    mistakes = 0
    for turn in turns:
        message = turn.message
        if message.role == ROLE_TOOL:
            results = [part.tool_result for part in message.parts if part.HasField("tool_result")]
            mistakes = (
                mistakes + 1 if results and all(each.failed and each.fixable for each in results) else 0
            )
        elif message.role == ROLE_ASSISTANT and not calls_of(message):
            mistakes = 0 if answer_of(turn) else mistakes + 1
    return mistakes


def calls_of(message: Message) -> tuple[ToolCall, ...]:
    """The calls in a message, in order."""
    return tuple(part.tool_call for part in message.parts if part.HasField("tool_call"))


def text_of(message: Message) -> str:
    """The text of a message, its parts joined."""
    return "".join(part.text for part in message.parts if part.HasField("text"))


def tokens_of(turn: TranscriptTurn) -> int:
    """Tokens read and written for a turn, cached ones included."""
    usage = turn.usage
    return usage.tokens_input + usage.tokens_output + usage.tokens_cache_read + usage.tokens_cache_write


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
