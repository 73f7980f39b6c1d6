"""The gRPC doors of a running stack, and runs behind them that nobody else works on.

A run made here is recorded as the dispatcher records it, but no workflow is woken for it: its attempts are
the test's own.
"""

from __future__ import annotations

import base64
import itertools
import json
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

import services.astra.main
import services.tools.main
from aucert.astra.v1.budget_pb2 import CAP_KIND_RUN
from aucert.astra.v1.budget_service_pb2 import ReserveSpendRequest, SetCapRequest
from aucert.astra.v1.budget_service_pb2_grpc import BudgetServiceStub
from aucert.astra.v1.repository_service_pb2 import RegisterRepositoryRequest
from aucert.astra.v1.repository_service_pb2_grpc import RepositoryServiceStub
from aucert.astra.v1.task_run_service_pb2 import BeginAttemptRequest, CreateTaskRunRequest
from aucert.astra.v1.task_run_service_pb2_grpc import TaskRunServiceStub
from aucert.astra.v1.transcript_service_pb2 import CommitTurnRequest
from aucert.astra.v1.transcript_service_pb2_grpc import TranscriptServiceStub
from aucert.common.v1.thread_pb2 import (
    SOURCE_GITHUB,
    SOURCE_MANUAL,
    GitHubThread,
    ManualThread,
    ThreadAddress,
)
from aucert.models.v1.message_pb2 import ROLE_ASSISTANT, Message, Part
from services.astra.settings import AstraSettings
from services.cli import sandbox
from services.cli.embedded import EmbeddedTemporal
from services.cli.stack import Ports, running_stack
from services.cli.state import RunningStack, StateDirectory
from services.common import metadata as keys
from services.common.channels import connect
from services.tools.settings import ToolsSettings
from tests.conftest import DatabaseUrls, PostgresCluster
from tests.e2e.story import git, make_repository

SHOP = "acme/shop"
GITHUB_INSTALLATION = 1
VAULT_KEY = "doors:" + base64.b64encode(b"d" * 32).decode()
NOBODY = "127.0.0.1:1"
"""Where nothing listens."""
SCRIPT = {
    "": [{"text": "Done."}],
    "too fast": [{"error": "rate_limited:7"}],
    "out of order": [{"error": "unavailable"}],
    "not like this": [{"error": "refused"}],
    "too much": [{"error": "context_exceeded"}],
    "say that": [{"error": "filtered"}],
}
"""What the scripted model does when somebody says the words."""

Metadata = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt on a run."""

    task_run_id: str
    fence: int


@dataclass
class Doors:
    """`clone_url` is a repository with a symlink `link`, and a commit on the branch `aside` only."""

    stack: RunningStack
    tokens: Mapping[str, str]
    postgres: PostgresCluster
    clone_url: str
    folder: Path
    _channels: dict[tuple[str, str], grpc.aio.Channel] = field(default_factory=dict)
    _thread_seq: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def to(self, service: str, principal: str) -> grpc.aio.Channel:
        """A channel to a service of the stack, as a principal."""
        if (service, principal) not in self._channels:
            address = getattr(self.stack, f"{service}_address")
            self._channels[service, principal] = connect(address, self.tokens[principal])
        return self._channels[service, principal]

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close()

    async def repository(
        self, slug: str = SHOP, clone_url: str = "", source_containers: Sequence[str] = ()
    ) -> str:
        """Register a repository, by default the shop; returns its id."""
        request = RegisterRepositoryRequest(
            slug=slug, clone_url=clone_url or self.clone_url, source_containers=source_containers
        )
        stub: Any = RepositoryServiceStub(self.to("astra", "operator"))
        return (await stub.RegisterRepository(request)).repository.repository_id

    async def run(
        self, *, repository_id: str = "", address: ThreadAddress | None = None, trusted: bool = False
    ) -> str:
        """Record a queued run in a thread of its own; returns its id."""
        run_id, place = str(uuid.uuid4()), address or ThreadAddress(manual=ManualThread())
        request = CreateTaskRunRequest(
            task_run_id=run_id,
            agent_slug="atlas",
            thread_id=str(uuid.uuid4()),
            thread_event_id=str(uuid.uuid4()),
            thread_seq=next(self._thread_seq),
            workflow_id=f"default/manual/{run_id}",
            source=SOURCE_GITHUB if place.HasField("github") else SOURCE_MANUAL,
            address=place,
            operation="answer",
            model_alias="scripted",
            model_label="T0",
            message="How is the cart built?",
            repository_id=repository_id,
            requester_trusted=trusted,
        )
        stub: Any = TaskRunServiceStub(self.to("astra", "dispatcher"))
        await stub.CreateTaskRun(request)
        return run_id

    async def attempt(self, run_id: str = "", *, address: ThreadAddress | None = None) -> Attempt:
        """Begin an attempt on a run, by default a new one."""
        run_id = run_id or await self.run(address=address)
        stub: Any = TaskRunServiceStub(self.to("astra", "worker"))
        begun = await stub.BeginAttempt(BeginAttemptRequest(task_run_id=run_id, worker="test"))
        return Attempt(run_id, begun.fence)

    async def reserve(self, attempt: Attempt, usd_micros: int = 0) -> str:
        """Set money aside for a model call; returns the reservation's id."""
        request = ReserveSpendRequest(
            task_run_id=attempt.task_run_id,
            fence=attempt.fence,
            model_alias="scripted",
            reserved_usd_micros=usd_micros,
        )
        stub: Any = BudgetServiceStub(self.to("astra", "worker"))
        return (await stub.ReserveSpend(request)).reservation.spend_reservation_id

    async def capped_attempt(self, usd_micros: int) -> Attempt:
        """Begin an attempt on a run that may spend this much."""
        attempt = await self.attempt()
        request = SetCapRequest(
            kind=CAP_KIND_RUN, task_run_id=attempt.task_run_id, limit_usd_micros=usd_micros
        )
        await BudgetServiceStub(self.to("astra", "operator")).SetCap(request)
        return attempt

    async def commit_turn(self, attempt: Attempt, reservation: str, *parts: Part) -> None:
        """Record what the model said for a reservation."""
        request = CommitTurnRequest(
            task_run_id=attempt.task_run_id,
            fence=attempt.fence,
            spend_reservation_id=reservation,
            message=Message(role=ROLE_ASSISTANT, parts=parts),
            model_alias="scripted",
            model_label="T0",
            prompt_sha256="0" * 64,
        )
        await TranscriptServiceStub(self.to("astra", "worker")).CommitTurn(request)

    async def in_run(self, repository_id: str = "") -> Metadata:
        """The metadata of a tool call inside a new run; it may read a repository."""
        return [(keys.TASK_RUN, await self.run(repository_id=repository_id))]

    async def issue(self) -> ThreadAddress:
        """Open an issue at the stand-in for GitHub, without telling anyone."""
        await self.sandbox("github/repositories", {"repository": SHOP})
        wanted = {"repository": SHOP, "title": "Cart", "deliver": False}
        return thread((await self.sandbox("github/issues", wanted))["number"])

    async def sandbox(self, path: str, body: Mapping[str, object]) -> Any:
        return await sandbox.call(self.stack.sandbox_url, "POST", f"/_sandbox/{path}", body)


