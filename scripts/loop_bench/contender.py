"""The protocol between the bench and a contender's process: one JSON object a line, each way.

    {"do": "run", "keys": ["a", "b"], "turns": 10, "result_bytes": 200, "lanes": 1}
        → {"seconds": 0.4, "runs": [{"answer": "…", "seconds": 0.2}, …]}
    {"do": "kept"}      → {"postgres_bytes": 1, "wal_bytes": 1, "history_bytes": 1}, since the start
    {"do": "explain", …as run} → {"rpcs": [[name, count, ms], …], "statements": […]}; Astra only

The contender says {} when it is ready and ends when its stdin closes.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import psycopg

from scripts.loop_bench.assignment import Assignment

Costs = list[tuple[str, int, float]]
"""Name, how often, milliseconds in all."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a contender has stored since it started. WAL is what PostgreSQL wrote to keep it."""

    postgres_bytes: int = 0
    wal_bytes: int = 0
    history_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Explained:
    """Where the time of some runs went: calls between services, and statements in PostgreSQL."""

    rpcs: Costs = field(default_factory=Costs)
    statements: Costs = field(default_factory=Costs)


@dataclass(frozen=True, slots=True)
class Loop:
    """What a contender can do: carry out an assignment to its answer, and say what it stored."""

    run: Callable[[Assignment], Awaitable[str]]
    kept: Callable[[], Awaitable[Kept]]
    explain: Callable[[Callable[[], Awaitable[object]]], Awaitable[Explained]] | None = None


async def answer_orders(loop: Loop) -> None:
    """Do what stdin asks until it closes."""
    _say({})
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        match order["do"]:
            case "run":
                _say(await _run(loop, order))
            case "kept":
                _say(asdict(await loop.kept()))
            case "explain" if loop.explain:
                _say(asdict(await loop.explain(lambda order=order: _run(loop, order))))
            case other:
                raise ValueError(f"Nobody knows how to {other}.")


async def _run(loop: Loop, order: Mapping[str, Any]) -> dict[str, Any]:
    """Carry out one assignment a key, `lanes` at a time."""
    places = asyncio.Semaphore(order["lanes"])

    async def one(key: str) -> dict[str, Any]:
        async with places:
            began = time.monotonic()
            answer = await loop.run(Assignment(key, order["turns"], order["result_bytes"]))
            return {"answer": answer, "seconds": time.monotonic() - began}

    began = time.monotonic()
    keys: Sequence[str] = order["keys"]
    runs = await asyncio.gather(*(one(key) for key in keys))
    return {"seconds": time.monotonic() - began, "runs": runs}


async def stored_in(database_url: str) -> tuple[int, int]:
    """Bytes of a database on disk, and bytes of write-ahead log its server has written."""
    query = "SELECT pg_database_size(current_database()), pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        row = await (await connection.execute(query)).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def _say(what: Mapping[str, Any]) -> None:
    print(json.dumps(what), flush=True)
