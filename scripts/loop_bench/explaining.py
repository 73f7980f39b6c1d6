"""Where Astra's time goes: statements in PostgreSQL and calls between services, read from their logs.

Logging every statement costs time itself, so runs that are explained are never the ones that are measured.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg

from scripts.loop_bench.contender import Costs
from services.common.logs import configure_logs

RELOAD_CHECKS_MAX, RELOAD_CHECK_SECONDS = 500, 0.01
"""How often, and how far apart, we look whether PostgreSQL has read its settings anew."""
SETTINGS = {"log_min_duration_statement": "0", "log_line_prefix": "%a|"}
_TIMED = re.compile(r"^(.*)\|LOG:  duration: ([0-9.]+) ms  (parse|bind|execute|statement)(?: [^:]*)?: (.*)$")
_TABLE = re.compile(r"\b(?:FROM|INTO|UPDATE)\s+(?:ONLY\s+)?([a-z_.]+)", re.IGNORECASE)
_NAME_CHARS_MAX = 60
_OWN_SESSIONS = "[unknown]"
"""The bench's sessions have no name; each service's have the service's."""
_OWN_CALL = "astra.v1.TaskRunService/WatchTaskRun"
"""How the bench follows a run: open as long as the run, it would count all its time once more."""


@asynccontextmanager
async def statements_logged(owner_url: str, log_file: Path) -> AsyncIterator[Costs]:
    """Have every statement logged within the block; the costs are there after it."""
    costs: Costs = []
    await _configure(owner_url, "ALTER SYSTEM SET {} = '{}'")
    begin = _size_bytes(log_file)
    try:
        yield costs
    finally:
        await _configure(owner_url, "ALTER SYSTEM RESET {}")
    costs.extend(_costs_since(begin, log_file))


def _size_bytes(log_file: Path) -> int:
    return log_file.stat().st_size


def _costs_since(begin: int, log_file: Path) -> Costs:
    with log_file.open() as log:
        log.seek(begin)
        return statement_costs(log)


async def _configure(owner_url: str, command: str) -> None:
    """Change the settings and wait until sessions have them. Raises TimeoutError."""
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as connection:
        for name, value in SETTINGS.items():
            await connection.execute(command.format(name, value).encode())
        loaded = "SELECT pg_conf_load_time()"
        before = await (await connection.execute(loaded)).fetchone()
        await connection.execute("SELECT pg_reload_conf()")
        for _ in range(RELOAD_CHECKS_MAX):
            if await (await connection.execute(loaded)).fetchone() != before:
                return
            await asyncio.sleep(RELOAD_CHECK_SECONDS)
    raise TimeoutError("PostgreSQL did not read its settings anew.")


@asynccontextmanager
async def rpcs_logged() -> AsyncIterator[Costs]:
    """Collect the line each call leaves at its service's door; the costs are there after the block."""
    costs: Costs = []
    lines = io.StringIO()
    configure_logs(level="INFO", stream=lines)
    try:
        yield costs
    finally:
        configure_logs(level="ERROR", stream=sys.stderr)
    costs.extend(rpc_costs(lines.getvalue().splitlines()))


def rpc_costs(lines: Iterable[str]) -> Costs:
    """Calls by method, the dearest first; the time is the serving side's, what it waits for included."""
    count, spent = defaultdict[str, int](int), defaultdict[str, float](float)
    for line in lines:
        entry = json.loads(line)
        name = str(entry.get("method", "")).removeprefix("/aucert.")
        if entry["event"] == "call" and name != _OWN_CALL:
            count[name] += 1
            spent[name] += entry["duration_ms"]
    return _dearest_first(count, spent)


def statement_costs(lines: Iterable[str]) -> Costs:
    """Statements by service, verb and table, the dearest first; parsing and binding count into the time."""
    count, spent = defaultdict[str, int](int), defaultdict[str, float](float)
    for service, milliseconds, phase, sql in _timed(lines):
        if service != _OWN_SESSIONS:
            name = f"{service}: {statement_name(sql)}"
            count[name] += phase in ("execute", "statement")
            spent[name] += milliseconds
    return _dearest_first(count, spent)


def statement_name(sql: str) -> str:
    """A statement's verb and first table; its beginning where it has no table."""
    sql = " ".join(sql.split())
    table = _TABLE.search(sql)
    return f"{sql.split()[0].upper()} {table[1]}" if table else sql[:_NAME_CHARS_MAX]


def _timed(lines: Iterable[str]) -> Iterable[tuple[str, float, str, str]]:
    """The timed statements of a log; lines after the first of a statement begin with a tab."""
    entries: list[str] = []
    for line in lines:
        if line.startswith("\t") and entries:
            entries[-1] += " " + line.strip()
        else:
            entries.append(line.rstrip("\n"))
    for entry in entries:
        if found := _TIMED.match(entry):
            yield found[1], float(found[2]), found[3], found[4]


def _dearest_first(count: dict[str, int], spent: dict[str, float]) -> Costs:
    return sorted(((name, count[name], spent[name]) for name in count), key=lambda each: -each[2])
