"""Kill the process between each pair of records: the run completes, once, and nothing is left open.

The stack runs as a process of its own and is killed by SIGKILL exactly at the named point (see
`services/common/crashpoints.py`), then started again. PostgreSQL, Temporal and the GitHub stand-in live on,
as they would.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from services.cli.client import operator_clients
from services.cli.embedded import EmbeddedTemporal
from services.cli.sandbox import start_sandbox
from services.cli.state import RunningStack, Secrets, StateDirectory
from services.common.crashpoints import CrashPoint
from tests.conftest import PostgresCluster
from tests.e2e.story import PATIENCE_SECONDS, SCRIPT, Story

pytestmark = pytest.mark.crash

ISSUE = {"title": "Carts are small", "body": "Seen in src/cart.py:1."}
WRITING: list[dict[str, object]] = [
    {
        "tool_calls": [
            {"name": "repo_list_files", "arguments": {}},
            {"name": "github_create_issue", "arguments": ISSUE},
        ]
    },
    *SCRIPT[1:],
]
"""The usual story, whose first turn also changes something outside of the thread."""
CHARGED_NOT_CALLED = {CrashPoint.SPEND_RESERVED}
"""After this one nobody can know whether the provider was called, so the record says it was."""


class StackProcess:
    """`astra up` as a child of the test."""

    def __init__(self, state: Path, environment: dict[str, str]) -> None:
        self._state = StateDirectory(state)
        self._environment = environment

    @asynccontextmanager
    async def running(self, **more: str) -> AsyncIterator[asyncio.subprocess.Process]:
        with (self._state.path.parent / "stack.log").open("a") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "services.cli.main", "up", "--free-ports"),
                *("--state", str(self._state.path)),
                env={**os.environ, **self._environment, **more},
                stdout=asyncio.subprocess.DEVNULL,
                stderr=log,
            )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), PATIENCE_SECONDS)

    async def ready(self, process: asyncio.subprocess.Process) -> RunningStack:
        """Wait until it has published where it listens."""
        path = self._state.path / "stack.json"
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                assert process.returncode is None, (self._state.path.parent / "stack.log").read_text()[-3000:]
                if path.exists() and json.loads(path.read_text())["pid"] == process.pid:
                    return RunningStack(**json.loads(path.read_text()))
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("point", list(CrashPoint))
async def test_a_run_survives_sigkill_at(
    point: CrashPoint,
    postgres: PostgresCluster,
    temporal: EmbeddedTemporal,
    repository: Path,
    credentials: Secrets,
    tmp_path: Path,
):
    database = await postgres.create()
    (tmp_path / "script.json").write_text(json.dumps({"": WRITING}))
    log = tmp_path / "provider-calls.log"
    sandbox = await start_sandbox(
        webhook_secret=credentials.webhook_secret, app_private_key=credentials.app_private_key, port=0
    )
    stacks = StackProcess(
        tmp_path / "state",
        {
            **sandbox.environment,
            "DATABASE_URL": database.service,
            "RELAY_DATABASE_URL": database.relay,
            **postgres.token_variables(),
            "OPERATOR_DATABASE_URL": database.operator,
            "TEMPORAL_ADDRESS": temporal.address,
            "DEFAULT_MODEL": "scripted",
            "MODELS_SCRIPT": str(tmp_path / "script.json"),
            "MODELS_SCRIPT_LOG": str(log),
            "WORKER_HEARTBEAT_SECONDS": "2",
            "RELAY_LEASE_SECONDS": "2",
            "GITHUB_SETTLE_SECONDS": "0.5",
        },
    )
    StateDirectory(tmp_path / "state").keep(credentials)
    marker = tmp_path / "killed"
    async with contextlib.AsyncExitStack() as exits:
        exits.push_async_callback(sandbox.server.stop)
        async with stacks.running(ASTRA_CRASH_POINT=point, ASTRA_CRASH_MARKER=str(marker)) as doomed:
            stack = await stacks.ready(doomed)
            async with operator_clients(tmp_path / "state", {}) as clients:
                slug = f"acme/shop-{secrets.token_hex(4)}"
                told = Story(stack, clients, log, slug, tmp_path / "state", sandbox.url)
                exits.push_async_callback(told.close)
                await told.open_pull_request(repository)
            await sandbox.deliver_to(stack.gateway_url)
            await told.comment("@atlas how is the cart built?")
            await asyncio.wait_for(doomed.wait(), PATIENCE_SECONDS)
            assert -signal.SIGKILL == doomed.returncode
        assert marker.exists()
        async with stacks.running() as second:
            await stacks.ready(second)
            (run,) = await told.settled()
            assert await workflow_closes(temporal, run["workflow_id"])
        assert "success" == run["outcome"]
        posts = await told.posts()
        assert 1 == len(posts)
        assert posts[0].startswith("[T0] ")
        assert 1 == await issues_opened(told)
        turns = await told.rows("SELECT count(*) AS n FROM transcript_turns WHERE role = 'assistant'")
        abandoned = await told.rows("SELECT count(*) AS n FROM spend_reservations WHERE status = 'abandoned'")
        assert abandoned[0]["n"] <= 1
        unmade = 1 if point in CHARGED_NOT_CALLED else 0
        assert turns[0]["n"] + abandoned[0]["n"] - unmade == told.provider_calls()
    await postgres.drop(database)


async def issues_opened(told: Story) -> int:
    """How many issues the run opened: everything after the pull request it was asked on."""
    opened = 0
    while True:  # bounded by what is there
        try:
            found = await told.admin("GET", f"threads/{told.slug}/{told.number + opened + 1}")
        except aiohttp.ClientResponseError:
            return opened
        assert ISSUE["title"] == found["title"]
        opened += 1


async def workflow_closes(temporal: EmbeddedTemporal, workflow_id: str) -> bool:
    """Wait until Temporal shows the thread's workflow closed."""
    client = await Client.connect(temporal.address)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            described = await client.get_workflow_handle(workflow_id).describe()
            if described.status == WorkflowExecutionStatus.COMPLETED:
                return True
            await asyncio.sleep(0.05)
