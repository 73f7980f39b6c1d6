"""What people write and when: threads spread over the sources and the time, drawn from the seed.

One comment a thread, in a third of them soon a second: it comes while the first is worked on, or after its
answer, and either is as good.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from scripts.storm.places import Place, Post

FOLLOWED_UP_SHARE = 1 / 3
FOLLOW_UP_SECONDS_MAX = 6.0
FIRST, SECOND = "how is the cart built?", "and who pays for it, and when?"
TURN_MS = 250
SCRIPT: Mapping[str, Sequence[Mapping[str, object]]] = {
    marker: [
        {"delay_ms": TURN_MS, "tool_calls": [{"name": "repo_read_file", "arguments": {"path": "README.md"}}]},
        {"delay_ms": TURN_MS, "text": words},
    ]
    for marker, words in (
        (FIRST, "It is a list: see README.md:1."),
        (SECOND, "Whoever filled it: see README.md:1."),
    )
}
"""What the scripted model does when asked the one or the other: a turn that reads, one that answers."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A thread to be: when it begins, in seconds, and how much later somebody asks again, if ever."""

    place: Place
    begins: float
    asks_again: float | None


@dataclass(slots=True)
class Thread:
    """A thread that is, and the addresses of the comments people made in it."""

    place: Place
    handle: Mapping[str, str] = field(default_factory=dict[str, str])
    comments: list[str] = field(default_factory=list[str])

    @property
    def name(self) -> str:
        """For people who look into what went wrong."""
        return " ".join((self.place.name, *self.handle.values()))

    async def say(self, text: str) -> None:
        """Somebody addresses the agent."""
        self.handle, url = await self.place.say(self.handle, f"@atlas {text}")
        self.comments.append(url)

    async def posts(self) -> Sequence[Post]:
        """What the agent wrote."""
        return await self.place.posts(self.handle)


def plans(where: Sequence[Place], threads: int, seconds: float, seed: int) -> list[Plan]:
    """So many threads within so many seconds, the sources in turn."""
    chance = random.Random(seed)  # noqa: S311 - a storm, not a secret
    return [
        Plan(
            where[number % len(where)],
            chance.uniform(0, seconds),
            chance.uniform(0, FOLLOW_UP_SECONDS_MAX) if chance.random() < FOLLOWED_UP_SHARE else None,
        )
        for number in range(threads)
    ]


async def write(planned: Sequence[Plan]) -> list[Thread]:
    """Carry the plans out; the vendors' state holds everything that was written."""

    async def carry_out(number: int, plan: Plan) -> Thread:
        await asyncio.sleep(plan.begins)
        thread = Thread(plan.place, await plan.place.begin(f"Carts are slow, {number}"))
        await thread.say(FIRST)
        if plan.asks_again is not None:
            await asyncio.sleep(plan.asks_again)
            await thread.say(SECOND)
        return thread

    async with asyncio.TaskGroup() as writing:
        tasks = [writing.create_task(carry_out(number, plan)) for number, plan in enumerate(planned)]
    return [task.result() for task in tasks]
