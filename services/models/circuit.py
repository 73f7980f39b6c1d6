"""Which models are better left alone for a while, as this process has seen them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

FAILURES_MAX = 3
"""Failures in a row after which a model is left alone."""
OPEN_SECONDS = 30.0
"""For how long, unless its provider asked for longer."""


@dataclass(slots=True)
class _Circuit:
    failures: int = 0
    closed_again: float = 0.0


class Circuits:
    """One circuit a model, by alias. After its time one call is let through, to see."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._circuits: dict[str, _Circuit] = {}

    def lets_through(self, alias: str) -> bool:
        """Whether to call the model now."""
        circuit = self._circuits.get(alias)
        if circuit is None or circuit.failures < FAILURES_MAX:
            return True
        if self._now() < circuit.closed_again:
            return False
        circuit.closed_again = self._now() + OPEN_SECONDS  # the others wait for what this call finds
        return True

    def succeeded(self, alias: str) -> None:
        """The model answered."""
        self._circuits.pop(alias, None)

    def failed(self, alias: str, retry_after_seconds: float) -> None:
        """The model was away or busy; its provider asked for this much patience, 0 if it did not say."""
        circuit = self._circuits.setdefault(alias, _Circuit())
        circuit.failures += 1
        circuit.closed_again = self._now() + max(OPEN_SECONDS, retry_after_seconds)
