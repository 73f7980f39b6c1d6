"""What is in a turn of a transcript: text, calls, tokens, and whether it is whole."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from aucert.astra.v1.transcript_pb2 import TranscriptTurn
from aucert.models.v1.generation_pb2 import FINISH_REASON_LENGTH
from aucert.models.v1.message_pb2 import ROLE_ASSISTANT, ROLE_USER, Message, ToolCall


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


def is_text(turn: TranscriptTurn) -> bool:
    """Whether a model wrote it and called nothing."""
    return turn.message.role == ROLE_ASSISTANT and not calls_of(turn.message)


def is_cut(turn: TranscriptTurn) -> bool:
    """Whether the model reached its output limit in this turn."""
    return turn.finish_reason == FINISH_REASON_LENGTH


def cuts_in_a_row(turns: Sequence[TranscriptTurn]) -> int:
    """Model turns up to the last that reached the output limit, whatever was said between them."""
    by_model = (turn for turn in reversed(turns) if turn.message.role == ROLE_ASSISTANT)
    return sum(1 for _ in itertools.takewhile(is_cut, by_model))


def cut_before_last(turns: Sequence[TranscriptTurn]) -> list[TranscriptTurn]:
    """Texts that reached the output limit right before the last turn, but for what people said in between."""
    cut: list[TranscriptTurn] = []
    for turn in reversed(turns[:-1]):
        if turn.message.role == ROLE_USER:
            continue
        if not (is_text(turn) and is_cut(turn)):
            break
        cut.insert(0, turn)
    return cut
