"""The Temporal Schedule that has Drive's watches renewed, made or brought up to date at start-up."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError

from services.common.drive_renewals import SCHEDULE_ID, WORKFLOW_TYPE
from services.common.thread_input import TASK_QUEUE

RPC_TIMEOUT = timedelta(seconds=5)
AGAIN_SECONDS_MIN, AGAIN_SECONDS_MAX = 1.0, 60.0
CATCH_UP_WINDOW = timedelta(days=1)
"""A run that fell into Temporal's absence is made up for, if it is no older."""

log = structlog.get_logger()


def schedule(interval: timedelta) -> Schedule:
    """One run at a time; one that is late is made up for."""
    return Schedule(
        action=ScheduleActionStartWorkflow(WORKFLOW_TYPE, id=SCHEDULE_ID, task_queue=TASK_QUEUE),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=interval)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.BUFFER_ONE, catchup_window=CATCH_UP_WINDOW),
    )


async def ensure(client: Client, interval: timedelta) -> None:
    """Make the schedule, or give the one there is this interval. Raises what Temporal's client raises."""
    wanted = schedule(interval)
    try:
        await client.create_schedule(SCHEDULE_ID, wanted, trigger_immediately=True, rpc_timeout=RPC_TIMEOUT)
    except ScheduleAlreadyRunningError:

        def update(found: ScheduleUpdateInput) -> ScheduleUpdate:
            wanted.state = found.description.schedule.state  # somebody may have paused it
            return ScheduleUpdate(wanted)

        await client.get_schedule_handle(SCHEDULE_ID).update(update, rpc_timeout=RPC_TIMEOUT)


async def ensured(client: Client, interval: timedelta) -> None:
    """See to the schedule however long Temporal is away; returns once it is there."""
    wait = AGAIN_SECONDS_MIN
    while True:
        try:
            await ensure(client, interval)
            return
        except (RPCError, RuntimeError) as error:  # a lazy client that cannot connect raises RuntimeError
            log.warning("drive_schedule_not_made", error=type(error).__name__)
        await asyncio.sleep(wait)
        wait = min(wait * 2, AGAIN_SECONDS_MAX)
