"""One call over a model and those that stand in for it: visibly, and never for a model that is dearer.

A model gives way only before it wrote anything, so nobody reads half an answer of one and half of another.
Without a fallback that is on, a model is simply asked: waiting is then the caller's, who can do it cheaper.
A limit set for a model in the catalogue is met as its provider's own would be, but opens no circuit.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta

from aucert.models.v1.generation_pb2 import PassedOver
from aucert.models.v1.model_service_pb2 import GenerateRequest
from services.common.billing import UNBILLED, is_unbilled
from services.common.errors import ServiceError
from services.models.circuit import Circuits
from services.models.cost import cost_usd_micros
from services.models.domain import ModelEntry, TokenCount
from services.models.errors import ModelRateLimited, ModelUnavailable
from services.models.limits import ModelLimits
from services.models.provider import Generation, Piece, Provider
from services.models.tokens import estimated_input

WAIT_IN_PLACE_MAX = timedelta(seconds=2)
"""A provider that asks for less is waited for, once, before the next model is asked."""


@dataclass(slots=True)
class Authorship:
    """Who writes an answer, and who was passed over for it."""

    entry: ModelEntry
    passed_over: list[PassedOver] = field(default_factory=list[PassedOver])


class FallbackCalls:
    """Calls models through their providers, with one memory of who is away."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        circuits: Circuits | None = None,
        limits: ModelLimits | None = None,
    ) -> None:
        self._providers = providers
        self._circuits = circuits or Circuits()
        self._limits = limits or ModelLimits()

    async def generate(
        self, request: GenerateRequest, models: Sequence[ModelEntry], authorship: Authorship
    ) -> AsyncGenerator[Piece, None]:
        """Ask the first of the models that answers, noting in `authorship` who it is.

        Raises what the last one raised, as one error for all if there were several.
        """
        failures: list[ServiceError] = []
        for place, entry in enumerate(models):
            is_last = place == len(models) - 1
            if not is_last and not self._circuits.lets_through(entry.alias):
                failures.append(ModelUnavailable(f"{entry.alias} was away a moment ago.", metadata=UNBILLED))
                authorship.passed_over.append(_passed_over(request, entry, failures[-1]))
                continue
            authorship.entry, begun = entry, False
            try:
                async with aclosing(self._patiently(request, entry, waits=not is_last)) as pieces:
                    async for piece in pieces:
                        begun = True
                        yield piece
            except ServiceError as error:
                if begun:
                    raise _cut(entry, error) from None
                if place == 0 and not _gives_way(error):
                    raise
                failures.append(error)
                authorship.passed_over.append(_passed_over(request, entry, error))
            else:
                return
        raise failures[0] if len(failures) == 1 else _all_failed(models, failures)

    async def _patiently(
        self, request: GenerateRequest, entry: ModelEntry, *, waits: bool
    ) -> AsyncGenerator[Piece, None]:
        """Call one model; where `waits`, again after a rate limit that is short and hit at the very start."""
        try:
            async with aclosing(self._once(request, entry)) as pieces:
                async for piece in pieces:
                    waits = False
                    yield piece
            return
        except ModelRateLimited as error:
            if not waits or error.retry_after is None or error.retry_after > WAIT_IN_PLACE_MAX:
                raise
            await asyncio.sleep(error.retry_after.total_seconds())
        async with aclosing(self._once(request, entry)) as pieces:
            async for piece in pieces:
                yield piece

    async def _once(self, request: GenerateRequest, entry: ModelEntry) -> AsyncGenerator[Piece, None]:
        async with self._limits.within(request, entry) as spending:
            try:
                async with aclosing(self._providers[entry.provider].generate(request, entry)) as pieces:
                    async for piece in pieces:
                        if isinstance(piece, Generation):
                            spending.used(piece.tokens)
                        yield piece
            except (ModelUnavailable, ModelRateLimited) as error:
                if is_unbilled(error):
                    spending.used(TokenCount())
                asked_for = error.retry_after or timedelta()
                self._circuits.failed(entry.alias, asked_for.total_seconds())
                raise
        self._circuits.succeeded(entry.alias)


def _gives_way(error: ServiceError) -> bool:
    """Whether another model may do better: this one is away or busy, not asked wrongly."""
    return isinstance(error, ModelUnavailable | ModelRateLimited)


def _cut(entry: ModelEntry, error: ServiceError) -> ServiceError:
    """What to raise for an answer that ended before its end. A rate limit hit by then refuses nothing: what
    was written may be billed, so it is told as a cut and not as a call that was not taken."""
    if not isinstance(error, ModelRateLimited):
        return error
    return ModelUnavailable(
        f"The provider of {entry.alias} asked to slow down in the middle of its answer. Try again.",
        metadata={name: value for name, value in error.metadata.items() if name not in UNBILLED},
        retry_after=error.retry_after,
    )


def _passed_over(request: GenerateRequest, entry: ModelEntry, error: ServiceError) -> PassedOver:
    """A call its provider took and did not answer may be billed for what it read; nobody tells us."""
    read = TokenCount() if is_unbilled(error) else TokenCount(input=estimated_input(request))
    return PassedOver(
        model_alias=entry.alias, reason=error.reason, cost_usd_micros=cost_usd_micros(read, entry.price)
    )


def _all_failed(models: Sequence[ModelEntry], failures: Sequence[ServiceError]) -> ServiceError:
    names = ", ".join(model.alias for model in models)
    metadata = {model.alias: error.reason for model, error in zip(models, failures, strict=True)}
    if all(is_unbilled(error) for error in failures):
        metadata |= UNBILLED
    waits = [error.retry_after for error in failures if error.retry_after is not None]
    if all(isinstance(error, ModelRateLimited) for error in failures):
        message = f"The providers of {names} all ask to slow down."
        return ModelRateLimited(message, metadata=metadata, retry_after=min(waits))
    return ModelUnavailable(f"None of {names} answers. Try again.", metadata=metadata)
