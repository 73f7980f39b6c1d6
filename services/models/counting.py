"""How much a call would read, before it is made: counted by its provider, or bounded by its size."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from aucert.models.v1.model_service_pb2 import (
    TOKEN_COUNTER_BOUND,
    TOKEN_COUNTER_PROVIDER,
    CountTokensResponse,
    GenerateRequest,
)
from services.common.token_bound import tokens_at_most
from services.models.domain import Capability, ModelEntry
from services.models.errors import ModelUnavailable
from services.models.provider import Provider
from services.models.tokens import counted

COUNT_SECONDS_MAX = 10.0
"""Patience with a provider that counts."""


@runtime_checkable
class CountsTokens(Protocol):
    """A provider that counts, for free, what it would read."""

    async def count_tokens(self, request: GenerateRequest, entry: ModelEntry) -> object:
        """The number as the provider sends it. Raises the errors of `errors.py`."""
        ...


async def count(provider: Provider, request: GenerateRequest, entry: ModelEntry) -> CountTokensResponse:
    """Count what a call would read. Raises the errors of `errors.py`."""
    if not (entry.can(Capability.TOKEN_COUNT) and isinstance(provider, CountsTokens)):
        bound = min(tokens_at_most(_size_bytes(request)), entry.context_tokens_max)
        return CountTokensResponse(tokens_input=bound, counter=TOKEN_COUNTER_BOUND)
    tokens = counted(await provider.count_tokens(request, entry))
    if tokens is None:
        raise ModelUnavailable(f"The count of {entry.alias} makes no sense. Try again.")
    return CountTokensResponse(tokens_input=tokens, counter=TOKEN_COUNTER_PROVIDER)


def _size_bytes(request: GenerateRequest) -> int:
    """As the worker sizes a call before it sets money aside."""
    parts = (*request.tools, *request.messages)
    return len(request.system.encode()) + sum(part.ByteSize() for part in parts)