def thread(number: int) -> ThreadAddress:
    """The address of an issue, whether or not it is there."""
    place = GitHubThread(repository=SHOP, repository_id=1, number=number, installation_id=GITHUB_INSTALLATION)
    return ThreadAddress(github=place)


@asynccontextmanager
async def opened(
    postgres: PostgresCluster, temporal: EmbeddedTemporal, folder: Path, **more: str
) -> AsyncIterator[Doors]:
    """Run a stack, with a repository to read, until the block is left; `more` is of its environment."""
    script = folder / "script.json"
    script.write_text(json.dumps(SCRIPT))
    state, database = StateDirectory(folder / "state"), await postgres.create()
    environment = {
        "DATABASE_URL": database.service,
        "RELAY_DATABASE_URL": database.relay,
        **postgres.token_variables(),
        "OPERATOR_DATABASE_URL": database.operator,
        "TEMPORAL_ADDRESS": temporal.address,
        "DEFAULT_MODEL": "scripted",
        "MODELS_SCRIPT": str(script),
        "OPENAI_BASE_URL": "",
        "GITHUB_SETTLE_SECONDS": "0",
        "VAULT_KEY": VAULT_KEY,
        **more,
    }
    async with running_stack(state, Ports.free(), environment) as stack:
        clone_url = str(_make_shop(folder / "shop"))
        doors = Doors(stack, dict(postgres.tokens), postgres, clone_url, folder)
        try:
            yield doors
        finally:
            await doors.close()
    await postgres.drop(database)


@asynccontextmanager
async def connected(address: str, token: str) -> AsyncIterator[grpc.aio.Channel]:
    channel = connect(address, token)
    try:
        yield channel
    finally:
        await channel.close()


@asynccontextmanager
async def tools_of_its_own(doors: Doors, **settings: Any) -> AsyncIterator[grpc.aio.Channel]:
    """A tools service on the stack's Astra, configured otherwise; the channel is the worker's."""
    usual: dict[str, Any] = {
        "ASTRA_ADDRESS": doors.stack.astra_address,
        "ASTRA_TOKEN": doors.tokens["tools"],
        "TOOLS_PORT": 0,
        "WORKSPACE_DIR": doors.folder / "workspace",
        "_env_file": None,
    }
    serving = services.tools.main.running(ToolsSettings(**{**usual, **settings}))
    async with serving as server, connected(server.address, doors.tokens["worker"]) as channel:
        yield channel


@asynccontextmanager
async def astra_of_its_own(doors: Doors) -> AsyncIterator[tuple[Any, DatabaseUrls]]:
    """An Astra on a database to break, without a vault: the worker's stub, and the database."""
    async with astra_without_a_vault(doors, "worker") as (channel, database):
        yield TaskRunServiceStub(channel), database


@asynccontextmanager
async def astra_without_a_vault(
    doors: Doors, principal: str
) -> AsyncIterator[tuple[grpc.aio.Channel, DatabaseUrls]]:
    """An Astra on a database of its own that has no VAULT_KEY: a principal's channel, and the database."""
    database, tokens = await doors.postgres.create(), doors.postgres.tokens
    settings = AstraSettings(
        DATABASE_URL=database.service,
        RELAY_DATABASE_URL=database.relay,
        ASTRA_TOKEN=tokens["astra"],
        ASTRA_PORT=0,
        _env_file=None,
    )
    serving = services.astra.main.running(settings)
    try:
        async with serving as server, connected(server.address, tokens[principal]) as channel:
            yield channel, database
    finally:
        await doors.postgres.drop(database)


def _make_shop(path: Path) -> Path:
    make_repository(path)
    (path / "link").symlink_to("README.md")
    git(path, "add", "link")
    git(path, "commit", "--quiet", "--message", "Link")
    git(path, "checkout", "--quiet", "-b", "aside")
    git(path, "commit", "--quiet", "--allow-empty", "--message", "Aside")
    git(path, "checkout", "--quiet", "main")
    return path
