"""The installed wheel, and a cluster of its services over the test process's PostgreSQL and Temporal."""

from __future__ import annotations

import contextlib
import secrets
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from services.cli.client import operator_clients
from services.cli.embedded import EmbeddedTemporal
from services.cli.sandbox import Sandbox, start_sandbox
from services.cli.state import RunningStack, Secrets
from tests.conftest import DatabaseUrls, PostgresCluster
from tests.e2e.story import Story, make_repository
from tests.processes import chart
from tests.processes.names import serving_names
from tests.processes.pods import PORTS, Cluster
from tests.processes.wheel import Installed, build_wheel, install, lend_dependencies

RunInstallation = Callable[..., AbstractAsyncContextManager[tuple[Cluster, Story]]]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The checkout's wheel in an environment of its own, with dependencies lent to it."""
    made = install(build_wheel(tmp_path_factory.mktemp("wheel")), tmp_path_factory.mktemp("installed"))
    lend_dependencies(made)
    return made


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_repository(tmp_path_factory.mktemp("repository") / "shop")


@pytest.fixture(scope="session")
def credentials() -> Secrets:
    return Secrets.fresh()


@pytest.fixture
def installation(
    installed: Installed,
    postgres: PostgresCluster,
    temporal: EmbeddedTemporal,
    credentials: Secrets,
    tmp_path: Path,
) -> RunInstallation:
    """An empty database migrated, every service started: `async with installation() as (cluster, story)`."""

    @asynccontextmanager
    async def run(model: str = "", **models_settings: str) -> AsyncIterator[tuple[Cluster, Story]]:
        if sys.platform != "linux":
            pytest.skip("only Linux has all of 127/8 on the loopback")
        database = postgres.urls(f"test_{secrets.token_hex(6)}")
        await postgres.execute(f"CREATE DATABASE {database.name}")
        async with contextlib.AsyncExitStack() as exits:
            sandbox = await start_sandbox(
                webhook_secret=credentials.webhook_secret, app_private_key=credentials.app_private_key, port=0
            )
            exits.push_async_callback(sandbox.server.stop)
            chosen = chart.values(temporal.address, sandbox.environment, model, models_settings)
            environments = chart.environments(chosen, secrets_of(postgres, database, sandbox))
            names = await exits.enter_async_context(serving_names())
            cluster = Cluster(installed.astra, environments, chart.grace_seconds(chosen), names, tmp_path)
            cluster.on_gateway = sandbox.deliver_to
            await cluster.run_job("migrate", environment=environments[chart.MIGRATION])
            exits.push_async_callback(cluster.kill_stragglers)
            exits.push_async_callback(cluster.end_all)
            for role in PORTS:
                await cluster.start(role)
            stack = stack_of(cluster, postgres, database, sandbox, temporal)
            clients = await exits.enter_async_context(
                operator_clients(
                    tmp_path,
                    {
                        "ASTRA_TOKEN": stack.operator_token,
                        "ASTRA_ADDRESS": stack.astra_address,
                        "DISPATCHER_ADDRESS": stack.dispatcher_address,
                    },
                )
            )
            log = tmp_path / "provider-calls.log"
            told = Story(stack, clients, log, f"acme/{database.name}", tmp_path, sandbox.url)
            exits.push_async_callback(told.close)
            yield cluster, told
        await postgres.drop(database)

    return run


def secrets_of(
    postgres: PostgresCluster, database: DatabaseUrls, sandbox: Sandbox
) -> dict[str, dict[str, str]]:
    """Each role's Secret, holding what its values say it must."""
    stores = {"DATABASE_URL": database.service, "RELAY_DATABASE_URL": database.relay}
    own: dict[str, dict[str, str]] = {
        "astra": stores,
        "dispatcher": stores | {"GITHUB_WEBHOOK_SECRET": sandbox.environment["GITHUB_WEBHOOK_SECRET"]},
        "tools": {"GITHUB_APP_PRIVATE_KEY": sandbox.environment["GITHUB_APP_PRIVATE_KEY"]},
    }
    passwords = {
        f"{role.upper()}_DATABASE_PASSWORD": getattr(postgres.passwords, role)
        for role in ("service", "relay", "operator")
    }
    migration = {"OWNER_DATABASE_URL": database.owner, **passwords, **postgres.token_variables()}
    return {
        chart.MIGRATION: migration,
        **{role: {"ASTRA_TOKEN": postgres.tokens[role], **own.get(role, {})} for role in PORTS},
    }


def stack_of(
    cluster: Cluster,
    postgres: PostgresCluster,
    database: DatabaseUrls,
    sandbox: Sandbox,
    temporal: EmbeddedTemporal,
) -> RunningStack:
    """The installation as the smoke and the stories know a stack."""
    return RunningStack(
        pid=0,
        gateway_url=cluster.gateway_url,
        **{f"{role}_address": cluster.address_of(role) for role in PORTS if role != "gateway"},
        temporal_address=temporal.address,
        temporal_ui_url="",
        sandbox_url=sandbox.url,
        operator_token=postgres.tokens["operator"],
        api_key=postgres.tokens["api"],
        operator_database_url=database.operator,
        ready_seconds=0,
    )
