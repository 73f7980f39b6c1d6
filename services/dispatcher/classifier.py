"""Which events a delivery holds: fetches what the notification leaves out, then asks the pure source."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from services.dispatcher.domain import Content, Event, EventKind, Ignored, LeasedDelivery, SourceName
from services.dispatcher.registry import Registry
from services.dispatcher.sources import github, manual
from services.dispatcher.sources.github import GitHubApp, Surroundings


class Classifier:
    """Works for the current caller's tenant."""

    def __init__(self, registry: Registry, app: GitHubApp) -> None:
        self._registry = registry
        self._app = app

    async def events(self, delivery: LeasedDelivery, content: Content) -> list[Event] | Ignored:
        """The events in a delivery, with their models chosen, or why there are none."""
        if delivery.source == SourceName.MANUAL:
            return [manual.event(delivery.tenant_id, delivery.external_id, content)]
        act = github.read(content.headers, content.body)
        if isinstance(act, Ignored):
            return act
        handles, repository = await asyncio.gather(
            self._registry.handles(SourceName.GITHUB), self._registry.repository_of(github.container(act))
        )
        found = github.classify(act, Surroundings(self._app, handles, repository))
        if isinstance(found, Ignored):
            return found
        if found.event.kind is EventKind.STOP:
            return [found.event]
        models = await self._registry.models(found.event.operation, tags=found.tags)
        return [replace(found.event, models=models[: found.models_max])]
