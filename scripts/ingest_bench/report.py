"""The figures of `make bench ingest`: computed from what was measured, for people and as JSON."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from scripts.ingest_bench.contenders import NAMES
from scripts.ingest_bench.rounds import LANES, Results, Round
from scripts.ingest_bench.waits import Waits

WHAT_WIDTH, VALUE_WIDTH = 58, 11
AIM_RATIO = 1.7
TASK_AIM_RATIO, TASK_AIM_EXTRA_MS = 1.3, 5.0
POST_AIM_MS = 300.0


@dataclass(frozen=True, slots=True)
class Figure:
    """One line: a value a contender, Astra's to the reference's, and what we aim at."""

    what: str
    unit: str
    values: Mapping[str, float]
    aim: str = ""

    @property
    def ratio(self) -> float | None:
        """Astra's value over the reference's. None: one of them has none."""
        ours, theirs = self.values.get("astra"), self.values.get("reference")
        return ours / theirs if ours and theirs else None

    def to_json(self) -> dict[str, object]:
        """The line with its ratio."""
        rounded = {name: round(value, 3) for name, value in self.values.items()}
        ratio = {} if self.ratio is None else {"astra_to_reference": round(self.ratio, 2)}
        return {
            "what": self.what,
            "unit": self.unit,
            **rounded,
            **ratio,
            **({"aim": self.aim} if self.aim else {}),
        }


def figures(results: Results, waits: Sequence[Waits]) -> list[Figure]:
    """Every line of the report, in its order."""
    return [*_throughput(results), *_waits(waits)]


def _throughput(results: Results) -> Iterator[Figure]:
    rates = _each(results, lambda some: statistics.median(each.per_second for each in some))
    aim = f">= {AIM_RATIO} x reference, > slack_bolt"
    yield Figure(f"webhooks a second, {LANES} at a time, median round", "1/s", rates, aim)
    best = _each(results, lambda some: max(each.per_second for each in some))
    yield Figure("the same, the quietest round", "1/s", best)
    if paired := _paired(results):
        yield Figure("Astra to the reference, round by round, median", "x", {"astra": paired})
    yield Figure("time to the answer, median", "ms", _each(results, _percentile(0.5)))
    yield Figure("time to the answer, p99", "ms", _each(results, _percentile(0.99)), "< reference")
    yield Figure("CPU time a webhook, PostgreSQL's included", "us", _each(results, _cpu_us))
    for process in dict.fromkeys(name for some in results.values() for name in some[0].cpu_seconds):
        of = {name: _cpu_us_of(process, some) for name, some in results.items()}
        yield Figure(f"of it {process}", "us", {name: value for name, value in of.items() if value})


def _waits(waits: Sequence[Waits]) -> Iterator[Figure]:
    if not waits:
        return
    own = statistics.median(each.start_to_task for each in waits)
    task = statistics.median(each.webhook_to_task for each in waits)
    post = statistics.median(each.answer_to_post for each in waits)
    yield Figure("Temporal: start to first workflow task, median", "ms", {"astra": own})
    aim = f"<= {TASK_AIM_RATIO * own + TASK_AIM_EXTRA_MS:.1f} (1.3 x Temporal's own + 5)"
    yield Figure("webhook read to first workflow task, median", "ms", {"astra": task}, aim)
    yield Figure("answer finished to posted, median", "ms", {"astra": post}, f"<= {POST_AIM_MS:.0f}")


def _each(results: Results, value: Callable[[Sequence[Round]], float]) -> dict[str, float]:
    return {name: value(some) for name, some in results.items()}


def _paired(results: Results) -> float:
    """Rounds of one number are neighbours in time: their ratio suffers least from a machine's moods."""
    pairs = zip(results["astra"], results["reference"], strict=True)
    return statistics.median(ours.per_second / theirs.per_second for ours, theirs in pairs)


def _percentile(share: float) -> Callable[[Sequence[Round]], float]:
    """Of each round, then the median over rounds."""
    return lambda some: statistics.median(percentile(each.milliseconds, share) for each in some)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that this share of them does not exceed."""
    return sorted(values)[math.ceil(len(values) * share) - 1]


def _cpu_us(rounds: Sequence[Round]) -> float:
    return statistics.median(sum(each.cpu_seconds.values()) / each.webhooks for each in rounds) * 1e6


def _cpu_us_of(process: str, rounds: Sequence[Round]) -> float:
    return statistics.median(each.cpu_seconds.get(process, 0.0) / each.webhooks for each in rounds) * 1e6


def table(lines: Sequence[Figure]) -> str:
    """The figures for people."""
    heads = (*NAMES, "unit", "/reference")
    rows = ["".ljust(WHAT_WIDTH) + "".join(head.rjust(VALUE_WIDTH + 1) for head in heads) + "  aim"]
    for line in lines:
        values = [f"{line.values[name]:,.1f}" if name in line.values else "-" for name in NAMES]
        cells = (*values, line.unit, "-" if line.ratio is None else f"{line.ratio:.2f}")
        rows.append(
            line.what.ljust(WHAT_WIDTH)
            + "".join(cell.rjust(VALUE_WIDTH + 1) for cell in cells)
            + f"  {line.aim}".rstrip()
        )
    return "\n".join(rows)
