"""Reciprocal rank fusion: one order out of several, by places alone: scores of two kinds do not compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

DAMPING = 60
"""The constant of Cormack, Clarke and Büttcher (2009): how little the first places outweigh the next."""


@dataclass(frozen=True, slots=True)
class Fused:
    """An item, its score and its place in each list from 1; 0: it is not in that list."""

    key: str
    score: float
    ranks: tuple[int, ...]


def fuse(*orders: Sequence[str]) -> list[Fused]:
    """Every item of the lists, the best first; of equal scores the one met first in the lists."""
    places = [{key: place for place, key in enumerate(order, 1)} for order in orders]
    keys = dict.fromkeys(key for order in orders for key in order)
    fused = [Fused(key, _score(ranks), ranks) for key in keys for ranks in [_ranks(key, places)]]
    return sorted(fused, key=lambda each: -each.score)


def _ranks(key: str, places: Sequence[dict[str, int]]) -> tuple[int, ...]:
    return tuple(order.get(key, 0) for order in places)


def _score(ranks: Sequence[int]) -> float:
    return sum(1 / (DAMPING + rank) for rank in ranks if rank)
