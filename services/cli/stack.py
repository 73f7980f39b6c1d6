"""All of Astra in one process: what `astra up`, `astra smoke` and the end-to-end tests run.

The services are the ones the chart deploys, started through their own `running()` and speaking gRPC to
each other; only PostgreSQL, Temporal and the vendors' stand-in are added where the environment names none.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from cryptography.fernet import Fernet

import gateway.main
import services.astra.main
import services.dispatcher.main
import services.models.main
import services.tools.main
import services.worker.main
from gateway.settings import GatewaySettings
from services.astra.migrate import RolePasswords, migrate
from services.astra.seed import seed
from services.astra.settings import AstraSettings
from services.cli.configuration import operators, tokens, unconfigured, wanted
from services.cli.embedded import SUPERUSER, EmbeddedPostgres, EmbeddedTemporal
from services.cli.sandbox import Sandbox, start_sandbox
from services.cli.state import RunningStack, Secrets, StateDirectory
from services.common.settings import ServiceSettings
from services.dispatcher.settings import DispatcherSettings
from services.models.settings import ModelsSettings
from services.tools.settings import ToolsSettings
from services.worker.settings import WorkerSettings

DATABASE = "postgres"
SettingsT = TypeVar("SettingsT", bound=ServiceSettings)


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the stack listens on 127.0.0.1; 0 takes a free one."""

    gateway: int = 8080
    astra: int = 7001
    dispatcher: int = 7002
    models: int = 7003
    tools: int = 7004
    worker: int = 7005
    sandbox: int = 8090
    temporal: int | None = 7233
    temporal_ui: int | None = 8233

    @classmethod
    def free(cls) -> Ports:
        """Whatever is free, and no Temporal web page."""
        return cls(0, 0, 0, 0, 0, 0, 0, None, None)


@dataclass(frozen=True, slots=True)
class DatabaseUrls:
    """One URL a role that services and people connect as."""

    service: str
    relay: str
    operator: str


@asynccontextmanager
async def running_stack(
    state: StateDirectory, ports: Ports, environment: Mapping[str, str], *, with_worker: bool = True
) -> AsyncIterator[RunningStack]:
    """Run everything until the block is left. Raises StackRunning while another process does.

    `environment` is what the services are configured by; what it leaves out is embedded or made up. Without
    the worker, runs wait for one started on its own (`astra serve worker`), in a debugger for example.
    """
    started = time.monotonic()
    with state.owned():
        async with AsyncExitStack() as exits:
            secrets = state.secrets()
            if environment.get("DATABASE_URL"):
                secrets = replace(secrets, tokens=tokens(environment))
            urls, temporal_address, temporal_ui = await _stores(exits, state, secrets, ports, environment)
            sandbox = await _sandbox(exits, secrets, ports, environment)
            shared = {
                **environment,
                "TEMPORAL_ADDRESS": temporal_address,
                "WORKSPACE_DIR": environment.get("WORKSPACE_DIR") or str(state.workspace),
                **(sandbox.environment if sandbox else {}),
            }
            stack = await _services(exits, shared, urls, secrets, ports, with_worker=with_worker)
            if sandbox:
                await sandbox.deliver_to(stack.gateway_url)
            published = RunningStack(
                **asdict(stack),
                pid=os.getpid(),
                temporal_address=temporal_address,
                temporal_ui_url=temporal_ui,
                sandbox_url=sandbox.url if sandbox else "",
                operator_token=secrets.tokens["operator"],
                api_key=secrets.tokens["api"],
                operator_database_url=urls.operator,
                ready_seconds=round(time.monotonic() - started, 2),
            )
            state.publish(published)
            yield published


async def _stores(
    exits: AsyncExitStack,
    state: StateDirectory,
    secrets: Secrets,
    ports: Ports,
    environment: Mapping[str, str],
) -> tuple[DatabaseUrls, str, str]:
    """PostgreSQL, migrated and seeded, beside Temporal: each as named, or embedded."""
    temporal_address, temporal_ui = environment.get("TEMPORAL_ADDRESS", ""), ""
    temporal: EmbeddedTemporal | None = None
    async with asyncio.TaskGroup() as starting:
        database = starting.create_task(_database(exits, state, secrets, environment))
        if not temporal_address:
            temporal = EmbeddedTemporal(
                state.temporal, ports.temporal, ports.temporal_ui, state.logs / "temporal.log"
            )
            starting.create_task(exits.enter_async_context(temporal))
    if temporal is not None:
        temporal_address = temporal.address
        temporal_ui = f"http://127.0.0.1:{temporal.ui_port}" if temporal.ui_port else ""
    return database.result(), temporal_address, temporal_ui


