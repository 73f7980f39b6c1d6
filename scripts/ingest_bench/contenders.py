"""The contenders of the bench: their processes, where they take webhooks, and what is in their tables.

Astra is run as the chart runs it: gateway, dispatcher and its record are processes of their own that speak
gRPC to each other, at the log level they have in production. Nobody else is there: Temporal, models and tools
are away, as they may be while webhooks come in. All tables are in one PostgreSQL, which syncs every commit;
contenders take turns, so none writes while another is measured.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psycopg

from scripts.ingest_bench.webhooks import SECRET
from scripts.loop_bench.processes import PROGRAMS, WrongResult, tree_cpu_seconds
from services.astra.migrate import RolePasswords, migrate
from services.astra.principals import PRINCIPALS
from services.astra.seed import seed
from services.cli.embedded import SUPERUSER, EmbeddedPostgres

HOST = "127.0.0.1"
PATH = "/webhooks/slack"
READY_SECONDS_MAX = 60.0
POLL_SECONDS = 0.1
END_SECONDS_MAX = 20.0
DRAINED_SECONDS_MAX = 300.0
NAMES = ("astra", "reference", "slack_bolt")
_SURROUNDINGS = ("PATH", "HOME", "LANG", "TMPDIR")
"""All that the processes see of the environment of whoever runs the bench."""
_KEPT = {
    "astra": b"SELECT external_id, sha256(body) FROM webhook_deliveries WHERE external_id = ANY(%s)",
    "reference": b"SELECT external_id, sha256(body) FROM deliveries WHERE external_id = ANY(%s)",
}
_LIVE = b"SELECT count(*) FROM webhook_deliveries WHERE status IN ('pending', 'leased')"


@dataclass(frozen=True, slots=True)
class Contender:
    """Somebody who takes webhooks. `database_url` empty: nothing is stored.

    `pids`: its processes by name. PostgreSQL's is the one all of them use.
    """

    name: str
    url: str
    status: str
    pids: Mapping[str, int]
    database_url: str = ""

    def cpu_seconds(self) -> dict[str, float]:
        """User and system time of each of its processes so far."""
        return {
            name: sum(tree_cpu_seconds(pid)[each] for each in (*PROGRAMS, "other"))
            for name, pid in self.pids.items()
        }

    async def kept(self, names: list[str]) -> dict[str, bytes]:
        """SHA-256 of the bodies that are in its table under these names."""
        async with await psycopg.AsyncConnection.connect(self.database_url) as connection:
            rows = await (await connection.execute(_KEPT[self.name], [names])).fetchall()
        return {name: bytes(digest) for name, digest in rows}

    async def settled(self) -> None:
        """Wait until nothing is left to do for what was taken. Raises TimeoutError."""
        if self.name != "astra":
            return
        async with (
            asyncio.timeout(DRAINED_SECONDS_MAX),
            await psycopg.AsyncConnection.connect(self.database_url, autocommit=True) as connection,
        ):
            while await _live(connection):  # noqa: ASYNC110 - it happens in other processes
                await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def contenders(folder: Path) -> AsyncIterator[list[Contender]]:
    """Start PostgreSQL and all contenders; they end with the block."""
    async with AsyncExitStack() as exits:
        server = EmbeddedPostgres(folder / "postgres", None, folder / "postgres.log")
        await exits.enter_async_context(server)
        home = _Home(exits, folder, server)
        yield [await _astra(home), await _reference(home), await _bolt(home)]


@dataclass(frozen=True, slots=True)
class _Home:
    exits: AsyncExitStack
    folder: Path
    server: EmbeddedPostgres

    def owner_url(self, database: str) -> str:
        return self.server.dsn(SUPERUSER, self.server.superuser_password, database)

    async def create(self, database: str) -> str:
        """A new database; its owner's URL."""
        url = self.owner_url("postgres")
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute(f"CREATE DATABASE {database}".encode())
        return self.owner_url(database)

    async def start(self, name: str, *command: str, environment: Mapping[str, str]) -> int:
        """Start a Python module in a folder of its own; its process id."""
        place = self.folder / name
        await asyncio.to_thread(place.mkdir)
        seen = {key: os.environ[key] for key in _SURROUNDINGS if key in os.environ}
        log = await asyncio.to_thread((place / "log").open, "wb")
        self.exits.callback(log.close)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", *command), cwd=place, env={**seen, **environment}, stdout=log, stderr=log
        )
        self.exits.push_async_callback(_end, process)
        return process.pid


