"""Which events a delivery holds: its source says, then the models they ask for are chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from services.dispatcher.domain import Content, Event, EventKind, Found, Ignored, LeasedDelivery, SourceName
from services.dispatcher.lookups import Lookups
from services.dispatcher.registry import Registry
from services.dispatcher.sources import manual
from services.dispatcher.sources.source import Source


class Classifier:
    """Works for the current caller's tenant."""

    def __init__(self, registry: Registry, sources: Mapping[str, Source], lookups: Lookups) -> None:
        self._registry = registry
        self._sources = sources
        self._lookups = lookups

    async def events(self, delivery: LeasedDelivery, content: Content) -> list[Event] | Ignored:
        """The events in a delivery, with their models chosen, or why there are none."""
        if delivery.source == SourceName.MANUAL:
            return [manual.event(delivery.tenant_id, delivery.external_id, content)]
        found = await self._sources[delivery.source].find(content, self._lookups)
        return found if isinstance(found, Ignored) else [await self._with_models(each) for each in found]

    async def _with_models(self, found: Found) -> Event:
        if found.event.kind is not EventKind.MESSAGE:
            return found.event
        models = await self._registry.models(found.event.operation, tags=found.tags)
        return replace(found.event, models=models[: found.models_max])
