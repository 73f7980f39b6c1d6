"""The figures side by side: median of what was measured, the aim, and Astra against each of the others."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from scripts.loop_bench.contender import Costs, Explained
from scripts.loop_bench.measuring import LANES, NAMES, Batch, Growth, Results
from scripts.loop_bench.processes import PROGRAMS

WHAT_WIDTH, VALUE_WIDTH = 58, 10
COSTS_SHOWN_MAX = 20


@dataclass(frozen=True, slots=True)
class Figure:
    """One line: a value a contender, and what we aim at. `samples` is how many values Astra's stands on."""

    what: str
    unit: str
    values: Mapping[str, float]
    samples: int
    aim: str = ""

    def to_json(self) -> dict[str, object]:
        """The line with the ratios of this run."""
        found = {f"astra_to_{other}": self.ratio(other) for other in NAMES[1:]}
        ratios = {name: ratio for name, ratio in found.items() if ratio is not None}
        rounded = {name: round(value, 3) for name, value in self.values.items()}
        aim = {"aim": self.aim} if self.aim else {}
        return {"what": self.what, "unit": self.unit, **rounded, **ratios, "samples": self.samples, **aim}

    def ratio(self, other: str) -> float | None:
        """How often the other's value goes into Astra's. None: the other's is nothing."""
        return round(self.values["astra"] / self.values[other], 2) if self.values.get(other) else None


def figures(results: Results) -> list[Figure]:
    """Every line of the report, in its order."""
    return [*_alone(results.alone), *_together(results.together), *_stored(results.stored)]


def _alone(batches: Mapping[str, Sequence[Batch]]) -> Iterator[Figure]:
    turns = _each(batches, lambda some: [ms for batch in some for ms in batch.overheads_ms])
    whole = _each(batches, lambda some: [ms for batch in some for ms in batch.periods_ms])
    around = _each(batches, lambda some: [ms for batch in some for ms in batch.around_ms])
    yield _figure("one run: a turn beyond model and tool, median", "ms", turns, statistics.median, "<= 12")
    yield _figure("one run: the same, p90", "ms", turns, p90)
    quiet = _each(batches, lambda some: [statistics.median(batch.overheads_ms) for batch in some])
    yield _figure("one run: the same, the quietest round's median", "ms", quiet, min)
    yield _figure("one run: a whole turn, the model's time included, median", "ms", whole, statistics.median)
    yield _figure("one run: its time before and after the loop, median", "ms", around, statistics.median)
    yield _figure("one run: CPU time a turn", "ms", _each(batches, _cpu_ms), statistics.median)
    for program in PROGRAMS:
        spent = _each(batches, lambda some, of=program: [_cpu_ms_of(of, batch) for batch in some])
        yield _figure(f"one run: of it {program}", "ms", spent, statistics.median)


def _together(batches: Mapping[str, Sequence[Batch]]) -> Iterator[Figure]:
    rates = _each(batches, lambda some: [batch.turns / batch.seconds for batch in some])
    turns = _each(batches, lambda some: [ms for batch in some for ms in batch.overheads_ms])
    runs = f"{LANES} runs"
    yield _figure(f"{runs}: turns a second, whole runs, median", "1/s", rates, statistics.median, ">= 100")
    yield _figure(f"{runs}: the same, the quietest round", "1/s", rates, max)
    yield _figure(f"{runs}: a turn beyond model and tool, median", "ms", turns, statistics.median)
    yield _figure(f"{runs}: CPU time a turn", "ms", _each(batches, _cpu_ms), statistics.median)


