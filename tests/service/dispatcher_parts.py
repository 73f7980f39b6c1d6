"""A real dispatcher on a real database, between in-memory stand-ins for the services it calls."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from aucert.astra.v1 import (
    agent_pb2,
    agent_service_pb2,
    agent_service_pb2_grpc,
    budget_service_pb2,
    budget_service_pb2_grpc,
    principal_pb2,
    principal_service_pb2,
    principal_service_pb2_grpc,
    repository_pb2,
    repository_service_pb2,
    repository_service_pb2_grpc,
    task_run_pb2,
    task_run_service_pb2,
    task_run_service_pb2_grpc,
)
from aucert.common.v1.scope_pb2 import Scope
from aucert.dispatcher.v1.delivery_pb2 import Delivery, Header
from aucert.dispatcher.v1.dispatcher_service_pb2_grpc import DispatcherServiceStub
from aucert.models.v1 import model_pb2, model_service_pb2, model_service_pb2_grpc
from aucert.tools.v1 import (
    catch_up_service_pb2,
    catch_up_service_pb2_grpc,
    drive_changes_service_pb2,
    drive_changes_service_pb2_grpc,
    thread_service_pb2,
    thread_service_pb2_grpc,
)
from services.astra.principals import PRINCIPALS
from services.astra.seed import DEFAULT_TENANT_ID
from services.common.caller import Principal
from services.common.channels import connect
from services.common.errors import NotFound, ServiceError, Unauthenticated, Unavailable
from services.common.identity import token_digest
from services.common.server import Registration, serve
from services.dispatcher.domain import Bell
from services.dispatcher.main import running
from services.dispatcher.settings import DispatcherSettings

SAMPLES = Path(__file__).parents[1] / "samples" / "github"
SECRET = "webhook-secret"
CONTAINERS = (
    "github:acme/shop",
    "slack:t0acme/c0shop",
    "slack:t0acme/im",
    "plane:45b87d89-0ce0-4d6f-8903-4070f1c67f1b",
    "google-drive:folder/1FolderId",
)
HANDLED = ("github", "slack", "plane", "google-drive")
AGENT_ID = str(uuid.UUID(int=7))
REPOSITORY_ID = str(uuid.UUID(int=42))
MODELS = {"rehearsal": "R0", "kimi": "K26", "opus": "O47"}
SETTLED_SECONDS = 15


class EveryScope:
    """Lets every token into the stand-ins."""

    async def principal(self, token: str) -> Principal:
        return Principal(token, DEFAULT_TENANT_ID, frozenset(Scope.values()))


@dataclass
class World(
    principal_service_pb2_grpc.PrincipalServiceServicer,
    agent_service_pb2_grpc.AgentServiceServicer,
    repository_service_pb2_grpc.RepositoryServiceServicer,
    task_run_service_pb2_grpc.TaskRunServiceServicer,
    budget_service_pb2_grpc.BudgetServiceServicer,
    model_service_pb2_grpc.ModelServiceServicer,
    thread_service_pb2_grpc.ThreadServiceServicer,
    catch_up_service_pb2_grpc.CatchUpServiceServicer,
    drive_changes_service_pb2_grpc.DriveChangesServiceServicer,
):
    """Astra, models and tools as the dispatcher sees them. `failing`: method name to what it answers."""

    tenants: dict[str, str] = field(default_factory=lambda: {"default": DEFAULT_TENANT_ID})
    runs: dict[str, task_run_pb2.TaskRun] = field(default_factory=dict)
    stops: list[task_run_service_pb2.RequestStopRequest] = field(default_factory=list)
    raises: list[budget_service_pb2.RaiseCapsRequest] = field(default_factory=list)
    acknowledged: list[int | str] = field(default_factory=list)
    fetched: list[thread_service_pb2.FetchThreadRequest] = field(default_factory=list)
    scanned: list[catch_up_service_pb2.ScanContainerRequest] = field(default_factory=list)
    logs_read: list[catch_up_service_pb2.RetryDeliveriesRequest] = field(default_factory=list)
    missed: list[catch_up_service_pb2.ScanContainerResponse] = field(default_factory=list)
    readings: dict[str, list[catch_up_service_pb2.ScanContainerResponse]] = field(default_factory=dict)
    channels: dict[str, drive_changes_service_pb2.RegisterChannelRequest] = field(default_factory=dict)
    channel_life: timedelta = timedelta(days=1)
    refused_addresses: set[str] = field(default_factory=set)
    stopped: list[str] = field(default_factory=list)
    signing_keys: dict[str, str] = field(default_factory=dict)
    keys_asked: int = 0
    talks: dict[str, thread_service_pb2.FetchThreadResponse] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    failing: dict[str, ServiceError] = field(default_factory=dict)

    def _may_fail(self, method: str) -> None:
        if method in self.failing:
            self.failed.append(method)
            raise self.failing[method]

    async def AuthenticatePrincipal(self, request, context):
        for name, scopes in PRINCIPALS.items():
            if request.token_sha256 == token_digest(f"{name}-token"):
                found = principal_pb2.Principal(name=name, tenant_id=DEFAULT_TENANT_ID, scopes=scopes)
                return principal_service_pb2.AuthenticatePrincipalResponse(principal=found)
        raise Unauthenticated("Nobody has this token.")

    async def ResolveTenant(self, request, context):
        for slug, tenant_id in self.tenants.items():
            if request.slug == slug or request.tenant_id == tenant_id:
                return principal_service_pb2.ResolveTenantResponse(tenant_id=tenant_id, slug=slug)
        raise NotFound("No tenant has this name.", reason="TENANT_NOT_FOUND")

    async def ListTenants(self, request, context):
        return principal_service_pb2.ListTenantsResponse(tenant_ids=sorted(self.tenants.values()))

    async def ListAgents(self, request, context):
        self._may_fail("ListAgents")
        handles = [agent_pb2.Handle(source=source, name="atlas") for source in HANDLED]
        return agent_service_pb2.ListAgentsResponse(
            agents=[agent_pb2.Agent(agent_id=AGENT_ID, slug="atlas", handles=handles)]
        )

    async def GetRepository(self, request, context):
        if request.slug != "acme/shop" and request.source_container not in CONTAINERS:
            raise NotFound("No repository has this name.", reason="REPOSITORY_NOT_FOUND")
        found = repository_pb2.Repository(repository_id=REPOSITORY_ID, slug="acme/shop")
        return repository_service_pb2.GetRepositoryResponse(repository=found)

    async def ListRepositories(self, request, context):
        found = repository_pb2.Repository(repository_id=REPOSITORY_ID, source_containers=CONTAINERS)
        return repository_service_pb2.ListRepositoriesResponse(repositories=[found])

    async def ScanContainer(self, request, context):
        self._may_fail("ScanContainer")
        self.scanned.append(request)
        if self.missed and request.container == "slack:t0acme/c0shop":
            return self.missed.pop(0)
        if self.readings.get(request.container):
            return self.readings[request.container].pop(0)
        return catch_up_service_pb2.ScanContainerResponse(next_cursor=request.cursor or "0")

    async def RetryDeliveries(self, request, context):
        self._may_fail("RetryDeliveries")
        self.logs_read.append(request)
        return catch_up_service_pb2.RetryDeliveriesResponse(next_cursor=f"{request.cursor}.", retried_count=1)

    async def RegisterChannel(self, request, context):
        self._may_fail("RegisterChannel")
        if request.address in self.refused_addresses:
            raise Unavailable("Google does not like the address.", reason="VENDOR_UNAVAILABLE")
        self.channels[request.channel_id] = request
        response = drive_changes_service_pb2.RegisterChannelResponse(
            resource_id=f"resource-{len(self.channels)}", watches_log=not request.file_id
        )
        response.expiration_time.FromDatetime(datetime.now(UTC) + self.channel_life)
        return response

    async def StopChannel(self, request, context):
        self._may_fail("StopChannel")
        self.stopped.append(request.channel_id)
        return drive_changes_service_pb2.StopChannelResponse()

    async def ListSigningKeys(self, request, context):
        self._may_fail("ListSigningKeys")
        self.keys_asked += 1
        response = drive_changes_service_pb2.ListSigningKeysResponse(
            keys=[
                drive_changes_service_pb2.SigningKey(key_id=key_id, public_key_pem=pem)
                for key_id, pem in self.signing_keys.items()
            ]
        )
        response.expiration_time.FromDatetime(datetime.now(UTC) + timedelta(hours=1))
        return response

    async def ResolveModel(self, request, context):
        self._may_fail("ResolveModel")
        if request.model_alias and request.model_alias not in MODELS:
            raise NotFound("No model has this alias.", reason="MODEL_NOT_FOUND")
        asked = (
            [request.model_alias] if request.model_alias else [tag for tag in request.tags if tag in MODELS]
        )
        models = [model_pb2.Model(alias=alias, label=MODELS[alias]) for alias in asked or ["rehearsal"]]
        return model_service_pb2.ResolveModelResponse(models=models)

    async def CreateTaskRun(self, request, context):
        self._may_fail("CreateTaskRun")
        known = {each.name for each in task_run_pb2.TaskRun.DESCRIPTOR.fields}
        same = {each.name: value for each, value in request.ListFields() if each.name in known}
        run = self.runs.setdefault(request.task_run_id, task_run_pb2.TaskRun(**same))
        return task_run_service_pb2.CreateTaskRunResponse(task_run=run)

    async def GetTaskRun(self, request, context):
        if request.task_run_id not in self.runs:
            raise NotFound("No run has this id.", reason="TASK_RUN_NOT_FOUND")
        return task_run_service_pb2.GetTaskRunResponse(task_run=self.runs[request.task_run_id])

    async def RequestStop(self, request, context):
        self.stops.append(request)
        return task_run_service_pb2.RequestStopResponse()

    async def RaiseCaps(self, request, context):
        self._may_fail("RaiseCaps")
        self.raises.append(request)
        return budget_service_pb2.RaiseCapsResponse()

    async def Acknowledge(self, request, context):
        self.acknowledged.append(request.address.github.item_id or request.address.slack.item_ts)
        return thread_service_pb2.AcknowledgeResponse()

    async def FetchThread(self, request, context):
        self._may_fail("FetchThread")
        self.fetched.append(request)
        if request.address.HasField("github"):
            return thread_service_pb2.FetchThreadResponse(address=request.address)
        plane = request.address.plane
        return self.talks[request.address.slack.item_ts or plane.comment_id or plane.work_item_id]


@asynccontextmanager
async def serving(world: World) -> AsyncIterator[str]:
    """The stand-ins behind one address."""
    registrations = [
        Registration(f"aucert.{package}.{name}", getattr(module, f"add_{name}Servicer_to_server"), world)
        for package, name, module in (
            ("astra.v1", "PrincipalService", principal_service_pb2_grpc),
            ("astra.v1", "AgentService", agent_service_pb2_grpc),
            ("astra.v1", "RepositoryService", repository_service_pb2_grpc),
            ("astra.v1", "TaskRunService", task_run_service_pb2_grpc),
            ("astra.v1", "BudgetService", budget_service_pb2_grpc),
            ("models.v1", "ModelService", model_service_pb2_grpc),
            ("tools.v1", "ThreadService", thread_service_pb2_grpc),
            ("tools.v1", "CatchUpService", catch_up_service_pb2_grpc),
            ("tools.v1", "DriveChangesService", drive_changes_service_pb2_grpc),
        )
    ]
    async with serve(
        name="world", host="127.0.0.1", port=0, registrations=registrations, authenticator=EveryScope()
    ) as server:
        yield server.address


@dataclass
class RecordingRinger:
    """Remembers whom it rang; raises `failure` while there is one, and for threads that are `refused`."""

    rung: list[str] = field(default_factory=list)
    failure: ServiceError | None = None
    refused: set[str] = field(default_factory=set)

    async def ring(self, bell: Bell) -> None:
        if self.failure is not None:
            raise self.failure
        if bell.thread_id in self.refused:
            raise ServiceError("This one cannot be rung.")
        self.rung.append(bell.workflow_id)


@dataclass
class Stage:
    """All a test looks at or turns."""

    world: World
    ringer: RecordingRinger
    world_address: str
    address: str
    owner_url: str
    gateway: Any
    operator: Any
    worker: Any

    async def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        async with await psycopg.AsyncConnection.connect(
            self.owner_url, autocommit=True, row_factory=dict_row
        ) as connection:
            cursor = await connection.execute(query, values)  # pyright: ignore[reportArgumentType]
            return await cursor.fetchall() if cursor.description else []

    async def delivery(self, delivery_id: str) -> dict[str, Any]:
        (row,) = await self.rows("SELECT * FROM webhook_deliveries WHERE id = %s", delivery_id)
        return row

    async def settled(self, delivery_id: str, *statuses: str) -> dict[str, Any]:
        """The delivery once it has one of the statuses (else: done, ignored or dead)."""
        wanted = statuses or ("done", "ignored", "dead")

        async def reached() -> dict[str, Any] | None:
            row = await self.delivery(delivery_id)
            return row if row["status"] in wanted else None

        return await until(reached)


async def until(look: Callable[[], Awaitable[Any]]) -> Any:
    """What `look` finds, as soon as it finds something."""
    async with asyncio.timeout(SETTLED_SECONDS):
        while not (found := await look()):
            await asyncio.sleep(0.01)
        return found


@asynccontextmanager
async def staged(
    urls: Any, *, secret: str = SECRET, app_id: str = "770001", signing_secret: str = SECRET, **more: object
) -> AsyncIterator[Stage]:
    """A dispatcher with its database and world. `urls` as the fixture `database_urls` gives them."""
    async with AsyncExitStack() as stack:
        world, ringer = World(), RecordingRinger()
        world_address = await stack.enter_async_context(serving(world))
        settings = DispatcherSettings.model_validate(
            {
                "DISPATCHER_PORT": 0,
                "ASTRA_TOKEN": "dispatcher-token",
                "DATABASE_URL": urls.service,
                "RELAY_DATABASE_URL": urls.relay,
                "ASTRA_ADDRESS": world_address,
                "MODELS_ADDRESS": world_address,
                "TOOLS_ADDRESS": world_address,
                "GITHUB_WEBHOOK_SECRET": secret,
                "GITHUB_APP_ID": app_id,
                "GITHUB_APP_SLUG": "astra-atlas",
                "SLACK_SIGNING_SECRET": signing_secret,
                "PLANE_WEBHOOK_SECRET": SECRET,
                **more,
            }
        )
        server = await stack.enter_async_context(running(settings, ringer=ringer))
        stubs = []
        for name in ("gateway", "operator", "worker"):
            channel = connect(server.address, f"{name}-token")
            stack.push_async_callback(channel.close)
            stubs.append(DispatcherServiceStub(channel))
        yield Stage(world, ringer, world_address, server.address, urls.owner, *stubs)


def payload(
    name: str = "issue_comment_created", *, body: str | None = None, item_id: int = 0
) -> dict[str, Any]:
    """A recorded payload, its words and the id of what was written changed at will."""
    told = json.loads((SAMPLES / f"{name}.json").read_text())
    item = told.get("comment") or told.get("issue") or told.get("pull_request")
    if body is not None:
        item["body"] = body
    if item_id:
        item["id"] = item_id
    return told


def webhook(
    told: dict[str, Any] | None = None,
    *,
    event: str = "issue_comment",
    guid: str = "",
    secret: str = SECRET,
    source: str = "github",
    tenant: str = "",
    without: str = "",
) -> Delivery:
    """A signed delivery as the gateway hands it in."""
    body = json.dumps(payload() if told is None else told).encode()
    headers = github_headers(body, event=event, guid=guid, secret=secret)
    headers.pop(without, None)
    return Delivery(
        source=source,
        tenant=tenant,
        headers=[Header(name=name, value=value) for name, value in headers.items()],
        body=body,
    )


def github_headers(body: bytes, *, event: str, guid: str = "", secret: str = SECRET) -> dict[str, str]:
    """GitHub's headers over a body."""
    return {
        "Content-Type": "application/json",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": guid or str(uuid.uuid4()),
        "X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
    }
