"""How a command runs and ends: progress to stderr, one line for what a person can act on, an exit code."""

from __future__ import annotations

import asyncio
import errno
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

import grpc
import typer

from services.common.errors import from_rpc
from services.common.told import ToldToPeople


def say(line: str) -> None:
    """Progress, to stderr."""
    print(line, file=sys.stderr, flush=True)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run an asynchronous command."""
    import uvloop  # noqa: PLC0415 - `astra --help` need not load it

    return report(lambda: uvloop.run(work))


def report(work: Callable[[], Any]) -> Any:
    """Do the work; what a person can act on becomes one line on stderr and exit code 1."""
    try:
        return work()
    except BaseExceptionGroup as group:
        error = _first(group)
    except Exception as alone:  # noqa: BLE001 - sorted below; the unforeseen is raised again
        error = alone
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise typer.Exit(128 + signal.SIGINT) from None
    if isinstance(error, grpc.aio.AioRpcError):
        _fail(from_rpc(error).message)
    if isinstance(error, TimeoutError):
        _fail("It took too long. `astra runs list` shows where it stands.")
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        _fail(f"{error.strerror}. Stop the other program, or use --free-ports.")
    if isinstance(error, ToldToPeople):
        _fail(str(error))
    _fail_if_settings(error)
    raise error


def _fail_if_settings(error: BaseException) -> None:
    from pydantic import ValidationError  # noqa: PLC0415 - only a service that starts reads settings

    if isinstance(error, ValidationError):
        _fail("; ".join(f"{each['loc'][0]}: {each['msg']}" for each in error.errors(include_input=False)))


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of a group that is not a group itself."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _fail(message: str) -> NoReturn:
    print(f"astra: {message}", file=sys.stderr)
    raise typer.Exit(1)
