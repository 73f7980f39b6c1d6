"""The worker's side of Temporal: connected with patience, working until it is told to leave."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import structlog
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from services.common.thread_input import TASK_QUEUE
from services.worker.drive_renewal import DriveWatchRenewal
from services.worker.workflows import SpecAgentWorkflow

RECONNECT_SECONDS_MIN = 0.2
RECONNECT_SECONDS_MAX = 5.0
STICKY_TIMEOUT = timedelta(seconds=2)
"""How long a thread waits for a worker that is gone before another replays its small history."""
GRACE = timedelta(seconds=30)
"""What runs get at shutdown to reach the end of their turn; then they are cut and taken up elsewhere."""
log = structlog.get_logger()


class TemporalWorker:
    """Polls the task queue for workflows and activities."""

    def __init__(
        self, address: str, namespace: str, activities: Sequence[Any], *, activities_max: int, identity: str
    ) -> None:
        self._address = address
        self._namespace = namespace
        self._activities = activities
        self._activities_max = activities_max
        self._identity = identity
        self._client: Client | None = None
        self._worker: Worker | None = None
        self.polling = asyncio.Event()
        """Set while the worker polls."""

    async def run(self) -> None:
        """Work until `stop()`. Begins again after whatever goes wrong, Temporal being away included."""
        wait = RECONNECT_SECONDS_MIN
        while True:
            try:
                worker = await self._connect()
                wait = RECONNECT_SECONDS_MIN
                await worker.run()
                return
            except Exception as error:  # noqa: BLE001 - Temporal away, namespace missing: all mend by themselves
                log.warning("temporal_unusable", address=self._address, error=type(error).__name__)
            finally:
                self.polling.clear()
            await asyncio.sleep(wait)
            wait = min(wait * 2, RECONNECT_SECONDS_MAX)

    async def check(self) -> None:
        """Raise unless the worker polls and Temporal answers."""
        if self._client is None or not self.polling.is_set():
            raise ConnectionError("not polling")
        await self._client.service_client.check_health()

    async def stop(self) -> None:
        """Take nothing new and give what is under way GRACE to reach a turn boundary."""
        if self._worker is not None and self._worker.is_running:
            await self._worker.shutdown()

    async def _connect(self) -> Worker:
        self._client = await Client.connect(self._address, namespace=self._namespace, identity=self._identity)
        self._worker = Worker(
            self._client,
            task_queue=TASK_QUEUE,
            workflows=[SpecAgentWorkflow, DriveWatchRenewal],
            activities=self._activities,
            # The sandbox adds about 30 ms to each new workflow; tests run and replay the workflow in it.
            workflow_runner=UnsandboxedWorkflowRunner(),
            max_concurrent_activities=self._activities_max,
            graceful_shutdown_timeout=GRACE,
            sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
        )
        self.polling.set()
        return self._worker
