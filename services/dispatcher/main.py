"""Builds and serves the dispatcher: the one place where its parts meet."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import grpc
import structlog
from pydantic import SecretStr
from temporalio.client import Client

from aucert.astra.v1.agent_service_pb2_grpc import AgentServiceStub
from aucert.astra.v1.budget_service_pb2_grpc import BudgetServiceStub
from aucert.astra.v1.principal_service_pb2_grpc import PrincipalServiceStub
from aucert.astra.v1.repository_service_pb2_grpc import RepositoryServiceStub
from aucert.astra.v1.task_run_service_pb2_grpc import TaskRunServiceStub
from aucert.dispatcher.v1.dispatcher_service_pb2_grpc import add_DispatcherServiceServicer_to_server
from aucert.dispatcher.v1.drive_watch_service_pb2_grpc import add_DriveWatchServiceServicer_to_server
from aucert.models.v1.model_service_pb2_grpc import ModelServiceStub
from aucert.tools.v1.catch_up_service_pb2_grpc import CatchUpServiceStub
from aucert.tools.v1.drive_changes_service_pb2_grpc import DriveChangesServiceStub
from aucert.tools.v1.thread_service_pb2_grpc import ThreadServiceStub
from services.common.channels import connect
from services.common.database import POOL_SIZE, RELAY_POOL_SIZE, Database
from services.common.identity import RemoteAuthenticator
from services.common.logs import configure_logs
from services.common.process import run_until_signal
from services.common.server import Dependency, Registration, RunningServer, serve
from services.dispatcher import drive_schedule
from services.dispatcher.acknowledgements import Acknowledgements
from services.dispatcher.catch_up import CatchUp
from services.dispatcher.claims import Claims
from services.dispatcher.classifier import Classifier
from services.dispatcher.container_reader import ContainerReader
from services.dispatcher.cursor_store import CursorStore
from services.dispatcher.deliveries import Deliveries
from services.dispatcher.delivery_log import DeliveryLogReader
from services.dispatcher.delivery_store import DeliveryStore
from services.dispatcher.domain import SourceName
from services.dispatcher.drive_watch_servicer import DriveWatchServicer
from services.dispatcher.drive_watch_store import DriveWatchStore
from services.dispatcher.drive_watches import DriveWatches
from services.dispatcher.google_keys import GoogleKeys
from services.dispatcher.handler import Handler
from services.dispatcher.inbox_store import InboxStore
from services.dispatcher.ingest import Ingest
from services.dispatcher.lookups import Lookups
from services.dispatcher.refusals import RefusalCounts, RefusalStore
from services.dispatcher.registry import Registry
from services.dispatcher.relay import Relay
from services.dispatcher.retention import Retention
from services.dispatcher.ringer import Ringer, TemporalRinger
from services.dispatcher.rings import Rings
from services.dispatcher.runs import Runs
from services.dispatcher.servicer import DispatcherServicer
from services.dispatcher.settings import DispatcherSettings
from services.dispatcher.sources.table import CAUGHT_UP, LOGGED, sources
from services.dispatcher.sweep import Sweep
from services.dispatcher.tasks import Tasks
from services.dispatcher.tenants import Tenants
from services.dispatcher.thread_status import ThreadStatus
from services.dispatcher.thread_store import ThreadStore

log = structlog.get_logger()


@asynccontextmanager
async def running(
    settings: DispatcherSettings, *, ringer: Ringer | None = None
) -> AsyncGenerator[RunningServer, None]:
    """Serve, relay, sweep and catch up until the block is left.

    `ringer`: another way to wake threads than Temporal.
    Temporal, models and tools may be away: webhooks are kept all the same and handled later.
    """
    async with AsyncExitStack() as stack:
        service = _database(stack, settings.database_url, "dispatcher", POOL_SIZE)
        relay_role = _database(stack, settings.relay_database_url, "dispatcher-relay", RELAY_POOL_SIZE)
        await service.refuse_powerful_role()
        astra = _channel(stack, settings, settings.astra_address)
        temporal = await _temporal(settings)
        parts = _build(
            settings,
            stores=(
                InboxStore(service, relay_role, lease_seconds=settings.relay_lease_seconds),
                ThreadStore(service, relay_role),
                CursorStore(service),
            ),
            asked_stores=(
                DriveWatchStore(service, relay_role),
                DeliveryStore(service, relay_role),
                RefusalStore(service, relay_role),
            ),
            channels=(
                astra,
                _channel(stack, settings, settings.models_address),
                _channel(stack, settings, settings.tools_address),
            ),
            ringer=ringer or TemporalRinger(temporal),
        )
        stack.push_async_callback(parts.acknowledgements.close)
        await stack.enter_async_context(parts.relay.running())
        await stack.enter_async_context(_beside(parts.sweep.forever()))
        await stack.enter_async_context(_beside(parts.catch_up.forever()))
        await stack.enter_async_context(_beside(parts.retention.forever()))
        await stack.enter_async_context(_beside(parts.refusals.forever()))
        if ringer is None and parts.drive_is_on:
            renewed_every = settings.drive_renewal.interval
            await stack.enter_async_context(_beside(drive_schedule.ensured(temporal, renewed_every)))
        server = serve(
            name="dispatcher",
            host=settings.host,
            port=settings.port,
            registrations=[
                Registration(
                    "aucert.dispatcher.v1.DispatcherService",
                    add_DispatcherServiceServicer_to_server,
                    parts.servicer,
                ),
                Registration(
                    "aucert.dispatcher.v1.DriveWatchService",
                    add_DriveWatchServiceServicer_to_server,
                    parts.watch_servicer,
                ),
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
    watch_servicer: DriveWatchServicer
    drive_is_on: bool
    relay: Relay
    sweep: Sweep
    catch_up: CatchUp
    retention: Retention
    refusals: RefusalCounts
    acknowledgements: Acknowledgements


def _build(
    settings: DispatcherSettings,
    *,
    stores: tuple[InboxStore, ThreadStore, CursorStore],
    asked_stores: tuple[DriveWatchStore, DeliveryStore, RefusalStore],
    channels: tuple[grpc.aio.Channel, grpc.aio.Channel, grpc.aio.Channel],
    ringer: Ringer,
) -> _Parts:
    """Put the parts together; `channels` lead to Astra, models and tools."""
    (inbox, threads, cursors), (astra, models, tools) = stores, channels
    watch_store, deliveries, refusal_store = asked_stores
    refusals = RefusalCounts(refusal_store)
    task_runs, tenants = TaskRunServiceStub(astra), Tenants(PrincipalServiceStub(astra))
    registry = Registry(AgentServiceStub(astra), RepositoryServiceStub(astra), ModelServiceStub(models))
    vendors = ThreadServiceStub(tools)
    acknowledgements = Acknowledgements(vendors)
    runs = Runs(task_runs, BudgetServiceStub(astra), threads)
    google = DriveChangesServiceStub(tools)
    known = sources(settings, GoogleKeys(google))
    catching_up = CatchUpServiceStub(tools)
    reader = ContainerReader(catching_up, stores, CAUGHT_UP)
    states = [each.state for each in known.values()]
    handler = Handler(
        inbox=inbox,
        threads=threads,
        tenants=tenants,
        classifier=Classifier(
            registry,
            known,
            Lookups(registry, threads, vendors, reader),
            ThreadStatus(threads, task_runs),
        ),
        runs=runs,
        ringer=ringer,
        acknowledgements=acknowledgements,
    )
    relay = Relay(inbox, handler)
    for each in states:
        log.info("source", source=each.name, on=each.on, off_reason=each.off_reason)
    drive = known[SourceName.GOOGLE_DRIVE].state
    watches = DriveWatches(
        google=google,
        store=watch_store,
        reader=reader,
        registry=registry,
        tenants=tenants,
        wake=relay.wake,
        state=drive,
        token=settings.drive_channel_token.get_secret_value(),
        public_base_url=settings.public_base_url,
        renewal=settings.drive_renewal,
    )
    return _Parts(
        watch_servicer=DriveWatchServicer(watches, watch_store),
        drive_is_on=drive.on,
        servicer=DispatcherServicer(
            Ingest(inbox, tenants, relay, known, refusals),
            Tasks(inbox=inbox, relay=relay, tenants=tenants, registry=registry, task_runs=task_runs),
            Claims(threads, runs),
            Rings(threads, ringer),
            Deliveries(deliveries, refusal_store, relay.wake),
            sources=states,
        ),
        relay=relay,
        sweep=Sweep(threads, ringer, interval_seconds=settings.sweep_interval_seconds),
        catch_up=CatchUp(
            reader=reader,
            logs=DeliveryLogReader(catching_up, cursors),
            registry=registry,
            tenants=tenants,
            names=[name for name in CAUGHT_UP if known[name].state.on],
            logged=[name for name in LOGGED if known[name].state.on],
            wake=relay.wake,
            interval_seconds=settings.catch_up_interval_seconds,
        ),
        retention=Retention(deliveries, refusal_store, settings.deliveries_kept),
        refusals=refusals,
        acknowledgements=acknowledgements,
    )


def _database(stack: AsyncExitStack, url: SecretStr, application: str, size: int) -> Database:
    database = Database(url.get_secret_value(), application=application, size=size)
    stack.push_async_callback(database.close)
    return database


def _channel(stack: AsyncExitStack, settings: DispatcherSettings, address: str) -> grpc.aio.Channel:
    channel = connect(address, settings.astra_token.get_secret_value())
    stack.push_async_callback(channel.close)
    return channel


async def _temporal(settings: DispatcherSettings) -> Client:
    """Connects when it is first used, so that starting up does not need Temporal."""
    address, namespace = settings.temporal_address, settings.temporal_namespace
    return await Client.connect(address, namespace=namespace, lazy=True)


@asynccontextmanager
async def _beside(loop: Coroutine[None, None, None]) -> AsyncGenerator[None, None]:
    task = asyncio.create_task(loop)
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
