"""Calls of a model kept within the limits set for it in the catalogue, by all processes together.

As a provider does, a call is counted with all it may write, and with what it used once that is known. What is
read from a prompt cache is not counted, as providers with caches have it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from aucert.models.v1.model_service_pb2 import GenerateRequest
from services.common.billing import UNBILLED
from services.common.quotas.limits import AT_ONCE, Limit, QuotaExceeded
from services.common.quotas.meter import Taken
from services.common.quotas.shared import SharedLimits
from services.models.domain import CallLimits, ModelEntry, TokenCount
from services.models.errors import ModelRateLimited
from services.models.tokens import estimated_input

UNLIMITED = CallLimits()


class Spending:
    """What one call took of its model's tokens, until it is known what it used."""

    def __init__(self, taken: Taken | None = None, units: int = 0) -> None:
        self._taken = taken
        self._units = units

    def used(self, tokens: TokenCount) -> None:
        """Give back what was taken beyond these tokens. Without this, all of it was used."""
        counted = tokens.input + tokens.output + tokens.cache_write
        if self._taken is not None and counted < self._units:
            self._taken.give_back(self._units - counted)
            self._units = counted


class ModelLimits:
    """Lets calls of models through. Without shared limits: all of them."""

    def __init__(self, shared: SharedLimits | None = None) -> None:
        self._shared = shared or SharedLimits()

    @asynccontextmanager
    async def within(self, request: GenerateRequest, entry: ModelEntry) -> AsyncIterator[Spending]:
        """Make one call of the model in the block. Raises ModelRateLimited, with nothing sent."""
        if entry.limits == UNLIMITED:
            yield Spending()
            return
        async with AsyncExitStack() as slot:
            try:
                spending = await self._taken(request, entry, slot)
            except QuotaExceeded as exceeded:
                message = f"{entry.alias} is used as much as its limits allow. Try again."
                raise ModelRateLimited(message, metadata=UNBILLED, retry_after=exceeded.retry_after) from None
            yield spending

    async def _taken(self, request: GenerateRequest, entry: ModelEntry, slot: AsyncExitStack) -> Spending:
        limits, key = entry.limits, f"model:{entry.alias}"
        if limits.calls_at_once:
            held = self._shared.hold(Limit(f"{key}:calls", limits.calls_at_once, AT_ONCE))
            await slot.enter_async_context(held)
        requests, spending = None, Spending()
        if limits.requests_a_minute:
            requests = await self._shared.take(Limit(f"{key}:requests", limits.requests_a_minute))
        if limits.tokens_a_minute:
            limit = Limit(f"{key}:tokens", limits.tokens_a_minute)
            units = estimated_input(request) + entry.output_tokens(request.output_tokens_max)
            units = max(1, min(units, limit.units))
            try:
                spending = Spending(await self._shared.take(limit, units), units)
            except QuotaExceeded:
                if requests is not None:
                    requests.give_back(1)
                raise
        return spending
