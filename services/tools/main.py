"""Builds and serves the tools service: the one place where its parts meet."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import structlog

from aucert.astra.v1.principal_service_pb2_grpc import PrincipalServiceStub
from aucert.astra.v1.repository_service_pb2_grpc import RepositoryServiceStub
from aucert.astra.v1.task_run_service_pb2_grpc import TaskRunServiceStub
from aucert.astra.v1.thread_post_service_pb2_grpc import ThreadPostServiceStub
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
from services.tools.collecting import collect_forever
from services.tools.github_client import GitHubClient
from services.tools.github_posts import GitHubPosts
from services.tools.posting import Posting
from services.tools.repo_servicer import RepoServicer
from services.tools.run_context import RunContexts
from services.tools.settings import ToolsSettings
from services.tools.thread_servicer import ThreadServicer
from services.tools.tool_servicer import Integration, ToolServicer
from services.tools.workspace import Workspaces
from services.tools.workspace_servicer import WorkspaceServicer

REPO, THREADS, TOOLS, WORKSPACES = (
    f"aucert.tools.v1.{name}Service" for name in ("Repo", "Thread", "Tool", "Workspace")
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
        log.info("source", source="github", off_reason=settings.github_app.off_reason)
        github = GitHubClient(settings.github_app)
        runs = RunContexts(task_runs, RepositoryServiceStub(channel), workspaces, github.clone_credential)
        stack.push_async_callback(runs.aclose)
        collecting = asyncio.create_task(collect_forever(workspaces, task_runs))
        stack.push_async_callback(_ended, collecting)
        posts = GitHubPosts(github)
        posting = Posting(
            ThreadPostServiceStub(channel), posts, settle_seconds=settings.github_settle_seconds
        )
        repo = RepoServicer(runs)
        tools = ToolServicer(read_catalogue(shipped_image()), {REPO: Integration(repo, runs.prepare)})
        server = serve(
            name="tools",
            host=settings.host,
            port=settings.port,
            registrations=[
                Registration(TOOLS, add_ToolServiceServicer_to_server, tools),
                Registration(REPO, add_RepoServiceServicer_to_server, repo),
                Registration(THREADS, add_ThreadServiceServicer_to_server, ThreadServicer(posting, posts)),
                Registration(WORKSPACES, add_WorkspaceServiceServicer_to_server, WorkspaceServicer(runs)),
            ],
            authenticator=RemoteAuthenticator(PrincipalServiceStub(channel)),
            dependencies=[service_dependency("astra", channel)],
        )
        yield await stack.enter_async_context(server)


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
