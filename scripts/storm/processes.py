"""The platform as separate processes that can be killed one by one: the services, PostgreSQL, Temporal.

The vendors' stand-in lives in this process and is never killed: vendors do not go down with us. Nothing
outlives this process, however it ends, because each child runs under a keeper.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil
from cryptography.fernet import Fernet

from services.astra.migrate import RolePasswords, migrate
from services.astra.seed import seed
from services.cli.embedded import SUPERUSER, EmbeddedPostgres, EmbeddedServer, EmbeddedTemporal
from services.cli.kept import HOST, EmbeddedError, Kept, is_free, tail
from services.cli.sandbox import Sandbox, start_sandbox
from services.cli.state import Secrets

PORTS: Mapping[str, str] = {
    "astra": "ASTRA_PORT",
    "models": "MODELS_PORT",
    "tools": "TOOLS_PORT",
    "dispatcher": "DISPATCHER_PORT",
    "worker": "WORKER_HEALTH_PORT",
    "gateway": "GATEWAY_PORT",
}
"""The services with the variable of each one's port."""
STORES = ("postgresql", "temporal")
PORT_MIN, PORT_MAX = 20_000, 32_000
"""Below the ports that systems give to outgoing connections: while we are down nobody may take ours."""
READY_SECONDS_MAX = 120.0
START_ATTEMPTS_MAX = 20
AGAIN_SECONDS = 0.5
"""Before another start: what the killed one held is taken back, what it needs may be back."""
POLL_SECONDS = 0.1
END_SECONDS = 10
PLANE_CALLS_PER_MINUTE = 100_000
"""As somebody sets it who runs Plane: sixty calls a minute would make the storm last an hour."""
DATABASE = "postgres"
BRIEFLY = {
    **dict.fromkeys(
        (
            "GITHUB_SETTLE_SECONDS",
            "SLACK_SETTLE_SECONDS",
            "PLANE_SETTLE_SECONDS",
            "GOOGLE_SETTLE_SECONDS",
        ),
        "1",
    ),
    "CATCH_UP_INTERVAL_SECONDS": "5",
    "SWEEP_INTERVAL_SECONDS": "2",
    "ASTRA_SWEEP_INTERVAL_SECONDS": "2",
    "RELAY_LEASE_SECONDS": "10",
    "WORKER_HEARTBEAT_SECONDS": "3",
}
"""Waits that are minutes long in production."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the platform is found, and how to look into it as an operator."""

    gateway_url: str
    operator: Mapping[str, str]
    """What the commands' stubs are made from."""
    operator_database_url: str
    temporal: str
    sandbox: Sandbox


class Processes:
    """Every part by name. `kill` and `start` are for one part at a time."""

    def __init__(
        self,
        folder: Path,
        ports: Mapping[str, int],
        stores: Mapping[str, EmbeddedServer],
        environments: Mapping[str, Mapping[str, str]],
    ) -> None:
        self._folder = folder
        self._ports = ports
        self._stores = stores
        self._environments = environments
        self._services: dict[str, Kept] = {}

    @property
    def parts(self) -> tuple[str, ...]:
        """All that can be killed."""
        return (*self._environments, *self._stores)

    async def kill(self, part: str) -> None:
        """SIGKILL it, with the children it has; return once it is gone."""
        server = self._stores.get(part) or self._services[part]
        _kill(server.pid)
        await server.exited()

    async def start(self, part: str) -> None:
        """Start it and return once it listens; again if it ends before, as its supervisor would.

        Raises EmbeddedError with the end of its log.
        """
        for attempt in range(1, START_ATTEMPTS_MAX + 1):
            try:
                await (self._stores[part].start() if part in self._stores else self._start_service(part))
            except EmbeddedError:
                if attempt == START_ATTEMPTS_MAX:
                    raise
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                return

    async def stop(self) -> None:
        """End the services, callers before those they call."""
        for service in reversed(list(self._services.values())):
            await service.stop()

    def log(self, part: str) -> Path:
        """What a service wrote down."""
        return self._folder / "logs" / f"{part}.log"

    async def _start_service(self, part: str) -> None:
        command = [sys.executable, "-m", "services.cli.main", "serve", part]
        service = await Kept.start(
            command, signal.SIGTERM, END_SECONDS, self.log(part), environment=self._environments[part]
        )
        self._services[part] = await service.ready(part, self._listens(part))

    async def _listens(self, part: str) -> None:
        while True:
            try:
                _, writer = await asyncio.open_connection(HOST, self._ports[part])
            except OSError:
                await asyncio.sleep(POLL_SECONDS)
                continue
            writer.close()
            return


