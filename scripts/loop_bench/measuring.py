"""Has the contenders take turns and collects what they did; checks every result, judges no figure."""

from __future__ import annotations

import asyncio
import itertools
import sys
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import aiohttp

from scripts.loop_bench.assignment import Assignment
from scripts.loop_bench.contender import Explained
from scripts.loop_bench.model_server import Call
from scripts.loop_bench.processes import Contender, WrongResult, contender, model_server

T = TypeVar("T")
NAMES = ("astra", "openai", "langgraph")
TURNS = 10
SMALL_BYTES, LARGE_BYTES = 200, 40_000
LANES = 8
WARM_UP_RUNS = 8
RUNS_ALONE = 3
RUNS_TOGETHER = 16
RUNS_EXPLAINED = 5


@dataclass(frozen=True, slots=True)
class Work:
    """Runs to be done in one go, `lanes` at a time."""

    runs: int
    turns: int = TURNS
    result_bytes: int = SMALL_BYTES
    lanes: int = 1


STORED = (
    Work(10, turns=10),
    Work(5, turns=40),
    Work(3, turns=10, result_bytes=LARGE_BYTES),
    Work(2, turns=40, result_bytes=LARGE_BYTES),
)
"""After which we look at what is stored."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What came of it. The model's own time is in none of `overheads_ms`, and all of it in the rest."""

    work: Work
    seconds: float
    cpu_seconds: Mapping[str, float]
    """By program."""
    overheads_ms: tuple[float, ...]
    """From each answer of the model to the next question of the same run: what a turn costs beyond it."""
    periods_ms: tuple[float, ...]
    """From each question to the next."""
    around_ms: tuple[float, ...]
    """A run's time before its first question and after its last answer."""

    @property
    def turns(self) -> int:
        """Turns with a tool call."""
        return self.work.runs * self.work.turns


@dataclass(frozen=True, slots=True)
class Growth:
    """What the runs of a batch left behind."""

    batch: Batch
    postgres_bytes: int
    wal_bytes: int
    history_bytes: int


@dataclass(slots=True)
class Results:
    """All that was measured, by contender."""

    alone: dict[str, list[Batch]] = field(default_factory=lambda: {name: [] for name in NAMES})
    together: dict[str, list[Batch]] = field(default_factory=lambda: {name: [] for name in NAMES})
    stored: dict[str, list[Growth]] = field(default_factory=lambda: {name: [] for name in NAMES})
    explained: Explained | None = None


class Arena:
    """The contenders, ready, and the model they all ask."""

    def __init__(self, contenders: Mapping[str, Contender], model: aiohttp.ClientSession) -> None:
        self._contenders = contenders
        self._model = model

    async def measure(self, rounds: int, *, explain: bool) -> Results:
        """Every figure. Raises WrongResult."""
        results = Results()
        for name in NAMES:
            await self.batch(name, Work(WARM_UP_RUNS, lanes=LANES))
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            for name in in_turn(NAMES, number):
                results.alone[name].append(await self.batch(name, Work(RUNS_ALONE)))
            for name in in_turn(NAMES, number):
                results.together[name].append(await self.batch(name, Work(RUNS_TOGETHER, lanes=LANES)))
        for number, work in enumerate(STORED):
            say(f"{work.turns} turns with {work.result_bytes:,} bytes each")
            for name in in_turn(NAMES, number):
                results.stored[name].append(await self.growth(name, work))
        if explain:
            results.explained = await self.explained()
        return results

    async def batch(self, name: str, work: Work) -> Batch:
        """Have one contender do the work, check what it did, say what it took."""
        assignments = fresh(work)
        doing = self._contenders[name]
        cpu_before = doing.cpu_seconds()
        done = await doing.ask("run", **as_order(assignments, work))
        cpu_after = doing.cpu_seconds()
        calls: list[list[Call]] = []
        for assignment, run in zip(assignments, done["runs"], strict=True):
            if run["answer"] != assignment.answer:
                raise WrongResult(f"{name} answered {run['answer']!r} instead of {assignment.answer!r}")
            calls.append(await self._calls(assignment))
            check(name, assignment, calls[-1])
        steps = [step for run in calls for step in itertools.pairwise(run)]
        return Batch(
            work=work,
            seconds=done["seconds"],
            cpu_seconds={program: cpu_after[program] - cpu_before[program] for program in cpu_after},
            overheads_ms=tuple((after.asked - before.answered) * 1000 for before, after in steps),
            periods_ms=tuple((after.asked - before.asked) * 1000 for before, after in steps),
            around_ms=tuple(
                (run["seconds"] - (seen[-1].answered - seen[0].asked)) * 1000
                for run, seen in zip(done["runs"], calls, strict=True)
            ),
        )

    async def growth(self, name: str, work: Work) -> Growth:
        """As `batch`, and what it left behind."""
        before = await self._contenders[name].ask("kept")
        batch = await self.batch(name, work)
        after = await self._contenders[name].ask("kept")
        return Growth(batch, **{what: after[what] - before[what] for what in after})

    async def explained(self) -> Explained:
        """Where Astra's time goes, in runs of their own."""
        work = Work(RUNS_EXPLAINED)
        told = await self._contenders["astra"].ask("explain", **as_order(fresh(work), work))
        return Explained(**told)

    async def _calls(self, assignment: Assignment) -> list[Call]:
        async with self._model.get(f"/calls/{assignment.key}") as response:
            return [Call(**call) for call in await response.json()]


@asynccontextmanager
async def arena(folder: Path) -> AsyncIterator[Arena]:
    """Start the model and all contenders; they end with the block."""
    async with AsyncExitStack() as exits:
        url = await exits.enter_async_context(model_server())
        session = await exits.enter_async_context(aiohttp.ClientSession(url))
        contenders: dict[str, Contender] = {}
        for name in NAMES:
            home = folder / name
            await asyncio.to_thread(home.mkdir)
            contenders[name] = await exits.enter_async_context(contender(name, url, str(home)))
        yield Arena(contenders, session)


def check(name: str, assignment: Assignment, calls: Sequence[Call]) -> None:
    """The model must have been asked once a turn and read every result whole. Raises WrongResult."""
    if len(calls) != assignment.turns + 1:
        raise WrongResult(f"{name} asked the model {len(calls)} times, not {assignment.turns + 1}")
    read = [call.result_bytes for call in calls[1:]]
    if read != [assignment.result_bytes] * assignment.turns:
        raise WrongResult(f"{name} showed the model results of {sorted(set(read))} bytes")


def fresh(work: Work) -> list[Assignment]:
    """Assignments nobody has had before."""
    return [Assignment(uuid.uuid4().hex, work.turns, work.result_bytes) for _ in range(work.runs)]


def as_order(assignments: Sequence[Assignment], work: Work) -> dict[str, object]:
    """The rest of the order, after what is to be done."""
    keys = [each.key for each in assignments]
    return {"keys": keys, "turns": work.turns, "result_bytes": work.result_bytes, "lanes": work.lanes}


def in_turn(names: Sequence[T], number: int) -> Sequence[T]:
    """The names, each round another one first."""
    first = number % len(names)
    return [*names[first:], *names[:first]]


def say(text: str) -> None:
    """Progress, for people."""
    print(text, file=sys.stderr, flush=True)
