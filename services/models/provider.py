"""What every provider offers: one call, as a stream of pieces that ends with the whole message."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from aucert.models.v1.generation_pb2 import FinishReason
from aucert.models.v1.message_pb2 import ROLE_ASSISTANT, Message
from aucert.models.v1.model_service_pb2 import GenerateRequest
from services.models.domain import ModelEntry, TokenCount


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of the tool call with this index; the name comes with the first piece only."""

    index: int
    tool_name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ReasoningMark:
    """The model began to reason."""


@dataclass(frozen=True, slots=True)
class Generation:
    """The end of a call. `waited_seconds` is the part of its time spent in the provider, not here."""

    message: Message
    finish_reason: FinishReason.ValueType
    tokens: TokenCount
    waited_seconds: float


Delta: TypeAlias = str | ToolCallDelta | ReasoningMark
Piece: TypeAlias = Delta | Generation


class Provider(Protocol):
    """Yields what is written as it is written, then exactly one Generation.

    Closing the generator ends the call. Raises the errors of `errors.py` and nothing else that a caller
    should know about; repeats nothing.
    """

    def generate(self, request: GenerateRequest, entry: ModelEntry) -> AsyncGenerator[Piece, None]:
        """Run one call."""
        ...


def turn_number(request: GenerateRequest) -> int:
    """The number of the turn about to be written, from 1."""
    return 1 + sum(message.role == ROLE_ASSISTANT for message in request.messages)


def call_id(turn: int, index: int) -> str:
    """The platform's id of a tool call: providers' own ids repeat, or are missing."""
    return f"t{turn}_{index}"
