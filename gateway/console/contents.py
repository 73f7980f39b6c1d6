"""What was sent to a model and what came back, from the transcript, cut to what a page can carry."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from aucert.astra.v1.transcript_pb2 import TranscriptTurn
from aucert.models.v1.message_pb2 import ROLE_USER, Message
from gateway.console.story import TurnStep

TEXT_CHARS_MAX = 4_000
"""Most characters of one text within a run's page; a turn's own page shows all."""
LAID_OUT_CHARS_MAX = 16_000
LAID_OUT_NESTS_MAX = 200
"""JSON beyond either is shown as it is: laid out, what is nested grows with its depth."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A text, perhaps cut; `left_out` counts the characters that are not shown."""

    text: str
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class CallContent:
    """A call's arguments, and what the model read of its result; None: there is none yet."""

    arguments: Passage
    result: Passage | None


@dataclass(frozen=True, slots=True)
class Content:
    """Of one turn: messages new to the model, results sent with them, what it wrote, what it called."""

    sent: Sequence[Passage]
    results_sent: int
    said: Sequence[Passage]
    calls: Sequence[CallContent]

    @property
    def left_out(self) -> int:
        """Characters of it that are not shown."""
        calls = [part for call in self.calls for part in (call.arguments, call.result) if part]
        return sum(each.left_out for each in (*self.sent, *self.said, *calls))


def content_of(
    step: TurnStep, transcript: Sequence[TranscriptTurn], *, chars_max: int | None = TEXT_CHARS_MAX
) -> Content:
    """The content of a turn. `transcript` holds at least the turns from `sent_from` to the one after it."""
    by_position = {turn.position: turn.message for turn in transcript}
    before = [by_position[at] for at in range(step.sent_from, step.position) if at in by_position]
    message = by_position.get(step.position, Message())
    after = by_position.get(step.position + 1, Message())
    results = {part.tool_result.call_id: part.tool_result.text for part in after.parts}

    def passage(text: str) -> Passage:
        return Passage(text[:chars_max], len(text) - len(text[:chars_max]))

    def call(call_id: str, arguments: str) -> CallContent:
        result = results.get(call_id)
        return CallContent(passage(_laid_out(arguments)), None if result is None else passage(result))

    return Content(
        sent=[passage(_text(each)) for each in before if each.role == ROLE_USER],
        results_sent=sum(part.HasField("tool_result") for each in before for part in each.parts),
        said=[passage(text)] if (text := _text(message)) else [],
        calls=[
            call(part.tool_call.call_id, part.tool_call.arguments_json)
            for part in message.parts
            if part.HasField("tool_call")
        ],
    )


def _text(message: Message) -> str:
    """What a message says, without its calls; reasoning only its provider can read is named."""
    said: list[str] = []
    for part in message.parts:
        match part.WhichOneof("content"):
            case "text":
                said.append(part.text)
            case "reasoning":
                said.append(f"(reasoning that only {part.reasoning.provider} can read)")
            case _:
                pass
    return "\n\n".join(said)


def _laid_out(arguments: str) -> str:
    """JSON on lines of its own; as it is where it is broken, long, or nested so deep that it would grow."""
    if (
        len(arguments) > LAID_OUT_CHARS_MAX
        or arguments.count("[") + arguments.count("{") > LAID_OUT_NESTS_MAX
    ):
        return arguments
    try:
        return json.dumps(json.loads(arguments), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return arguments
