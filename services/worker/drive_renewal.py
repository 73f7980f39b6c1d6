"""Has Drive's watches renewed, by schedule: a workflow of one activity, which asks the dispatcher."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import grpc
from temporalio import activity, workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from aucert.dispatcher.v1.drive_watch_service_pb2 import RenewDueDriveWatchesRequest
    from services.common.drive_renewals import ACTIVITY, WORKFLOW_TYPE
    from services.common.errors import from_rpc

if TYPE_CHECKING:
    from aucert.dispatcher.v1.drive_watch_service_pb2_grpc import DriveWatchServiceAsyncStub

RENEW_SECONDS = 600.0
RENEW_TIMEOUT = timedelta(seconds=RENEW_SECONDS + 5)
OUTAGE_MAX = timedelta(hours=6)
"""How long the dispatcher may be away; the look-ahead is made for it."""
TRIES_MAX = 5
"""How often a run tries watches that could not be renewed; the next run tries them again."""
PATIENCE = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=5))


@workflow.defn(name=WORKFLOW_TYPE)
class DriveWatchRenewal:
    """One run of the schedule."""

    @workflow.run
    async def run(self) -> None:
        """Renew what is due."""
        await workflow.execute_activity(
            ACTIVITY,
            start_to_close_timeout=RENEW_TIMEOUT,
            schedule_to_close_timeout=OUTAGE_MAX,
            retry_policy=PATIENCE,
        )


class DriveRenewals:
    """The activity."""

    def __init__(self, watches: DriveWatchServiceAsyncStub) -> None:
        self._watches = watches

    @activity.defn(name=ACTIVITY)
    async def renew(self) -> None:
        """Renew what is due. What failed in a way that may pass is tried again."""
        try:
            done = await self._watches.RenewDueDriveWatches(
                RenewDueDriveWatchesRequest(), timeout=RENEW_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            reason = from_rpc(error).reason
            raise ApplicationError(reason, type=reason) from None
        if done.failed_count and activity.info().attempt <= TRIES_MAX:
            raise ApplicationError("WATCHES_NOT_RENEWED", type="WATCHES_NOT_RENEWED")
