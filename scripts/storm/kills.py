"""Who is killed when: drawn from the seed, every part once before any a second time."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scripts.storm.processes import Processes

DOWN_SECONDS_MAX = 2.0
"""A part is left down for at most so long; then it still has to start."""
CALM_SECONDS_MAX = 2.0
TOGETHER_SHARE = 0.2
"""How many kills hit a second part at the same moment."""


@dataclass(frozen=True, slots=True)
class Kill:
    """Parts that go together, how long they stay away, and how long it is calm afterwards."""

    parts: tuple[str, ...]
    down_seconds: float
    calm_seconds: float


def kills(parts: Sequence[str], seed: int) -> Iterator[Kill]:
    """One after the other, without end."""
    chance = random.Random(seed)  # noqa: S311 - a storm, not a secret
    while True:
        alive = list(parts)
        chance.shuffle(alive)
        while alive:
            count = 2 if chance.random() < TOGETHER_SHARE else 1
            doomed, alive = tuple(alive[:count]), alive[count:]
            yield Kill(doomed, chance.uniform(0, DOWN_SECONDS_MAX), chance.uniform(0, CALM_SECONDS_MAX))


async def kill_for(seconds: float, processes: Processes, seed: int) -> Counter[str]:
    """Kill for so long, and until every part was killed; returns how often each was. All is up again."""
    killed: Counter[str] = Counter()
    ends = time.monotonic() + seconds
    for kill in kills(processes.parts, seed):
        if time.monotonic() >= ends and len(killed) == len(processes.parts):
            break
        await asyncio.gather(*(processes.kill(part) for part in kill.parts))
        killed.update(kill.parts)
        await asyncio.sleep(kill.down_seconds)
        await asyncio.gather(*(processes.start(part) for part in kill.parts))
        await asyncio.sleep(kill.calm_seconds)
    return killed
