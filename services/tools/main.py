"""Builds and serves the tools service: the one place where its parts meet."""

from __future__ import annotations

import asyncio
import contextlib
from collections import ChainMap
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
import structlog

from aucert.astra.v1.effect_service_pb2_grpc import EffectServiceStub
from aucert.astra.v1.knowledge_base_service_pb2_grpc import KnowledgeBaseServiceStub
from aucert.astra.v1.principal_service_pb2_grpc import PrincipalServiceStub
from aucert.astra.v1.quota_service_pb2_grpc import QuotaServiceStub
from aucert.astra.v1.repository_service_pb2_grpc import RepositoryServiceStub
from aucert.astra.v1.task_run_service_pb2_grpc import TaskRunServiceStub
from aucert.astra.v1.thread_post_service_pb2_grpc import ThreadPostServiceStub
from aucert.astra.v1.token_vault_service_pb2_grpc import TokenVaultServiceStub
from aucert.models.v1.model_service_pb2_grpc import ModelServiceStub
from aucert.tools.v1.catch_up_service_pb2_grpc import add_CatchUpServiceServicer_to_server
from aucert.tools.v1.drive_changes_service_pb2_grpc import add_DriveChangesServiceServicer_to_server
from aucert.tools.v1.ingestion_service_pb2_grpc import add_IngestionServiceServicer_to_server
from aucert.tools.v1.thread_service_pb2_grpc import add_ThreadServiceServicer_to_server
from aucert.tools.v1.tool_service_pb2_grpc import add_ToolServiceServicer_to_server
from aucert.tools.v1.workspace_service_pb2_grpc import add_WorkspaceServiceServicer_to_server
from services.common.channels import connect
from services.common.dependencies import service_dependency
from services.common.identity import RemoteAuthenticator
from services.common.logs import configure_logs
from services.common.process import run_until_signal
from services.common.quotas.shared import SharedLimits
from services.common.server import Registration, RunningServer, serve
from services.tools.catalogue import ToolEntry, read_catalogue, shipped_image
from services.tools.catch_up_servicer import CatchUpServicer
from services.tools.collecting import collect_forever
from services.tools.credentials import Vault
from services.tools.drive_changes_servicer import DriveChangesServicer
from services.tools.effects import Effects
from services.tools.embedding import Embedding
from services.tools.external_calls import ExternalCalls
from services.tools.external_client import ExternalServer, external_servers
from services.tools.external_servers import read_servers
from services.tools.github_deliveries import GitHubDeliveries
from services.tools.github_history import GitHubCatcher
from services.tools.github_posts import GitHubPosts
from services.tools.google_catch_up import GoogleDriveCatcher
from services.tools.google_files import DriveFiles
from services.tools.google_posts import GoogleDrivePosts
from services.tools.ingestion_servicer import IngestionServicer
from services.tools.integrations import integrations, registration
from services.tools.kb_ingest import Ingestion
from services.tools.kb_sources import DriveSource, RepositorySource
from services.tools.knowledge_servicer import KnowledgeServicer
from services.tools.pace import Pace
from services.tools.plane_history import PlaneCatcher
from services.tools.plane_posts import PlanePosts
from services.tools.poster import Posters, RecordPoster
from services.tools.posting import Posting
from services.tools.redacting import redacted
from services.tools.redactor import Redactor
from services.tools.repository_heads import RepositoryHeads
from services.tools.run_context import RunContexts
from services.tools.settings import ToolsSettings
from services.tools.slack_history import SlackCatcher
from services.tools.slack_posts import SlackPosts
from services.tools.thread_servicer import ThreadServicer
from services.tools.tool_servicer import ToolServicer
from services.tools.vendors import Vendors, connect_vendors, secrets_in
from services.tools.workspace import Workspaces
from services.tools.workspace_servicer import WorkspaceServicer

log = structlog.get_logger()