async def _astra(home: _Home) -> Contender:
    owner = await home.create("astra")
    passwords = RolePasswords(*(secrets.token_urlsafe(16) for _ in range(3)))
    tokens = {name: secrets.token_urlsafe(16) for name in PRINCIPALS}
    await asyncio.to_thread(migrate, owner, passwords)
    await asyncio.to_thread(seed, owner, tokens)
    ports = {name: str(_free_port()) for name in ("astra", "dispatcher", "gateway")}
    environment = {
        **{f"{name.upper()}_PORT": port for name, port in ports.items()},
        **{f"{name.upper()}_ADDRESS": f"{HOST}:{port}" for name, port in ports.items()},
        "DATABASE_URL": home.server.dsn("astra_service", passwords.service, "astra"),
        "RELAY_DATABASE_URL": home.server.dsn("astra_relay", passwords.relay, "astra"),
        "SLACK_SIGNING_SECRET": SECRET,
        "TEMPORAL_ADDRESS": f"{HOST}:1",
        "TOOLS_ADDRESS": f"{HOST}:1",
        "MODELS_ADDRESS": f"{HOST}:1",
    }
    modules = {
        "astra": "services.astra.main",
        "dispatcher": "services.dispatcher.main",
        "gateway": "gateway.main",
    }
    pids = {"postgres": home.server.pid}
    for name, module in modules.items():
        own = {**environment, "ASTRA_TOKEN": tokens[name]}
        pids[name] = await home.start(name, module, environment=own)
    base = f"http://{HOST}:{ports['gateway']}"
    await _answering("astra", f"{base}/readyz", of_any_status=False)
    return Contender("astra", base + PATH, "202", pids, owner)


async def _reference(home: _Home) -> Contender:
    owner, port = await home.create("reference"), _free_port()
    module = "scripts.ingest_bench.reference"
    pid = await home.start("reference", module, str(port), environment={"DATABASE_URL": owner})
    await _answering("reference", f"http://{HOST}:{port}/", of_any_status=True)
    pids = {"postgres": home.server.pid, "handler": pid}
    return Contender("reference", f"http://{HOST}:{port}{PATH}", "202", pids, owner)


async def _bolt(home: _Home) -> Contender:
    port = _free_port()
    pid = await home.start("slack_bolt", "scripts.ingest_bench.bolt", str(port), environment={})
    await _answering("slack_bolt", f"http://{HOST}:{port}/", of_any_status=True)
    return Contender("slack_bolt", f"http://{HOST}:{port}{PATH}", "200", {"handler": pid})


async def _live(connection: psycopg.AsyncConnection) -> bool:
    row = await (await connection.execute(_LIVE)).fetchone()
    return row is not None and row[0] > 0


async def _answering(name: str, url: str, *, of_any_status: bool) -> None:
    """Return once the URL is answered, with 200 where any status would not do. Raises WrongResult."""
    deadline = asyncio.get_running_loop().time() + READY_SECONDS_MAX
    async with aiohttp.ClientSession() as session:
        while asyncio.get_running_loop().time() < deadline:
            try:
                async with session.get(url) as response:
                    if of_any_status or response.ok:
                        return
            except aiohttp.ClientError:
                pass  # it does not listen yet
            await asyncio.sleep(POLL_SECONDS)
    raise WrongResult(f"{name} was not ready within {READY_SECONDS_MAX:g} s")


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(END_SECONDS_MAX):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]
