"""One call over a model and those that stand in for it: visibly, and never for a model that is dearer.

A model gives way only before it wrote anything, so nobody reads half an answer of one and half of another.
Without a fallback that is on, a model is simply asked: waiting is then the caller's, who can do it cheaper.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta

from aucert.models.v1.model_service_pb2 import GenerateRequest, PassedOver
from services.common.errors import ServiceError
from services.models.circuit import Circuits
from services.models.domain import ModelEntry
from services.models.errors import ModelRateLimited, ModelUnavailable
from services.models.provider import Piece, Provider

WAIT_IN_PLACE_MAX = timedelta(seconds=2)
"""A provider that asks for less is waited for, once, before the next model is asked."""


@dataclass(slots=True)
class Authorship:
    """Who writes an answer, and who was passed over for it."""

    entry: ModelEntry
    passed_over: list[PassedOver] = field(default_factory=list[PassedOver])


class FallbackCalls:
    """Calls models through their providers, with one memory of who is away."""

    def __init__(self, providers: Mapping[str, Provider], circuits: Circuits | None = None) -> None:
        self._providers = providers
        self._circuits = circuits or Circuits()

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
                failures.append(ModelUnavailable(f"{entry.alias} was away a moment ago."))
                authorship.passed_over.append(_passed_over(entry, failures[-1]))
                continue
            authorship.entry, begun = entry, False
            try:
                async with aclosing(self._patiently(request, entry, waits=not is_last)) as pieces:
                    async for piece in pieces:
                        begun = True
                        yield piece
            except ServiceError as error:
                if begun or (place == 0 and not _gives_way(error)):
                    raise
                failures.append(error)
                authorship.passed_over.append(_passed_over(entry, error))
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
        try:
            async with aclosing(self._providers[entry.provider].generate(request, entry)) as pieces:
                async for piece in pieces:
                    yield piece
        except (ModelUnavailable, ModelRateLimited) as error:
            asked_for = error.retry_after or timedelta()
            self._circuits.failed(entry.alias, asked_for.total_seconds())
            raise
        self._circuits.succeeded(entry.alias)


def _gives_way(error: ServiceError) -> bool:
    """Whether another model may do better: this one is away or busy, not asked wrongly."""
    return isinstance(error, ModelUnavailable | ModelRateLimited)


def _passed_over(entry: ModelEntry, error: ServiceError) -> PassedOver:
    return PassedOver(model_alias=entry.alias, reason=error.reason)


def _all_failed(models: Sequence[ModelEntry], failures: Sequence[ServiceError]) -> ServiceError:
    names = ", ".join(model.alias for model in models)
    metadata = {model.alias: error.reason for model, error in zip(models, failures, strict=True)}
    waits = [error.retry_after for error in failures if error.retry_after is not None]
    if all(isinstance(error, ModelRateLimited) for error in failures):
        message = f"The providers of {names} all ask to slow down."
        return ModelRateLimited(message, metadata=metadata, retry_after=min(waits))
    return ModelUnavailable(f"None of {names} answers. Try again.", metadata=metadata)
