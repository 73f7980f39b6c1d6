"""Builds and serves the dispatcher: the one place where its parts meet."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import grpc
import structlog
from pydantic import SecretStr
from temporalio.client import Client

from aucert.astra.v1.agent_service_pb2_grpc import AgentServiceStub
from aucert.astra.v1.principal_service_pb2_grpc import PrincipalServiceStub
from aucert.astra.v1.repository_service_pb2_grpc import RepositoryServiceStub
from aucert.astra.v1.task_run_service_pb2_grpc import TaskRunServiceStub
from aucert.dispatcher.v1.dispatcher_service_pb2_grpc import add_DispatcherServiceServicer_to_server
from aucert.models.v1.model_service_pb2_grpc import ModelServiceStub
from aucert.tools.v1.thread_service_pb2_grpc import ThreadServiceStub
from services.common.channels import connect
from services.common.database import Database
from services.common.identity import RemoteAuthenticator
from services.common.logs import configure_logs
from services.common.process import run_until_signal
from services.common.server import Dependency, Registration, RunningServer, serve
from services.dispatcher.acknowledgements import Acknowledgements
from services.dispatcher.claims import Claims
from services.dispatcher.classifier import Classifier
from services.dispatcher.handler import Handler
from services.dispatcher.inbox_store import InboxStore
from services.dispatcher.ingest import Ingest
from services.dispatcher.registry import Registry
from services.dispatcher.relay import Relay
from services.dispatcher.ringer import Ringer, TemporalRinger
from services.dispatcher.runs import Runs
from services.dispatcher.servicer import DispatcherServicer
from services.dispatcher.settings import DispatcherSettings
from services.dispatcher.sources.github import GitHubApp
from services.dispatcher.sweep import Sweep
from services.dispatcher.tasks import Tasks
from services.dispatcher.tenants import Tenants
from services.dispatcher.thread_store import ThreadStore

log = structlog.get_logger()


@asynccontextmanager
async def running(
    settings: DispatcherSettings, *, ringer: Ringer | None = None
) -> AsyncGenerator[RunningServer, None]:
    """Serve, relay and sweep until the block is left. `ringer`: another way to wake threads than Temporal.

    Temporal, models and tools may be away: webhooks are kept all the same and handled later.
    """
    async with AsyncExitStack() as stack:
        service = _database(stack, settings.database_url, "dispatcher")
        relay_role = _database(stack, settings.relay_database_url, "dispatcher-relay")
        await service.refuse_powerful_role()
        astra = _channel(stack, settings, settings.astra_address)
        parts = _build(
            settings,
            stores=(
                InboxStore(service, relay_role, lease_seconds=settings.relay_lease_seconds),
                ThreadStore(service, relay_role),
            ),
            channels=(
                astra,
                _channel(stack, settings, settings.models_address),
                _channel(stack, settings, settings.tools_address),
            ),
            ringer=ringer or await _temporal_ringer(settings),
        )
        stack.push_async_callback(parts.acknowledgements.close)
        await stack.enter_async_context(parts.relay.running())
        await stack.enter_async_context(_beside(parts.sweep))
        server = serve(
            name="dispatcher",
            host=settings.host,
            port=settings.port,
            registrations=[
                Registration(
                    "aucert.dispatcher.v1.DispatcherService",
                    add_DispatcherServiceServicer_to_server,
                    parts.servicer,
                )
            ],
            authenticator=RemoteAuthenticator(PrincipalServiceStub(astra)),
            dependencies=[
                Dependency("postgresql", service.ping),
                Dependency("postgresql (relay role)", relay_role.ping),
            ],
        )
        yield await stack.enter_async_context(server)


@dataclass(frozen=True, slots=True)
class _Parts:
    servicer: DispatcherServicer
    relay: Relay
    sweep: Sweep
    acknowledgements: Acknowledgements


def _build(
    settings: DispatcherSettings,
    *,
    stores: tuple[InboxStore, ThreadStore],
    channels: tuple[grpc.aio.Channel, grpc.aio.Channel, grpc.aio.Channel],
    ringer: Ringer,
) -> _Parts:
    """Put the parts together; `channels` lead to Astra, models and tools."""
    (inbox, threads), (astra, models, tools) = stores, channels
    task_runs, tenants = TaskRunServiceStub(astra), Tenants(PrincipalServiceStub(astra))
    registry = Registry(AgentServiceStub(astra), RepositoryServiceStub(astra), ModelServiceStub(models))
    acknowledgements = Acknowledgements(ThreadServiceStub(tools))
    runs = Runs(task_runs, threads)
    handler = Handler(
        inbox=inbox,
        threads=threads,
        tenants=tenants,
        classifier=Classifier(
            registry, GitHubApp(app_id=settings.github_app_id, slug=settings.github_app_slug)
        ),
        runs=runs,
        ringer=ringer,
        acknowledgements=acknowledgements,
    )
    relay = Relay(inbox, handler)
    github = settings.github()
    log.info("source", source=github.name, on=github.on, off_reason=github.off_reason)
    secret = settings.github_webhook_secret.get_secret_value()
    return _Parts(
        servicer=DispatcherServicer(
            Ingest(inbox, tenants, relay, github=github, github_secret=secret),
            Tasks(inbox=inbox, relay=relay, tenants=tenants, registry=registry, task_runs=task_runs),
            Claims(threads, runs),
            sources=[github],
        ),
        relay=relay,
        sweep=Sweep(threads, ringer, interval_seconds=settings.sweep_interval_seconds),
        acknowledgements=acknowledgements,
    )


def _database(stack: AsyncExitStack, url: SecretStr, application: str) -> Database:
    database = Database(url.get_secret_value(), application=application)
    stack.push_async_callback(database.close)
    return database


def _channel(stack: AsyncExitStack, settings: DispatcherSettings, address: str) -> grpc.aio.Channel:
    channel = connect(address, settings.astra_token.get_secret_value())
    stack.push_async_callback(channel.close)
    return channel


async def _temporal_ringer(settings: DispatcherSettings) -> TemporalRinger:
    """Connects when it first rings, so that starting up does not need Temporal."""
    address, namespace = settings.temporal_address, settings.temporal_namespace
    return TemporalRinger(await Client.connect(address, namespace=namespace, lazy=True))


@asynccontextmanager
async def _beside(sweep: Sweep) -> AsyncGenerator[None, None]:
    task = asyncio.create_task(sweep.forever())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def main() -> None:
    """Run the service until it is told to stop."""
    settings = DispatcherSettings()  # pyright: ignore[reportCallIssue] - the environment fills it
    configure_logs(level=settings.log_level)
    run_until_signal(lambda: running(settings))


if __name__ == "__main__":
    main()
