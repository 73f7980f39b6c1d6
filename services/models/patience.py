"""Patience with a provider's stream: cut when it falls silent, and timed apart from our own work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

from services.models.domain import ModelEntry
from services.models.errors import ModelUnavailable

EventT = TypeVar("EventT")


class Patience:
    """Waits for the events of one call, which begins now. `waited_seconds` is the time spent waiting."""

    def __init__(self, entry: ModelEntry) -> None:
        self._entry = entry
        self._ends = time.monotonic() + entry.timeouts.call_seconds
        self.waited_seconds = 0.0

    async def with_events(self, events: AsyncGenerator[EventT, None]) -> AsyncGenerator[EventT, None]:
        """The events as they come.

        Raises ModelUnavailable, closing them, after too long a silence or when the call takes too long.
        """
        limit = self._entry.timeouts.first_token_seconds
        async with aclosing(events):
            while True:
                asked = time.monotonic()
                try:
                    async with asyncio.timeout(min(limit, self._ends - asked)):
                        event = await anext(events)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    raise self._too_long(limit) from None
                finally:
                    self.waited_seconds += time.monotonic() - asked
                yield event
                limit = self._entry.timeouts.between_tokens_seconds

    def _too_long(self, limit: float) -> ModelUnavailable:
        alias, call_seconds = self._entry.alias, self._entry.timeouts.call_seconds
        if time.monotonic() >= self._ends:
            return ModelUnavailable(
                f"{alias} did not finish within {call_seconds:g} seconds.", metadata={"cut": "call_seconds"}
            )
        return ModelUnavailable(
            f"{alias} said nothing for {limit:g} seconds. Try again.", metadata={"cut": "silence"}
        )
