"""The scheduled renewal of Drive's watches: one activity, tried again while the dispatcher is away."""

from __future__ import annotations

import uuid
from dataclasses import replace

import grpc
import pytest
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment
from temporalio.worker import Worker

from aucert.dispatcher.v1.drive_watch_service_pb2 import RenewDueDriveWatchesResponse
from services.common.drive_renewals import ACTIVITY, WORKFLOW_TYPE
from services.worker.drive_renewal import TRIES_MAX, DriveRenewals, DriveWatchRenewal


class Dispatcher:
    """Answers as it is told."""

    def __init__(self, **answer: int) -> None:
        self._answer = answer
        self.away = False

    async def RenewDueDriveWatches(self, request, *, timeout):  # noqa: ASYNC109 - as a stub has it
        if self.away:
            raise grpc.aio.AioRpcError(
                grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), details="away"
            )
        return RenewDueDriveWatchesResponse(**self._answer)


async def renew(dispatcher: Dispatcher, *, attempt: int = 1) -> None:
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, attempt=attempt)
    await environment.run(DriveRenewals(dispatcher).renew)  # pyright: ignore[reportArgumentType]


async def test_renewals_that_failed_are_tried_again_a_few_times():
    await renew(Dispatcher(renewed_count=3))
    with pytest.raises(ApplicationError, match="WATCHES_NOT_RENEWED"):
        await renew(Dispatcher(failed_count=1), attempt=TRIES_MAX)
    await renew(Dispatcher(failed_count=1), attempt=TRIES_MAX + 1)


async def test_a_failure_leaves_the_activity_with_its_reason_and_no_words():
    dispatcher = Dispatcher()
    dispatcher.away = True
    with pytest.raises(ApplicationError) as caught:
        await renew(dispatcher)

    assert "SERVICE_UNAVAILABLE" == caught.value.type == str(caught.value.message)


async def test_a_run_of_the_schedule_outlives_a_dispatcher_that_was_away(temporal: WorkflowEnvironment):
    attempts: list[int] = []

    @activity.defn(name=ACTIVITY)
    async def renews_at_the_second_try() -> None:
        attempts.append(activity.info().attempt)
        if len(attempts) == 1:
            raise ApplicationError("SERVICE_UNAVAILABLE")

    queue = f"renewal-{uuid.uuid4()}"
    async with Worker(
        temporal.client,
        task_queue=queue,
        workflows=[DriveWatchRenewal],
        activities=[renews_at_the_second_try],
    ):
        await temporal.client.execute_workflow(WORKFLOW_TYPE, id=queue, task_queue=queue)

    assert [1, 2] == attempts
