"""The tools service on a stage: over real gRPC, with an Astra that keeps its record in memory."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from aucert.astra.v1 import (
    effect_service_pb2,
    principal_service_pb2,
    quota_service_pb2,
    repository_service_pb2,
    task_run_service_pb2,
    thread_post_service_pb2,
    token_vault_service_pb2,
)
from aucert.astra.v1.effect_pb2 import Effect
from aucert.astra.v1.effect_service_pb2_grpc import (
    EffectServiceServicer,
    add_EffectServiceServicer_to_server,
)
from aucert.astra.v1.principal_pb2 import Principal
from aucert.astra.v1.principal_service_pb2_grpc import (
    PrincipalServiceServicer,
    add_PrincipalServiceServicer_to_server,
)
from aucert.astra.v1.quota_pb2 import QuotaLease
from aucert.astra.v1.quota_service_pb2_grpc import (
    QuotaServiceServicer,
    add_QuotaServiceServicer_to_server,
)
from aucert.astra.v1.repository_pb2 import Repository
from aucert.astra.v1.repository_service_pb2_grpc import (
    RepositoryServiceServicer,
    add_RepositoryServiceServicer_to_server,
)
from aucert.astra.v1.task_run_pb2 import TaskRun
from aucert.astra.v1.task_run_service_pb2_grpc import (
    TaskRunServiceServicer,
    add_TaskRunServiceServicer_to_server,
)
from aucert.astra.v1.thread_post_pb2 import ThreadPost
from aucert.astra.v1.thread_post_service_pb2_grpc import (
    ThreadPostServiceServicer,
    add_ThreadPostServiceServicer_to_server,
)
from aucert.astra.v1.token_vault_service_pb2_grpc import (
    TokenVaultServiceServicer,
    add_TokenVaultServiceServicer_to_server,
)
from aucert.common.v1.scope_pb2 import Scope
from services.common import caller
from services.common import metadata as keys
from services.common.errors import NotFound, Refused, Unauthenticated
from services.common.identity import token_digest
from services.common.server import Registration, serve

TENANT = "6f1d3b52-58f5-4a41-9b8e-0d1f4c0f7a11"
WORKER, OUTSIDER = "worker-token", "outsider-token"
ALL_SCOPES = frozenset(Scope.values()) - {0}


class Everyone:
    """Lets every token in with every scope but the worker's."""

    async def principal(self, token: str) -> caller.Principal:
        return caller.Principal("tools", TENANT, ALL_SCOPES - {Scope.Value("SCOPE_RUNS_WORK")})


