"""A run's events as a waterfall: notes, model turns and the tool calls under them, each at its time.

Pure: from the events alone, so the same events always draw the same picture, whether they came in one list or
one by one. What was said in the turns is `contents.py`'s part.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from aucert.astra.v1.task_event_pb2 import TaskEvent, ToolCallFinished, Turn
from aucert.models.v1.generation_pb2 import PassedOver
from gateway.console.words import happening


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of the run's time, in milliseconds since it was recorded."""

    start_ms: int
    length_ms: int

    @property
    def end_ms(self) -> int:
        """Where it ends."""
        return self.start_ms + self.length_ms


@dataclass(slots=True)
class CallStep:
    """A tool call. Without a bar it is still at work."""

    index: int
    tool_name: str
    bar: Bar | None = None
    failed: bool = False
    reason: str = ""


@dataclass(slots=True)
class TurnStep:
    """A model turn at `position` of the transcript; what it was sent begins at `sent_from`.

    `changed_seq` is the newest event that says something of it; `cut` why the model stopped before its end,
    in the record's word; `passed_over` the models asked before the one that wrote it.
    """

    position: int
    sent_from: int
    model_alias: str
    tokens_input: int
    tokens_output: int
    cost_usd_micros: int
    bar: Bar
    changed_seq: int
    cut: str = ""
    passed_over: Sequence[PassedOver] = ()
    calls: list[CallStep] = field(default_factory=list)


@dataclass(slots=True)
class NoteStep:
    """Something else that happened."""

    seq: int
    words: str
    at_ms: int


@dataclass(slots=True)
class Story:
    """The steps so far. `span_ms` is the time they cover, at least 1."""

    started: datetime
    steps: list[TurnStep | NoteStep] = field(default_factory=list)
    last_seq: int = 0
    span_ms: int = 1

    def take(self, events: Iterable[TaskEvent]) -> None:
        """Go on with later events, in order."""
        for event in events:
            self._take(event)

    def turns(self, after_seq: int = 0) -> list[TurnStep]:
        """The turns of which events after a number say something."""
        return [each for each in self.steps if isinstance(each, TurnStep) and each.changed_seq > after_seq]

    def _take(self, event: TaskEvent) -> None:
        at_ms = self._since_start(event.created_time)
        last_turn = next((each for each in reversed(self.steps) if isinstance(each, TurnStep)), None)
        kind = event.WhichOneof("detail")
        if kind == "turn":
            sent_from = last_turn.position + 1 if last_turn else 0
            self.steps.append(_turn(event.turn, sent_from, at_ms, event.seq))
        elif kind == "tool_call" and last_turn:
            last_turn.changed_seq = event.seq
            at_ms = max(at_ms, _finish(last_turn, event.tool_call))
        else:
            self.steps.append(NoteStep(event.seq, happening(event), at_ms))
        self.span_ms = max(self.span_ms, at_ms)
        self.last_seq = event.seq

    def _since_start(self, time: Timestamp) -> int:
        return max(0, int((time.ToDatetime(tzinfo=UTC) - self.started).total_seconds() * 1_000))


def _turn(turn: Turn, sent_from: int, at_ms: int, seq: int) -> TurnStep:
    """A turn is recorded when it is over."""
    start_ms = max(0, at_ms - turn.duration_ms)
    return TurnStep(
        position=turn.position,
        sent_from=sent_from,
        model_alias=turn.model_alias,
        tokens_input=turn.tokens_input,
        tokens_output=turn.tokens_output,
        cost_usd_micros=turn.cost_usd_micros,
        bar=Bar(start_ms, at_ms - start_ms),
        changed_seq=seq,
        cut=turn.cut,
        passed_over=tuple(turn.passed_over),
        calls=[CallStep(index, name) for index, name in enumerate(turn.tools_called)],
    )


def _finish(turn: TurnStep, finished: ToolCallFinished) -> int:
    """Results are recorded together, in the order of the calls, which begin when their turn is recorded.

    Returns when the call ended.
    """
    call = next((each for each in turn.calls if each.bar is None), None)
    if call is None:
        call = CallStep(len(turn.calls), finished.tool_name)
        turn.calls.append(call)
    call.bar = Bar(turn.bar.end_ms, finished.duration_ms)
    call.failed, call.reason = finished.failed, finished.reason
    return call.bar.end_ms
