"""Which events a delivery holds: its source says, then the models they ask for are chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from services.dispatcher.domain import (
    Command,
    Content,
    Event,
    EventKind,
    Found,
    Ignored,
    LeasedDelivery,
    SourceName,
)
from services.dispatcher.lookups import Lookups
from services.dispatcher.registry import Registry
from services.dispatcher.sources import manual
from services.dispatcher.sources.source import Source
from services.dispatcher.thread_status import ThreadStatus


class Classifier:
    """Works for the current caller's tenant."""

    def __init__(
        self, registry: Registry, sources: Mapping[str, Source], lookups: Lookups, status: ThreadStatus
    ) -> None:
        self._status = status
        self._registry = registry
        self._sources = sources
        self._lookups = lookups

    async def events(self, delivery: LeasedDelivery, content: Content) -> list[Event] | Ignored:
        """The events in a delivery, with their models chosen, or why there are none."""
        if delivery.source == SourceName.MANUAL:
            return [manual.event(delivery.tenant_id, delivery.external_id, content)]
        found = await self._sources[delivery.source].find(content, self._lookups)
        if isinstance(found, Ignored):
            return found
        return [await self._with_status(await self._with_models(each)) for each in found]

    async def _with_status(self, event: Event) -> Event:
        """Whoever asks how things stand is told by an agent that knows what the record says of it."""
        if event.operation != Command.STATUS.operation or event.thread is None:
            return event
        status = await self._status.told(event.thread)
        return replace(event, description=f"{event.description}\n\n{status}")

    async def _with_models(self, found: Found) -> Event:
        if found.event.kind is not EventKind.MESSAGE:
            return found.event
        event = found.event
        models = await self._registry.models(event.operation, agent=event.agent_slug, tags=found.tags)
        return replace(found.event, models=models[: found.models_max])
