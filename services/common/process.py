"""The outer shell of a process: uvloop, SIGTERM and SIGINT, and leaving in order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import uvloop


def run_until_signal(running: Callable[[], AbstractAsyncContextManager[Any]]) -> None:
    """Enter `running`, wait for SIGTERM or SIGINT, leave it. A second signal ends the process at once."""

    async def until_signal() -> None:
        stop = stop_signal()
        async with running():
            await stop.wait()

    uvloop.run(until_signal())


def stop_signal() -> asyncio.Event:
    """An event set by the first SIGTERM or SIGINT; a second one has its usual effect."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        stop.set()
        loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    return stop