@asynccontextmanager
async def running(settings: ToolsSettings) -> AsyncGenerator[RunningServer, None]:
    """Serve until the block is left. Raises CatalogueError or SchemaError at start-up."""
    async with AsyncExitStack() as stack:
        channel = connect(settings.astra_address, settings.astra_token.get_secret_value())
        stack.push_async_callback(channel.close)
        workspaces = Workspaces(
            settings.workspace_dir,
            bytes_max=settings.workspace_bytes_max,
            repository_bytes_max=settings.repository_bytes_max,
        )
        stack.push_async_callback(workspaces.objects.aclose)
        task_runs = TaskRunServiceStub(channel)
        redactor = Redactor(secrets_in(settings))
        redactor.add(key.get_secret_value() for key in settings.mcp_server_keys.values())
        vault = Vault(TokenVaultServiceStub(channel), redactor, settings.shared_with)
        limits = SharedLimits(QuotaServiceStub(channel))
        stack.push_async_callback(limits.aclose)
        vendors = connect_vendors(stack, settings, vault, Pace(limits))
        github, files = vendors.github, DriveFiles(vendors.google)
        repositories = RepositoryServiceStub(channel)
        heads = RepositoryHeads(repositories, workspaces, github)
        runs = RunContexts(task_runs, repositories, workspaces, github.clone_credential, heads)
        stack.push_async_callback(heads.aclose)
        stack.push_async_callback(runs.aclose)
        collecting = asyncio.create_task(collect_forever(workspaces, task_runs))
        stack.push_async_callback(_ended, collecting)
        posters = _posters(settings, vendors)
        threads = ThreadServicer(Posting(ThreadPostServiceStub(channel), posters), posters)
        catch_up = CatchUpServicer(
            {
                "github": GitHubCatcher(github),
                "google-drive": GoogleDriveCatcher(vendors.google, files),
                "plane": PlaneCatcher(vendors.plane),
                "slack": SlackCatcher(vendors.slack),
            },
            {"github": GitHubDeliveries(github)},
        )
        drive_changes = DriveChangesServicer(vendors.google, files)
        catalogue = read_catalogue(shipped_image())
        servers = await _servers(stack, settings, catalogue)
        effects = Effects(
            EffectServiceStub(channel),
            ChainMap(catalogue, *(each.entries for each in servers)),
            settle_seconds={**settings.settle_seconds, **dict.fromkeys((each.name for each in servers), 0.0)},
            redact=redactor.message,
        )
        knowledge, ingestion = _knowledge(stack, settings, channel, workspaces, vendors)
        typed = integrations(
            settings, vendors, files, runs, effects, knowledge, record=(task_runs, repositories)
        )
        external = ExternalCalls(servers, effects, task_runs)
        tools = ToolServicer(catalogue, {each.service: work for each, work in typed}, vault, external)
        server = serve(
            name="tools",
            host=settings.host,
            port=settings.port,
            registrations=[
                redacted(each, redactor)
                for each in (
                    *(each for each, _ in typed),
                    *_of_the_platform(tools, threads, catch_up, drive_changes, ingestion, runs),
                )
            ],
            authenticator=RemoteAuthenticator(PrincipalServiceStub(channel)),
            dependencies=[service_dependency("astra", channel)],
        )
        yield await stack.enter_async_context(server)


def _of_the_platform(
    tools: ToolServicer,
    threads: ThreadServicer,
    catch_up: CatchUpServicer,
    drive_changes: DriveChangesServicer,
    ingestion: IngestionServicer,
    runs: RunContexts,
) -> list[Registration]:
    """The services whose methods are no tools."""
    return [
        registration("Tool", add_ToolServiceServicer_to_server, tools),
        registration("Thread", add_ThreadServiceServicer_to_server, threads),
        registration("CatchUp", add_CatchUpServiceServicer_to_server, catch_up),
        registration("DriveChanges", add_DriveChangesServiceServicer_to_server, drive_changes),
        registration("Ingestion", add_IngestionServiceServicer_to_server, ingestion),
        registration("Workspace", add_WorkspaceServiceServicer_to_server, WorkspaceServicer(runs)),
    ]


def _knowledge(
    stack: AsyncExitStack,
    settings: ToolsSettings,
    astra: grpc.aio.Channel,
    workspaces: Workspaces,
    vendors: Vendors,
) -> tuple[KnowledgeServicer, IngestionServicer]:
    """What finds in the knowledge base and what fills it; both have texts embedded by the models service."""
    models = connect(settings.models_address, settings.astra_token.get_secret_value())
    stack.push_async_callback(models.close)
    base, embedding = KnowledgeBaseServiceStub(astra), Embedding(ModelServiceStub(models))
    ingestion = IngestionServicer(
        Ingestion(base, embedding),
        RepositorySource(RepositoryServiceStub(astra), workspaces, vendors.github),
        DriveSource(vendors.google, DriveFiles(vendors.google)),
    )
    return KnowledgeServicer(base, embedding, TaskRunServiceStub(astra)), ingestion


async def _servers(
    stack: AsyncExitStack, settings: ToolsSettings, catalogue: Mapping[str, ToolEntry]
) -> list[ExternalServer]:
    """The MCP servers of others, being connected to. Raises ServersInvalid."""
    if settings.mcp_servers is None:
        return []
    integrations = {each.integration for each in catalogue.values()}
    declared = read_servers(settings.mcp_servers, integrations)
    return await stack.enter_async_context(
        external_servers(declared, settings.mcp_server_keys, catalogue.keys())
    )


def _posters(settings: ToolsSettings, vendors: Vendors) -> Posters:
    return {
        "github": GitHubPosts(vendors.github, settle_seconds=settings.github_settle_seconds),
        "google_drive": GoogleDrivePosts(vendors.google, settle_seconds=settings.google_settle_seconds),
        "manual": RecordPoster(),
        "plane": PlanePosts(vendors.plane, settle_seconds=settings.plane_settle_seconds),
        "slack": SlackPosts(vendors.slack, settle_seconds=settings.slack_settle_seconds),
    }


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def main() -> None:
    """Run the service until it is told to stop."""
    settings = ToolsSettings()  # pyright: ignore[reportCallIssue] - the environment fills it
    configure_logs(level=settings.log_level)
    run_until_signal(lambda: running(settings))


if __name__ == "__main__":
    main()
