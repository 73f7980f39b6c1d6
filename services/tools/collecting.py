"""Gives disk space back: every while, lets go of the commits of runs that have ended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import structlog

from aucert.astra.v1.task_run_pb2 import TASK_RUN_STATUS_COMPLETED
from aucert.astra.v1.task_run_service_pb2 import GetTaskRunRequest
from services.common.caller import Caller, calling, new_request_id
from services.tools.run_context import run_of_workspace
from services.tools.workspace import Workspaces

if TYPE_CHECKING:
    from aucert.astra.v1.task_run_service_pb2_grpc import TaskRunServiceAsyncStub

COLLECT_SECONDS = 600.0
RUNS_ASKED_MAX = 1_000
log = structlog.get_logger()


async def collect_forever(workspaces: Workspaces, task_runs: TaskRunServiceAsyncStub) -> None:
    """Collect every COLLECT_SECONDS until cancelled; a failed round is logged and tried again."""
    while True:
        await asyncio.sleep(COLLECT_SECONDS)
        try:
            await collect_once(workspaces, task_runs)
        except Exception as error:
            log.error("workspace_collection_failed", exc_info=error)


async def collect_once(workspaces: Workspaces, task_runs: TaskRunServiceAsyncStub) -> None:
    """Ask the record which pinned runs have ended, at most RUNS_ASKED_MAX, and release those."""
    ended = [
        name
        for name in sorted(await workspaces.pinned_runs())[:RUNS_ASKED_MAX]
        if await _has_ended(task_runs, name)
    ]
    collected = await workspaces.collect(ended)
    log.info(
        "workspace_collected",
        runs_released=collected.runs_released,
        mirrors_removed=collected.mirrors_removed,
        bytes_kept=collected.bytes_kept,
    )


async def _has_ended(task_runs: TaskRunServiceAsyncStub, name: str) -> bool:
    tenant_id, task_run_id = run_of_workspace(name)
    with calling(Caller(request_id=new_request_id(), tenant_id=tenant_id)):
        try:
            found = await task_runs.GetTaskRun(GetTaskRunRequest(task_run_id=task_run_id))
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                return True
            raise
    return found.task_run.status == TASK_RUN_STATUS_COMPLETED
