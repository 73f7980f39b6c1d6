"""The worker process: builds everything it needs, polls Temporal, and answers health checks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

from aucert.astra.v1.principal_service_pb2_grpc import PrincipalServiceStub
from aucert.dispatcher.v1.drive_watch_service_pb2_grpc import DriveWatchServiceStub
from services.common.channels import connect
from services.common.identity import RemoteAuthenticator
from services.common.logs import configure_logs
from services.common.process import run_until_signal
from services.common.server import Dependency, RunningServer, serve
from services.worker.activities import Activities
from services.worker.catalogue import Catalogue
from services.worker.drive_renewal import DriveRenewals
from services.worker.endings import Endings
from services.worker.notifying import Notifier
from services.worker.pauses import Pauses
from services.worker.settings import WorkerSettings
from services.worker.stops import Stops
from services.worker.stubs import Stubs
from services.worker.temporal import TemporalWorker

START_PATIENCE_SECONDS = 2.0
"""How long a start waits for Temporal and Astra before it says that they are missing, and goes on trying."""


@asynccontextmanager
async def running(settings: WorkerSettings) -> AsyncIterator[RunningServer]:
    """Work until the block is left; then finish the turns under way, at most `temporal.GRACE`."""
    async with AsyncExitStack() as exits:
        token = settings.astra_token.get_secret_value()
        addresses = {
            "astra": settings.astra_address,
            "dispatcher": settings.dispatcher_address,
            "models": settings.models_address,
            "tools": settings.tools_address,
        }
        channels = {name: connect(address, token) for name, address in addresses.items()}
        for channel in channels.values():
            exits.push_async_callback(channel.close)
        stubs = Stubs.over(**channels)
        worker = f"{os.getpid()}@{socket.gethostname()}"
        stops = Stops(stubs.runs)
        notifier = Notifier(stubs.runs, stubs.threads)
        activities = Activities(
            stubs,
            Catalogue(stubs.models, stubs.tools),
            Endings(
                stubs.runs,
                stubs.threads,
                notifier,
                worker=worker,
                resolve_after={*settings.resolve_after.split(",")} - {""},
            ),
            Pauses(stubs.runs, notifier, budget_wait=timedelta(seconds=settings.budget_wait_seconds)),
            stops,
            worker=worker,
            heartbeat_seconds=settings.heartbeat_seconds,
        )
        renewals = DriveRenewals(DriveWatchServiceStub(channels["dispatcher"]))
        temporal = TemporalWorker(
            settings.temporal_address,
            settings.temporal_namespace,
            [activities.claim_next, activities.work_on_run, activities.give_up, renewals.renew],
            activities_max=settings.activities_max,
            identity=worker,
        )
        await exits.enter_async_context(_in_background(stops.listen()))
        await exits.enter_async_context(_in_background(temporal.run()))
        exits.push_async_callback(temporal.stop)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_PATIENCE_SECONDS):
                await asyncio.gather(temporal.polling.wait(), stops.listening.wait())
        server = await exits.enter_async_context(
            serve(
                name="worker",
                host=settings.host,
                port=settings.health_port,
                registrations=[],
                authenticator=RemoteAuthenticator(PrincipalServiceStub(channels["astra"])),
                dependencies=[Dependency("temporal", temporal.check), Dependency("astra", stops.check)],
            )
        )
        yield server


@asynccontextmanager
async def _in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `work` beside the block; end it when the block is left."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def main() -> None:
    """Run the worker until it is told to end."""
    settings = WorkerSettings()  # pyright: ignore[reportCallIssue] - read from the environment
    configure_logs(level=settings.log_level)
    run_until_signal(lambda: running(settings))


if __name__ == "__main__":
    main()
