"""What the record says of a thread's runs, for whoever asks how things stand there."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from aucert.astra.v1.task_run_pb2 import TaskRun, TaskRunOutcome, TaskRunStatus, WaitReason
from aucert.astra.v1.task_run_service_pb2 import ListTaskRunsRequest
from services.common.caller import current_caller
from services.dispatcher.domain import ThreadRef
from services.dispatcher.sources.fencing import one_line
from services.dispatcher.thread_store import ThreadStore

if TYPE_CHECKING:
    from aucert.astra.v1.task_run_service_pb2_grpc import TaskRunServiceAsyncStub

RUNS_MAX = 10
RUNS_SECONDS = 10.0
NOTHING = "Nothing was asked in this thread before."


class ThreadStatus:
    """Answers for the current caller's tenant. Raises what Astra raises."""

    def __init__(self, threads: ThreadStore, task_runs: TaskRunServiceAsyncStub) -> None:
        self._threads = threads
        self._task_runs = task_runs

    async def told(self, thread: ThreadRef) -> str:
        """The thread's newest runs in Markdown, RUNS_MAX at most, as they stand now."""
        thread_id = await self._threads.id_of(current_caller().tenant_id, thread.source, thread.key)
        if thread_id is None:
            return NOTHING
        request = ListTaskRunsRequest(thread_id=str(thread_id), page_size=RUNS_MAX)
        listed = await self._task_runs.ListTaskRuns(request, timeout=RUNS_SECONDS)
        lines = [f"- {run_line(each)}" for each in listed.task_runs]
        return "\n".join(["What the record says of this thread, newest first:", *lines]) if lines else NOTHING


def run_line(run: TaskRun) -> str:
    """One line a run: what it is doing or came to, for whom, by which model."""
    asked = f"{run.operation} for {one_line(run.requester)} by {run.agent_slug} [{run.model_label}]"
    return f"{asked}, asked {run.created_time.ToDatetime(UTC):%Y-%m-%d %H:%M} UTC: {_state(run)}"


def _state(run: TaskRun) -> str:
    if run.answered_by_task_run_id:
        return "answered together with another one"
    if run.outcome:
        reason = f" ({run.outcome_reason})" if run.outcome_reason else ""
        return TaskRunOutcome.Name(run.outcome).removeprefix("TASK_RUN_OUTCOME_").lower() + reason
    status = TaskRunStatus.Name(run.status).removeprefix("TASK_RUN_STATUS_").lower().replace("_", " ")
    if not run.waiting_for:
        return status
    return f"{status} for {WaitReason.Name(run.waiting_for).removeprefix('WAIT_REASON_').lower()}"
