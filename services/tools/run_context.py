"""Which repository and commit a tool call reads: decided once a run, by the record.

The worker asks for it before a run's first turn, a tool call where that did not happen. The first to ask
makes the mirror and pins the commit; the record keeps the first pin that reaches it, so that a retry, another
process or a moved branch never gives the run a second commit. A call outside of runs reads a repository as it
stands now (`repository_heads.py`).
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aucert.astra.v1.repository_pb2 import Repository
from aucert.astra.v1.repository_service_pb2 import GetRepositoryRequest
from aucert.astra.v1.task_run_pb2 import TaskRun
from aucert.astra.v1.task_run_service_pb2 import GetTaskRunRequest, PinCommitRequest
from services.common.caller import Caller, calling, current_caller
from services.common.crashpoints import CrashPoint, reach
from services.tools.failures import RunHasNoRepository, told_as_errors
from services.tools.git import Credential
from services.tools.git_objects import GitObjects
from services.tools.mirror import Pin
from services.tools.repo_snapshot import Snapshot
from services.tools.repository_heads import RepositoryHeads
from services.tools.workspace import Workspaces

if TYPE_CHECKING:
    from aucert.astra.v1.repository_service_pb2_grpc import RepositoryServiceAsyncStub
    from aucert.astra.v1.task_run_service_pb2_grpc import TaskRunServiceAsyncStub

RUNS_MAX = 1_024
CloneCredential = Callable[[TaskRun, Repository], Awaitable[Credential | None]]


class RunContexts:
    """The snapshots of recent runs, RUNS_MAX at most; parallel calls of one run share one preparation."""

    def __init__(
        self,
        task_runs: TaskRunServiceAsyncStub,
        repositories: RepositoryServiceAsyncStub,
        workspaces: Workspaces,
        clone_credential: CloneCredential,
        heads: RepositoryHeads,
    ) -> None:
        self._task_runs = task_runs
        self._repositories = repositories
        self._workspaces = workspaces
        self._clone_credential = clone_credential
        self._heads = heads
        self._known: dict[tuple[str, str], asyncio.Task[Snapshot]] = {}

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[Snapshot, None]:
        """What the current call reads: its run's snapshot, or a repository's newest outside of runs.

        A tool's failures leave it as errors. Raises RunRequired, RunHasNoRepository and what preparing the
        repository can raise.
        """
        with told_as_errors():
            yield await self.prepare()

    async def prepare(self) -> Snapshot:
        """Have what the call reads at hand; cheap after the first time. Errors as in `reading`."""
        origin = current_caller().origin
        if origin is not None:
            return await self.prepare_run(origin.task_run_id)
        with told_as_errors():
            return snapshot_of(self._workspaces.objects, *await self._heads.newest())

    async def prepare_run(self, task_run_id: str) -> Snapshot:
        """As `prepare`, for a run of the caller's tenant that is named."""
        caller = current_caller()
        key = (caller.tenant_id, task_run_id)
        task = self._known.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            self._make_room()
            # Its own caller without a deadline: it must not end with whichever call came first.
            on_own_account = Caller(request_id=caller.request_id, tenant_id=caller.tenant_id)
            with calling(on_own_account):
                task = asyncio.create_task(self._pinned(*key))
            self._known[key] = task
        with told_as_errors():
            return await asyncio.shield(task)

    async def aclose(self) -> None:
        """End preparations under way."""
        tasks = list(self._known.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _make_room(self) -> None:
        surplus = len(self._known) - RUNS_MAX + 1
        for key in [key for key, task in self._known.items() if task.done()][: max(0, surplus)]:
            del self._known[key]

    async def _pinned(self, tenant_id: str, task_run_id: str) -> Snapshot:
        run = (await self._task_runs.GetTaskRun(GetTaskRunRequest(task_run_id=task_run_id))).task_run
        if not run.repository_id:
            raise RunHasNoRepository("This run has no repository, so there is nothing to read.")
        asked = GetRepositoryRequest(repository_id=run.repository_id)
        repository = (await self._repositories.GetRepository(asked)).repository
        pin = await self._pin(tenant_id, run, repository, run.commit)
        if not run.commit:
            reach(CrashPoint.RUN_PREPARED)
            wanted = PinCommitRequest(task_run_id=task_run_id, commit=pin.commit)
            held = await self._task_runs.PinCommit(wanted)
            if held.commit != pin.commit:  # another process was first
                pin = await self._pin(tenant_id, run, repository, held.commit)
        return snapshot_of(self._workspaces.objects, pin, repository)

    async def _pin(self, tenant_id: str, run: TaskRun, repository: Repository, commit: str) -> Pin:
        return await self._workspaces.pin(
            f"{tenant_id}/{repository.repository_id}",
            repository.clone_url,
            workspace_run_id(tenant_id, run.task_run_id),
            ref=repository.default_branch or None,
            commit=commit or None,
            credential=await self._clone_credential(run, repository),
        )


def workspace_run_id(tenant_id: str, task_run_id: str) -> str:
    """A run's name in the workspace, from which its tenant can be read back: 64 hex digits."""
    return uuid.UUID(tenant_id).hex + uuid.UUID(task_run_id).hex


def run_of_workspace(name: str) -> tuple[str, str]:
    """The tenant and run behind a name in the workspace."""
    return str(uuid.UUID(name[:32])), str(uuid.UUID(name[32:]))


def snapshot_of(objects: GitObjects, pin: Pin, repository: Repository) -> Snapshot:
    """What the tools read; folders that are not set keep the snapshot's defaults."""
    folders = {"spec_folders": tuple(repository.spec_folders), "adr_folders": tuple(repository.adr_folders)}
    told = {name: value for name, value in folders.items() if value}
    return Snapshot(objects, pin.git_dir, pin.commit, **told)
