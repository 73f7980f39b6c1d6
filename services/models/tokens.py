"""Tokens where no provider counts them: four bytes a token, rounded up. An estimate, always the same."""

from __future__ import annotations

from aucert.models.v1.message_pb2 import Message
from aucert.models.v1.model_service_pb2 import GenerateRequest
from services.models.domain import TokenCount

BYTES_PER_TOKEN = 4
COUNT_MAX = 2**31 - 1
"""More tokens than any call has."""


def estimate(request: GenerateRequest, answer: Message) -> TokenCount:
    """Estimate the tokens of a call from what was sent and what came back."""
    return TokenCount(input=estimated_input(request), output=_tokens(_size_bytes(answer)))


def estimated_input(request: GenerateRequest) -> int:
    """Estimate the tokens of what is sent."""
    sent = [request.system, *(tool.description + tool.parameters_json for tool in request.tools)]
    read = sum(len(text.encode()) for text in sent) + sum(
        _size_bytes(message) for message in request.messages
    )
    return _tokens(read)


def _size_bytes(message: Message) -> int:
    texts = (
        part.text
        or part.tool_result.text
        or part.tool_call.tool_name + part.tool_call.arguments_json
        or part.reasoning.data.decode(errors="replace")
        for part in message.parts
    )
    return sum(len(text.encode()) for text in texts)


def _tokens(size_bytes: int) -> int:
    return -(-size_bytes // BYTES_PER_TOKEN)


def counted(tokens: object) -> int | None:
    """A count as a provider sent it; None where it sent none, or no number that counts anything."""
    return tokens if isinstance(tokens, int) and 0 <= tokens <= COUNT_MAX else None
