"""Both rounds of a storm, what was counted on stderr and as JSON on stdout; exit 1 with a promise broken."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from aucert.astra.v1.repository_service_pb2 import RegisterRepositoryRequest
from aucert.dispatcher.v1.drive_watch_service_pb2 import RegisterDriveWatchRequest
from scripts.storm.kills import kill_for
from scripts.storm.people import SCRIPT, Thread, plans, write
from scripts.storm.places import DOCUMENTS, PLACES, SLUG, furnish, places
from scripts.storm.processes import READY_SECONDS_MAX, Addresses, Processes, running
from scripts.storm.record import Record
from scripts.storm.verdict import Held, Verdict, judge
from services.cli import sandbox
from services.cli.client import operator_clients
from services.sandbox.google_domain import file_id

THREADS, SECONDS, SETTLE_SECONDS = 300, 120.0, 600.0
SEEDS = 10**6
RETRY_SCALE = 0.1
"""Slack's last try then comes half a minute later, as much longer than our restarts as it is in life."""
MANNERS: Mapping[str, Mapping[str, object]] = {
    "as the vendors deliver": {"retry_scale": RETRY_SCALE},
    "three times each, shuffled": {"retry_scale": RETRY_SCALE, "copies": 3, "shuffle_seconds": 2.0},
}
FAULT_TIMES = 10_000
FAULTS: Sequence[Mapping[str, object]] = (
    {"method": "POST", "every": 11, "action": "status_after:500"},
    {"method": "POST", "every": 17, "action": "drop_after"},
    {"method": "POST", "every": 23, "action": "rate_limit:1"},
    {"method": "*", "every": 13, "action": "delay:400"},
    {"method": "GET", "every": 29, "action": "status:502"},
)
"""Every vendor's bad minutes, all along: done and yet 500, done and no answer, 429, slow, away."""


@dataclass(frozen=True, slots=True)
class Storm:
    """How many threads are begun within how many seconds, where; how long settling may take."""

    threads: int
    seconds: float
    sources: Sequence[str]
    settle_seconds: float
    seed: int


@dataclass(frozen=True, slots=True)
class Round:
    """What was counted after a round, over all that was written until then."""

    manner: str
    seconds: float
    killed: Mapping[str, int]
    attempts: int
    inbox: Sequence[str]
    verdict: Verdict


async def both_rounds(storm: Storm, folder: Path) -> list[Round]:
    """One platform for both, so that the second also shows what the first left undone or does twice later."""
    script = folder / "script.json"
    script.write_text(json.dumps(SCRIPT))
    rounds: list[Round] = []
    async with running(folder, script) as (processes, found):
        record = Record(found.operator_database_url, found.temporal)
        await _prepare(found, record, folder)
        threads: list[Thread] = []
        for number, (manner, how) in enumerate(MANNERS.items()):
            started, seed = time.monotonic(), storm.seed + number
            await sandbox.call(found.sandbox.url, "PUT", "/_sandbox/manner", {**how, "seed": seed})
            killed, more = await _rage(storm, seed, processes, found)
            threads += more
            _say(f"{manner}: {killed.total()} killed; waiting until all is settled")
            still_open = await record.settled(_comments(threads), storm.settle_seconds)
            verdict = await _verdict(record, threads, still_open)
            inbox = [str(row) for row in await record.inbox()]
            seconds = round(time.monotonic() - started, 1)
            rounds.append(Round(manner, seconds, dict(killed), await record.attempts(), inbox, verdict))
            _tell(rounds[-1])
    return rounds


async def _prepare(found: Addresses, record: Record, folder: Path) -> None:
    """Furnish the vendors, register the repository, watch the documents, arm the faults."""
    containers = await furnish(found.sandbox.url)
    repository = folder / "repository"
    _make_repository(repository)
    async with operator_clients(folder, found.operator) as clients:
        await clients.repositories.RegisterRepository(
            RegisterRepositoryRequest(slug=SLUG, clone_url=str(repository), source_containers=containers)
        )
        for name in DOCUMENTS:
            await clients.watches.RegisterDriveWatch(
                RegisterDriveWatchRequest(file_id=file_id(name), public_base_url=found.gateway_url)
            )
    await record.begun(containers, READY_SECONDS_MAX)
    for vendor in found.sandbox.vendors:
        for fault in FAULTS:
            body = {**fault, "path_pattern": f"/{vendor}/*", "times": FAULT_TIMES}
            await sandbox.call(found.sandbox.url, "POST", "/_sandbox/faults", body)


