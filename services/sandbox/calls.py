"""Counts the calls a vendor's stand-in received, so a test can say "posted once" and mean it."""

from __future__ import annotations

from collections import Counter

KEYS_MAX = 10_000
OTHER = ("*", "*")
"""Where calls are counted once KEYS_MAX different ones have been seen."""


class Calls:
    """How often each method and path was called, faulted calls included."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()

    def record(self, method: str, path: str) -> None:
        """Count one call."""
        key = (method, path)
        if key not in self._counts and len(self._counts) >= KEYS_MAX:
            key = OTHER
        self._counts[key] += 1

    def counts(self) -> list[tuple[str, str, int]]:
        """(method, path, count), in the order of their first call."""
        return [(method, path, count) for (method, path), count in self._counts.items()]

    def clear(self) -> None:
        """Count from zero."""
        self._counts.clear()