@asynccontextmanager
async def running(folder: Path, script: Path) -> AsyncGenerator[tuple[Processes, Addresses]]:
    """The whole platform, ready, its model speaking from `script`; everything ended afterwards."""
    secrets = Secrets.fresh()
    ports = _free_ports((*PORTS, *STORES))
    (folder / "logs").mkdir(parents=True)
    async with AsyncExitStack() as exits:
        logs = folder / "logs"
        postgres = EmbeddedPostgres(
            folder / "postgres", ports["postgresql"], logs / "postgresql.log", secrets.superuser_password
        )
        temporal = EmbeddedTemporal(folder / "temporal", ports["temporal"], None, logs / "temporal.log")
        await exits.enter_async_context(postgres)
        await exits.enter_async_context(temporal)
        sandbox = await start_sandbox(
            webhook_secret=secrets.webhook_secret,
            app_private_key=secrets.app_private_key,
            port=0,
            plane_calls_per_minute=PLANE_CALLS_PER_MINUTE,
        )
        exits.push_async_callback(sandbox.server.stop)
        owner = postgres.dsn(SUPERUSER, secrets.superuser_password, DATABASE)
        await asyncio.to_thread(migrate, owner, RolePasswords(**secrets.role_passwords))
        await asyncio.to_thread(seed, owner, secrets.tokens)
        shared = {
            **{name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ},
            "HOME": str(folder),
            **BRIEFLY,
            **sandbox.environment,
            **{f"{name.upper()}_ADDRESS": f"{HOST}:{ports[name]}" for name in (*PORTS, "temporal")},
            "DATABASE_URL": postgres.dsn("astra_service", secrets.role_passwords["service"], DATABASE),
            "RELAY_DATABASE_URL": postgres.dsn("astra_relay", secrets.role_passwords["relay"], DATABASE),
            "WORKSPACE_DIR": str(folder / "workspace"),
            "CONSOLE_SESSION_KEY": Fernet.generate_key().decode(),
            "DEFAULT_MODEL": "scripted",
            "MODELS_SCRIPT": str(script),
        }
        environments = {
            name: {**shared, variable: str(ports[name]), "ASTRA_TOKEN": secrets.tokens[name]}
            for name, variable in PORTS.items()
        }
        processes = Processes(folder, ports, {"postgresql": postgres, "temporal": temporal}, environments)
        exits.push_async_callback(processes.stop)
        await asyncio.gather(*(processes.start(name) for name in PORTS))
        gateway_url = f"http://{HOST}:{ports['gateway']}"
        await _ready(gateway_url, processes.log("gateway"))
        await sandbox.deliver_to(gateway_url)
        operator = {name: shared[name] for name in ("ASTRA_ADDRESS", "DISPATCHER_ADDRESS", "TOOLS_ADDRESS")}
        yield (
            processes,
            Addresses(
                gateway_url=gateway_url,
                operator=operator | {"ASTRA_TOKEN": secrets.tokens["operator"]},
                operator_database_url=postgres.dsn(
                    "astra_operator", secrets.role_passwords["operator"], DATABASE
                ),
                temporal=temporal.address,
                sandbox=sandbox,
            ),
        )


async def _ready(gateway_url: str, log: Path) -> None:
    """Wait until the gateway and all it leans on are ready."""
    try:
        async with asyncio.timeout(READY_SECONDS_MAX), aiohttp.ClientSession() as session:
            while True:
                async with session.get(f"{gateway_url}/readyz") as answer:
                    if answer.ok:
                        return
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise EmbeddedError(f"The platform did not get ready:\n{tail(log)}") from None


def _kill(pid: int) -> None:
    """A server and its children at once, as when a machine loses power: no child tidies up after it."""
    try:
        server = psutil.Process(pid)
        family = [*server.children(recursive=True), server]
    except psutil.NoSuchProcess:
        return
    server.suspend()  # it shall make no new ones meanwhile
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


def _free_ports(names: tuple[str, ...]) -> dict[str, int]:
    """A port for each, the same through every restart."""
    candidates = random.sample(range(PORT_MIN, PORT_MAX), PORT_MAX - PORT_MIN)
    free = (port for port in candidates if is_free(port))
    return dict(zip(names, free, strict=False))