async def _rage(
    storm: Storm, seed: int, processes: Processes, found: Addresses
) -> tuple[Counter[str], list[Thread]]:
    """People write while everything is killed; ends when both have ended."""
    where = places(found.sandbox.url, storm.sources)
    planned = plans(where, storm.threads, storm.seconds, seed)
    async with asyncio.TaskGroup() as raging:
        killing = raging.create_task(kill_for(storm.seconds, processes, seed))
        writing = raging.create_task(write(planned))
    return killing.result(), writing.result()


async def _verdict(record: Record, threads: Sequence[Thread], still_open: Mapping[str, int]) -> Verdict:
    held = [Held(each.name, each.comments, await each.posts()) for each in threads]
    verdict = judge(held, await record.runs(), await record.inbox())
    left = [f"still open: {count} {what}" for what, count in still_open.items()]
    left += [f"workflow still open: {each}" for each in await record.workflows()]
    return replace(verdict, offenders=[*left, *verdict.offenders])


def _comments(threads: Sequence[Thread]) -> list[str]:
    return [comment for thread in threads for comment in thread.comments]


def _make_repository(path: Path) -> None:
    path.mkdir()
    (path / "README.md").write_text("# Shop\n\nA cart is a list. Whoever filled it pays.\n")
    person = ("-c", "user.name=Maria", "-c", "user.email=maria@acme.example")
    for words in (("init", "--quiet"), ("add", "."), (*person, "commit", "--quiet", "--message", "Begin")):
        subprocess.run(["git", "-C", str(path), *words], check=True)  # noqa: S603, S607 - git, as everywhere


def _tell(told: Round) -> None:
    verdict = told.verdict
    _say(
        f"{told.manner}: {verdict.comments} comments, {verdict.answered} answered, "
        f"{verdict.absorbed} absorbed by an answered run; {verdict.posts} answers at the vendors; "
        f"{told.attempts} attempts; {told.seconds} s"
    )
    _say("  killed: " + ", ".join(f"{part} {count}" for part, count in sorted(told.killed.items())))
    for row in told.inbox:
        _say(f"  inbox: {row}")
    for offender in verdict.offenders:
        _say(f"  OFFENDER {offender}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Read the command line and go."""
    parser = argparse.ArgumentParser(prog="make storm", description="Kill everything while people write.")
    parser.add_argument("--threads", type=int, default=THREADS, help=f"in each round ({THREADS})")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"each round rages ({SECONDS:g})")
    parser.add_argument(
        "--settle-seconds", type=float, default=SETTLE_SECONDS, help=f"waited at most ({SETTLE_SECONDS:g})"
    )
    parser.add_argument("--seed", type=int, default=None, help="of a storm to see again (by chance)")
    parser.add_argument("--sources", default=",".join(PLACES), help="where people write (everywhere)")
    parser.add_argument("--keep", type=Path, default=None, help="a new folder for logs and data, kept")
    asked = parser.parse_args()
    sources = tuple(asked.sources.split(","))
    if not set(sources) <= PLACES.keys():
        parser.error(f"sources are {', '.join(PLACES)}")
    seed = secrets.randbelow(SEEDS) if asked.seed is None else asked.seed
    storm = Storm(asked.threads, asked.seconds, sources, asked.settle_seconds, seed)
    _say(f"storm: {storm.threads} threads in {storm.seconds:g} s, twice; SEED={seed}")
    with tempfile.TemporaryDirectory(prefix="astra-storm-") as made:
        folder = asked.keep or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        rounds = asyncio.run(both_rounds(storm, folder))
    machine = {"cores": os.cpu_count(), "system": platform.platform(), "load": round(os.getloadavg()[0], 1)}
    print(json.dumps({**asdict(storm), "machine": machine, "rounds": [asdict(each) for each in rounds]}))
    sys.exit(any(each.verdict.offenders for each in rounds))


if __name__ == "__main__":
    main()
