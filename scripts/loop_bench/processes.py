"""The bench's children: a contender that takes orders, the model's server, and the CPU time of a tree."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
READY_SECONDS_MAX = 60.0
ORDER_SECONDS_MAX = 300.0
END_SECONDS_MAX = 30.0
LINE_BYTES_MAX = 16 * 1024 * 1024
PROGRAMS = ("python", "postgres", "temporal")


class WrongResult(Exception):
    """A measured run did not do what it should have, or a contender ended."""


class Contender:
    """A process that takes orders; see `contender.py` for what they are."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self._process = process

    async def ask(self, what: str, **order: Any) -> dict[str, Any]:
        """Give an order and return its answer. Raises WrongResult when none comes."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError, ConnectionResetError):  # the answer that is missing tells it
            self._process.stdin.write(json.dumps({"do": what, **order}).encode() + b"\n")
            await self._process.stdin.drain()
        return await self.answer(ORDER_SECONDS_MAX)

    async def answer(self, seconds_max: float) -> dict[str, Any]:
        """Wait for the next answer. Raises WrongResult."""
        line = await _line(self._process, self.name, seconds_max)
        return json.loads(line)

    def cpu_seconds(self) -> dict[str, float]:
        """CPU time of the contender and all it started, its database and Temporal too, so far."""
        return tree_cpu_seconds(self._process.pid)


def tree_cpu_seconds(pid: int) -> dict[str, float]:
    """User and system time of a process and its descendants, by program.

    A descendant that ended counts with the one that waited for it.
    """
    root = psutil.Process(pid)
    spent: dict[str, float] = dict.fromkeys((*PROGRAMS, "other"), 0.0)
    for process in [root, *root.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):  # it ended just now
            times, name = process.cpu_times(), process.name()
            program = next((each for each in PROGRAMS if name.startswith(each)), "other")
            spent[program] += times.user + times.system + times.children_user + times.children_system
    return spent


@asynccontextmanager
async def contender(name: str, *arguments: str) -> AsyncIterator[Contender]:
    """Start `<name>_loop.py`; it is ready when this returns, and ends with the block."""
    async with child(f"scripts.loop_bench.{name}_loop", *arguments) as process:
        started = Contender(name, process)
        await started.answer(READY_SECONDS_MAX)
        yield started


@asynccontextmanager
async def model_server() -> AsyncIterator[str]:
    """Start the model; the base URL."""
    async with child("scripts.loop_bench.model_server") as process:
        yield (await _line(process, "model_server", READY_SECONDS_MAX)).strip()


@asynccontextmanager
async def child(module: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Python module as a child that is spoken to by its stdin, and ends when that closes."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_BYTES_MAX,
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(END_SECONDS_MAX):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _line(process: asyncio.subprocess.Process, name: str, seconds_max: float) -> str:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(seconds_max):
            line = await process.stdout.readline()
    except TimeoutError:
        raise WrongResult(f"{name} said nothing for {seconds_max:g} s") from None
    if not line:
        raise WrongResult(f"{name} ended; what it said is above")
    return line.decode()