async def _database(
    exits: AsyncExitStack, state: StateDirectory, secrets: Secrets, environment: Mapping[str, str]
) -> DatabaseUrls:
    if environment.get("DATABASE_URL"):
        service, relay = wanted(
            environment, ("DATABASE_URL", "RELAY_DATABASE_URL"), "a database of your own has both roles"
        )
        return DatabaseUrls(service, relay, environment.get("OPERATOR_DATABASE_URL", ""))
    server = EmbeddedPostgres(state.postgres, None, state.logs / "postgres.log", secrets.superuser_password)
    await exits.enter_async_context(server)
    owner = server.dsn(SUPERUSER, secrets.superuser_password, DATABASE)
    await asyncio.to_thread(migrate, owner, RolePasswords(**secrets.role_passwords))
    await asyncio.to_thread(seed, owner, secrets.tokens, operators=operators(environment))
    return DatabaseUrls(
        service=server.dsn("astra_service", secrets.role_passwords["service"], DATABASE),
        relay=server.dsn("astra_relay", secrets.role_passwords["relay"], DATABASE),
        operator=server.dsn("astra_operator", secrets.role_passwords["operator"], DATABASE),
    )


async def _sandbox(
    exits: AsyncExitStack, secrets: Secrets, ports: Ports, environment: Mapping[str, str]
) -> Sandbox | None:
    """The stand-in, for the vendors that the environment does not configure, even by half."""
    vendors = unconfigured(environment)
    if not vendors:
        return None
    sandbox = await start_sandbox(
        webhook_secret=secrets.webhook_secret,
        app_private_key=secrets.app_private_key,
        port=ports.sandbox,
        vendors=vendors,
    )
    exits.push_async_callback(sandbox.server.stop)
    return sandbox


@dataclass(frozen=True, slots=True)
class _Addresses:
    gateway_url: str
    astra_address: str
    dispatcher_address: str
    models_address: str
    tools_address: str
    worker_address: str


async def _services(
    exits: AsyncExitStack,
    environment: Mapping[str, str],
    urls: DatabaseUrls,
    secrets: Secrets,
    ports: Ports,
    *,
    with_worker: bool,
) -> _Addresses:
    """Start the services in the order they need each other, handing on the addresses they took."""
    known = {
        "CONSOLE_SESSION_KEY": Fernet.generate_key().decode(),  # sign-ins end with the stack
        **({} if environment.get("DATABASE_URL") else {"VAULT_KEY": secrets.vault_key}),
        **environment,
        "DATABASE_URL": urls.service,
        "RELAY_DATABASE_URL": urls.relay,
    }

    def settings(kind: type[SettingsT], principal: str, **ports_of: int) -> SettingsT:
        own = {
            "ASTRA_TOKEN": secrets.tokens[principal],
            **{name: str(port) for name, port in ports_of.items()},
        }
        names = {each.alias for each in kind.model_fields.values()}
        given: dict[str, Any] = {name: value for name, value in {**known, **own}.items() if name in names}
        return kind(**given, _env_file=None)  # pyright: ignore[reportCallIssue] - a keyword of pydantic-settings

    astra = await exits.enter_async_context(
        services.astra.main.running(settings(AstraSettings, "astra", ASTRA_PORT=ports.astra))
    )
    known["ASTRA_ADDRESS"] = astra.address
    models = await exits.enter_async_context(
        services.models.main.running(settings(ModelsSettings, "models", MODELS_PORT=ports.models))
    )
    known["MODELS_ADDRESS"] = models.address
    tools = await exits.enter_async_context(
        services.tools.main.running(settings(ToolsSettings, "tools", TOOLS_PORT=ports.tools))
    )
    known["TOOLS_ADDRESS"] = tools.address
    dispatcher = await exits.enter_async_context(
        services.dispatcher.main.running(
            settings(DispatcherSettings, "dispatcher", DISPATCHER_PORT=ports.dispatcher)
        )
    )
    known["DISPATCHER_ADDRESS"] = dispatcher.address
    worker_address = ""
    if with_worker:
        worker_settings = settings(WorkerSettings, "worker", WORKER_HEALTH_PORT=ports.worker)
        worker_address = (
            await exits.enter_async_context(services.worker.main.running(worker_settings))
        ).address
    known["WORKER_ADDRESS"] = worker_address
    door = await exits.enter_async_context(
        gateway.main.running(settings(GatewaySettings, "gateway", GATEWAY_PORT=ports.gateway))
    )
    return _Addresses(
        gateway_url=f"http://{door.address}",
        astra_address=astra.address,
        dispatcher_address=dispatcher.address,
        models_address=models.address,
        tools_address=tools.address,
        worker_address=worker_address,
    )
