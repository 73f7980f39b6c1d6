"""Whole stacks for the golden stories: the real services over the test process's PostgreSQL and Temporal."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from services.cli.client import operator_clients
from services.cli.embedded import EmbeddedTemporal
from services.cli.stack import Ports, running_stack
from services.cli.state import Secrets, StateDirectory
from tests.conftest import PostgresCluster
from tests.e2e.story import SCRIPT, Story, make_repository

RunStory = Callable[..., AbstractAsyncContextManager[Story]]


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small real repository with history, decisions and a specification."""

    return make_repository(tmp_path_factory.mktemp("repository") / "shop")


@pytest.fixture(scope="session")
def credentials() -> Secrets:
    """One set for all stacks: making an RSA key takes long."""
    return Secrets.fresh()


@pytest.fixture
def story(
    postgres: PostgresCluster,
    temporal: EmbeddedTemporal,
    repository: Path,
    credentials: Secrets,
    tmp_path: Path,
) -> RunStory:
    """A stack in this process with a pull request to comment on: `async with story() as s`."""

    @asynccontextmanager
    async def run(
        script: list[Mapping[str, object]] | None = None, *, with_worker: bool = True, **environment: str
    ) -> AsyncIterator[Story]:
        database = await postgres.lend()
        log = tmp_path / "provider-calls.log"
        chosen = tmp_path / "script.json"
        chosen.write_text(json.dumps({"": SCRIPT if script is None else script}))
        state = StateDirectory(tmp_path / "state")
        state.keep(credentials)
        known = {
            "DATABASE_URL": database.service,
            "RELAY_DATABASE_URL": database.relay,
            **postgres.token_variables(),
            "OPERATOR_DATABASE_URL": database.operator,
            "TEMPORAL_ADDRESS": temporal.address,
            "DEFAULT_MODEL": "scripted",
            "MODELS_SCRIPT": str(chosen),
            "MODELS_SCRIPT_LOG": str(log),
            "WORKER_HEARTBEAT_SECONDS": "2",
            "RELAY_LEASE_SECONDS": "2",
            **environment,
        }
        async with (
            running_stack(state, Ports.free(), known, with_worker=with_worker) as stack,
            operator_clients(state.path, {}) as clients,
        ):
            slug = f"acme/shop-{secrets.token_hex(4)}"
            told = Story(stack, clients, log, slug, state.path, stack.sandbox_url)
            await told.open_pull_request(repository)
            try:
                yield told
            finally:
                await told.close()
        await postgres.give_back(database)

    return run
