"""Builds and serves the tools service: the one place where its parts meet."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog

from aucert.astra.v1.effect_service_pb2_grpc import EffectServiceStub
from aucert.astra.v1.principal_service_pb2_grpc import PrincipalServiceStub
from aucert.astra.v1.repository_service_pb2_grpc import RepositoryServiceStub
from aucert.astra.v1.task_run_service_pb2_grpc import TaskRunServiceStub
from aucert.astra.v1.thread_post_service_pb2_grpc import ThreadPostServiceStub
from aucert.tools.v1.catch_up_service_pb2_grpc import add_CatchUpServiceServicer_to_server
from aucert.tools.v1.drive_changes_service_pb2_grpc import add_DriveChangesServiceServicer_to_server
from aucert.tools.v1.github_service_pb2_grpc import add_GitHubServiceServicer_to_server
from aucert.tools.v1.repo_service_pb2_grpc import add_RepoServiceServicer_to_server
from aucert.tools.v1.thread_service_pb2_grpc import add_ThreadServiceServicer_to_server
from aucert.tools.v1.tool_service_pb2_grpc import add_ToolServiceServicer_to_server
from aucert.tools.v1.workspace_service_pb2_grpc import add_WorkspaceServiceServicer_to_server
from services.common.channels import connect
from services.common.dependencies import service_dependency
from services.common.identity import RemoteAuthenticator
from services.common.logs import configure_logs
from services.common.process import run_until_signal
from services.common.server import Registration, RunningServer, serve
from services.tools.catalogue import read_catalogue, shipped_image
from services.tools.catch_up_servicer import CatchUpServicer
from services.tools.collecting import collect_forever
from services.tools.drive_changes_servicer import DriveChangesServicer
from services.tools.effects import Effects
from services.tools.github_access import GitHubAccess
from services.tools.github_client import GitHubClient
from services.tools.github_posts import GitHubPosts
from services.tools.github_servicer import GitHubServicer
from services.tools.google_catch_up import GoogleDriveCatcher
from services.tools.google_client import GoogleClient
from services.tools.google_files import DriveFiles
from services.tools.google_posts import GoogleDrivePosts
from services.tools.plane_client import PlaneClient
from services.tools.plane_history import PlaneCatcher
from services.tools.plane_posts import PlanePosts
from services.tools.poster import Posters, RecordPoster
from services.tools.posting import Posting
from services.tools.repo_servicer import RepoServicer
from services.tools.run_context import RunContexts
from services.tools.settings import ToolsSettings
from services.tools.slack_client import SlackClient
from services.tools.slack_history import SlackCatcher
from services.tools.slack_posts import SlackPosts
from services.tools.thread_servicer import ThreadServicer
from services.tools.tool_servicer import Integration, ToolServicer
from services.tools.workspace import Workspaces
from services.tools.workspace_servicer import WorkspaceServicer

CATCH_UP, DRIVE_CHANGES, GITHUB, REPO, THREADS, TOOLS, WORKSPACES = (
    f"aucert.tools.v1.{name}Service"
    for name in ("CatchUp", "DriveChanges", "GitHub", "Repo", "Thread", "Tool", "Workspace")
)
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
        task_runs = TaskRunServiceStub(channel)
        vendors = _vendors(stack, settings)
        github, files = vendors.github, DriveFiles(vendors.google)
        runs = RunContexts(task_runs, RepositoryServiceStub(channel), workspaces, github.clone_credential)
        stack.push_async_callback(runs.aclose)
        collecting = asyncio.create_task(collect_forever(workspaces, task_runs))
        stack.push_async_callback(_ended, collecting)
        posters = _posters(settings, vendors)
        threads = ThreadServicer(Posting(ThreadPostServiceStub(channel), posters), posters)
        catch_up = CatchUpServicer(
            {
                "google-drive": GoogleDriveCatcher(vendors.google, files),
                "plane": PlaneCatcher(vendors.plane),
                "slack": SlackCatcher(vendors.slack),
            }
        )
        drive_changes = DriveChangesServicer(vendors.google, files)
        repo = RepoServicer(runs)
        catalogue = read_catalogue(shipped_image())
        effects = Effects(
            EffectServiceStub(channel), catalogue, settle_seconds=settings.github_settle_seconds
        )
        access = GitHubAccess(github, task_runs, RepositoryServiceStub(channel))
        github_tools = GitHubServicer(access, effects)
        integrations = {
            REPO: Integration(repo, runs.prepare),
            GITHUB: Integration(github_tools, off_reason=settings.github_app.off_reason),
        }
        tools = ToolServicer(catalogue, integrations)
        server = serve(
            name="tools",
            host=settings.host,
            port=settings.port,
            registrations=[
                Registration(TOOLS, add_ToolServiceServicer_to_server, tools),
                Registration(REPO, add_RepoServiceServicer_to_server, repo),
                Registration(GITHUB, add_GitHubServiceServicer_to_server, github_tools),
                Registration(CATCH_UP, add_CatchUpServiceServicer_to_server, catch_up),
                Registration(DRIVE_CHANGES, add_DriveChangesServiceServicer_to_server, drive_changes),
                Registration(THREADS, add_ThreadServiceServicer_to_server, threads),
                Registration(WORKSPACES, add_WorkspaceServiceServicer_to_server, WorkspaceServicer(runs)),
            ],
            authenticator=RemoteAuthenticator(PrincipalServiceStub(channel)),
            dependencies=[service_dependency("astra", channel)],
        )
        yield await stack.enter_async_context(server)


@dataclass(frozen=True, slots=True)
class _Vendors:
    github: GitHubClient
    google: GoogleClient
    plane: PlaneClient
    slack: SlackClient


def _vendors(stack: AsyncExitStack, settings: ToolsSettings) -> _Vendors:
    """A client of each; one that is not configured refuses every call and says what is missing."""
    for source, off_reason in (
        ("github", settings.github_app.off_reason),
        ("google-drive", settings.google_account.off_reason),
        ("plane", settings.plane.off_reason),
        ("slack", settings.slack_app.off_reason),
    ):
        log.info("source", source=source, off_reason=off_reason)
    vendors = _Vendors(
        github=GitHubClient(settings.github_app),
        google=GoogleClient(settings.google_account),
        plane=PlaneClient(settings.plane),
        slack=SlackClient(settings.slack_app),
    )
    for client in (vendors.google, vendors.plane, vendors.slack):
        stack.push_async_callback(client.aclose)
    return vendors


def _posters(settings: ToolsSettings, vendors: _Vendors) -> Posters:
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