@dataclass
class Astra(
    EffectServiceServicer,
    PrincipalServiceServicer,
    QuotaServiceServicer,
    RepositoryServiceServicer,
    TaskRunServiceServicer,
    ThreadPostServiceServicer,
    TokenVaultServiceServicer,
):
    """As much of the record as the tools service asks for."""

    runs: dict[str, TaskRun] = field(default_factory=dict[str, TaskRun])
    repositories: dict[str, Repository] = field(default_factory=dict[str, Repository])
    posts: dict[tuple[str, int], list[ThreadPost]] = field(
        default_factory=dict[tuple[str, int], list[ThreadPost]]
    )
    effects: dict[str, Effect] = field(default_factory=dict[str, Effect])
    begins_allowed: int = 1_000
    asked: list[str] = field(default_factory=list[str])
    rival_commit: str = ""
    finish_fails: int = 0
    begins_left: int | None = None
    """How often the fence of a post still holds; None: always."""
    quota_keys: list[str] = field(default_factory=list[str])
    blocked_keys: list[str] = field(default_factory=list[str])

    def add_run(self, clone_url: Path | str | None, **fields: Any) -> str:
        run = TaskRun(task_run_id=str(uuid.uuid4()), tenant_id=TENANT, **fields)
        if clone_url is not None:
            run.repository_id = str(uuid.uuid5(uuid.NAMESPACE_URL, str(clone_url)))
            self.repositories[run.repository_id] = Repository(
                repository_id=run.repository_id, clone_url=str(clone_url)
            )
        self.runs[run.task_run_id] = run
        return run.task_run_id

    def add_repository(self, slug: str, clone_url: Path) -> None:
        known = str(uuid.uuid5(uuid.NAMESPACE_URL, slug))
        self.repositories[known] = Repository(repository_id=known, slug=slug, clone_url=str(clone_url))

    async def AuthenticatePrincipal(self, request: Any, context: Any) -> Any:
        known = {
            token_digest(WORKER): ALL_SCOPES,
            token_digest(OUTSIDER): {Scope.Value("SCOPE_TOOLS_CALL")},
        }
        if request.token_sha256 not in known:
            raise Unauthenticated("No such token.")
        principal = Principal(name="worker", tenant_id=TENANT, scopes=sorted(known[request.token_sha256]))
        return principal_service_pb2.AuthenticatePrincipalResponse(principal=principal)

    async def GetTaskRun(self, request: Any, context: Any) -> Any:
        self.asked.append("GetTaskRun")
        if request.task_run_id not in self.runs:
            raise NotFound("No such run.", reason="TASK_RUN_NOT_FOUND")
        return task_run_service_pb2.GetTaskRunResponse(task_run=self.runs[request.task_run_id])

    async def PinCommit(self, request: Any, context: Any) -> Any:
        self.asked.append("PinCommit")
        run = self.runs[request.task_run_id]
        run.commit = run.commit or self.rival_commit or request.commit
        return task_run_service_pb2.PinCommitResponse(commit=run.commit)

    async def GetRepository(self, request: Any, context: Any) -> Any:
        for each in self.repositories.values():
            named = request.WhichOneof("key") == "slug" and request.slug == each.slug
            if (
                named
                or request.repository_id == each.repository_id
                or (request.source_container in each.source_containers)
            ):
                return repository_service_pb2.GetRepositoryResponse(repository=each)
        raise NotFound("No such repository.", reason="REPOSITORY_NOT_FOUND")

    async def ListRepositories(self, request: Any, context: Any) -> Any:
        return repository_service_pb2.ListRepositoriesResponse(repositories=self.repositories.values())

    async def LeaseQuota(self, request: Any, context: Any) -> Any:
        """All that is wanted: what limits do is tried with the real Astra."""
        self.quota_keys.append(request.key)
        lease = QuotaLease(quota_lease_id=str(uuid.uuid4()), units=request.wanted_units)
        lease.timeout.FromSeconds(5)
        return quota_service_pb2.LeaseQuotaResponse(lease=lease)

    async def ReturnQuota(self, request: Any, context: Any) -> Any:
        return quota_service_pb2.ReturnQuotaResponse()

    async def BlockQuota(self, request: Any, context: Any) -> Any:
        self.blocked_keys.append(request.key)
        return quota_service_pb2.BlockQuotaResponse()

    async def OpenToken(self, request: Any, context: Any) -> Any:
        return token_vault_service_pb2.OpenTokenResponse(tenant_slug="default")

    async def ListTokens(self, request: Any, context: Any) -> Any:
        return token_vault_service_pb2.ListTokensResponse()

    async def BeginEffect(self, request: Any, context: Any) -> Any:
        if self.begins_allowed == 0:
            raise Refused("A newer attempt works on this run.", reason="FENCE_STALE")
        self.begins_allowed -= 1
        key = f"{request.task_run_id}/{request.call_id}/{request.request_id}"
        created = key not in self.effects
        if created:
            self.effects[key] = Effect(effect_id=str(uuid.uuid4()))
            self.effects[key].created_time.GetCurrentTime()
        return effect_service_pb2.BeginEffectResponse(effect=self.effects[key], created=created)

    async def FinishEffect(self, request: Any, context: Any) -> Any:
        if self.finish_fails:
            self.finish_fails -= 1
            raise RuntimeError("the record is away")
        (found,) = [each for each in self.effects.values() if each.effect_id == request.effect_id]
        found.done, found.url, found.response_json = True, request.url, request.response_json
        return effect_service_pb2.FinishEffectResponse()

    async def BeginThreadPost(self, request: Any, context: Any) -> Any:
        if self.begins_left is not None:
            if not self.begins_left:
                raise Refused("A newer attempt works on this run.", reason="FENCE_STALE")
            self.begins_left -= 1
        key = (request.task_run_id, request.kind)
        created = key not in self.posts
        if created:
            self.posts[key] = [
                ThreadPost(thread_post_id=str(uuid.uuid4()), kind=request.kind, part=part, text=text)
                for part, text in enumerate(request.parts)
            ]
            for post in self.posts[key]:
                post.created_time.GetCurrentTime()
        return thread_post_service_pb2.BeginThreadPostResponse(posts=self.posts[key], created=created)

    async def FinishThreadPost(self, request: Any, context: Any) -> Any:
        if self.finish_fails:
            self.finish_fails -= 1
            raise RuntimeError("the record is away")
        found = [
            post
            for posts in self.posts.values()
            for post in posts
            if post.thread_post_id == request.thread_post_id
        ]
        found[0].posted, found[0].external_id, found[0].url = True, request.external_id, request.url
        return thread_post_service_pb2.FinishThreadPostResponse()


@asynccontextmanager
async def serving_astra() -> AsyncGenerator[tuple[Astra, str], None]:
    """The in-memory Astra and its address."""
    astra = Astra()
    adders = {
        "Effect": add_EffectServiceServicer_to_server,
        "Principal": add_PrincipalServiceServicer_to_server,
        "Quota": add_QuotaServiceServicer_to_server,
        "Repository": add_RepositoryServiceServicer_to_server,
        "TaskRun": add_TaskRunServiceServicer_to_server,
        "ThreadPost": add_ThreadPostServiceServicer_to_server,
        "TokenVault": add_TokenVaultServiceServicer_to_server,
    }
    registrations = [
        Registration(f"aucert.astra.v1.{name}Service", add, astra) for name, add in adders.items()
    ]
    async with serve(
        name="astra",
        host="127.0.0.1",
        port=0,
        registrations=registrations,
        authenticator=Everyone(),
        drain_seconds=0,
    ) as server:
        yield astra, server.address


def in_run(task_run_id: str, call_id: str = "t1_0") -> list[tuple[str, str]]:
    """The metadata of a tool call inside a run."""
    return [(keys.TASK_RUN, task_run_id), (keys.CALL_ID, call_id), (keys.FENCE, "1")]


def reason_of(error: grpc.aio.AioRpcError) -> tuple[grpc.StatusCode, str, float]:
    """Code, reason and retry delay in seconds of an error."""
    status = rpc_status.from_call(error)
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status.details:
        _ = detail.Unpack(info) or detail.Unpack(retry)
    return error.code(), info.reason, retry.retry_delay.ToTimedelta().total_seconds()


def git(folder: Path, *args: str) -> str:
    """Run git in a folder, as somebody."""
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *identity, *args], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def make_repository(folder: Path) -> Path:
    """A small repository with a README, code and a decision record."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q")
    for path, text in {
        "README.md": "# Shop\n\nSells things.\n",
        "src/orders.py": "def handle_order(order):\n    return order\n",
        "docs/adr/0007-use-grpc.md": "# 7. Use gRPC\n\nStatus: accepted\n",
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "Begin")
    return folder