def _stored(growths: Mapping[str, Sequence[Growth]]) -> Iterator[Figure]:
    for place, shown in enumerate(growths["astra"]):
        of = {name: some[place] for name, some in growths.items()}
        work = shown.batch.work
        case = f"{work.turns} turns of {work.result_bytes:,} B"
        turns = {name: growth.batch.overheads_ms for name, growth in of.items()}
        yield _figure(f"{case}: a turn beyond model and tool, median", "ms", turns, statistics.median)
        cpu = {name: _cpu_ms([growth.batch])[0] for name, growth in of.items()}
        yield Figure(f"{case}: CPU time a turn", "ms", cpu, work.runs)
        kept = {name: growth.postgres_bytes / growth.batch.turns / 1000 for name, growth in of.items()}
        yield Figure(f"{case}: PostgreSQL grew a turn", "kB", kept, work.runs)
        written = {name: growth.wal_bytes / growth.batch.turns / 1000 for name, growth in of.items()}
        yield Figure(f"{case}: write-ahead log a turn", "kB", written, work.runs)
        history = {"astra": of["astra"].history_bytes / work.runs / 1000}
        aim = "<= 60" if work.turns * work.result_bytes > 1_000_000 else ""
        yield Figure(f"{case}: Temporal history a run", "kB", history, work.runs, aim)
        a_turn = {"astra": of["astra"].history_bytes / growths["astra"][place].batch.turns}
        yield Figure(f"{case}: Temporal history a turn", "B", a_turn, work.runs)


def _each(
    batches: Mapping[str, Sequence[Batch]], values: Callable[[Sequence[Batch]], Sequence[float]]
) -> dict[str, Sequence[float]]:
    return {name: values(some) for name, some in batches.items()}


def _cpu_ms(batches: Sequence[Batch]) -> list[float]:
    return [sum(_cpu_ms_of(program, batch) for program in batch.cpu_seconds) for batch in batches]


def _cpu_ms_of(program: str, batch: Batch) -> float:
    return batch.cpu_seconds[program] * 1000 / batch.turns


def _figure(
    what: str,
    unit: str,
    samples: Mapping[str, Sequence[float]],
    middle: Callable[[Sequence[float]], float],
    aim: str = "",
) -> Figure:
    values = {name: middle(some) for name, some in samples.items()}
    return Figure(what, unit, values, len(samples["astra"]), aim)


def p90(values: Sequence[float]) -> float:
    """The smallest value that nine tenths of them do not exceed."""
    return sorted(values)[math.ceil(len(values) * 0.9) - 1]


def table(lines: Sequence[Figure]) -> str:
    """The figures for people."""
    heads = (*NAMES, "unit", "/openai", "/langgraph", "aim")
    rows = ["".ljust(WHAT_WIDTH) + "".join(head.rjust(VALUE_WIDTH + 1) for head in heads)]
    for line in lines:
        values = [f"{line.values[name]:,.2f}" if name in line.values else "-" for name in NAMES]
        ratios = [f"{ratio:.2f}" if (ratio := line.ratio(other)) else "-" for other in NAMES[1:]]
        cells = (*values, line.unit, *ratios, line.aim)
        rows.append(line.what.ljust(WHAT_WIDTH) + "".join(cell.rjust(VALUE_WIDTH + 1) for cell in cells))
    return "\n".join(rows)


def explanation(explained: Explained, turns: int) -> str:
    """Where Astra's time goes, a turn, the dearest first."""
    parts = [
        ("calls at their service's door (what they wait for included)", explained.rpcs),
        ("statements in PostgreSQL (a COMMIT includes its sync)", explained.statements),
    ]
    return "\n\n".join(f"{title}, a turn:\n{_costs(costs, turns)}" for title, costs in parts)


def _costs(costs: Costs, turns: int) -> str:
    rows = [
        f"  {name:<60} {count / turns:>7.2f} x {spent / turns:>8.2f} ms"
        for name, count, spent in costs[:COSTS_SHOWN_MAX]
    ]
    count, spent = sum(each[1] for each in costs), sum(each[2] for each in costs)
    return "\n".join([*rows, f"  {'all':<60} {count / turns:>7.2f} x {spent / turns:>8.2f} ms"])
