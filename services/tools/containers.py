"""Which channels and projects a tool call may touch: decided by the record at each call.

A place is open to agents when it is a source container of a registered repository of the tenant. A run whose
requesters are not trusted has the place it was asked in and no other: what it reads it may say aloud there.
How a vendor's places are named is the vendor's modules' to know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from aucert.astra.v1.repository_service_pb2 import GetRepositoryRequest, ListRepositoriesRequest
from aucert.astra.v1.task_run_pb2 import TaskRun
from aucert.astra.v1.task_run_service_pb2 import GetTaskRunRequest
from services.common.caller import acting_for, current_caller
from services.tools.errors import ContainerNotRegistered

if TYPE_CHECKING:
    from aucert.astra.v1.repository_service_pb2_grpc import RepositoryServiceAsyncStub
    from aucert.astra.v1.task_run_service_pb2_grpc import TaskRunServiceAsyncStub

REPOSITORIES_PAGE, REPOSITORIES_PAGES_MAX = 200, 50


@dataclass(frozen=True, slots=True)
class Containers:
    """The allow-list as one call sees it. `run` is the run of the call, None: it has none."""

    run: TaskRun | None
    repositories: RepositoryServiceAsyncStub

    @property
    def is_trusted(self) -> bool:
        """Whether the call may use more than the place its run was asked in."""
        return self.run is None or self.run.requester_trusted

    async def check(self, place: str, names: Sequence[str], *, is_own: bool) -> None:
        """Raise ContainerNotRegistered for a place that none of its names opens to this call.

        `place` is what a model calls it; `is_own`: the run was asked in it.
        """
        if not (self.is_trusted or is_own):
            raise ContainerNotRegistered(f"This run can use the place it was asked in, and not {place}.")
        for name in names:
            if await self._is_registered(name):
                return
        raise ContainerNotRegistered(
            f"Agents may not use {place}: it belongs to no registered repository. List what is open, or say "
            "in your answer what you needed it for."
        )

    async def listed(self, prefix: str) -> list[str]:
        """The registered names that begin so, without the beginning; of so many repositories at most."""
        found: list[str] = []
        request = ListRepositoriesRequest(page_size=REPOSITORIES_PAGE)
        with acting_for(current_caller().tenant_id):
            for _ in range(REPOSITORIES_PAGES_MAX):
                page = await self.repositories.ListRepositories(request)
                found += [name for each in page.repositories for name in each.source_containers]
                request.page_token = page.next_page_token
                if not page.next_page_token:
                    break
        return [name.removeprefix(prefix) for name in found if name.startswith(prefix)]

    async def _is_registered(self, name: str) -> bool:
        try:
            with acting_for(current_caller().tenant_id):
                await self.repositories.GetRepository(GetRepositoryRequest(source_container=name))
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                return False
            raise
        return True


class ContainerAccess:
    """Opens the allow-list for calls."""

    def __init__(self, task_runs: TaskRunServiceAsyncStub, repositories: RepositoryServiceAsyncStub) -> None:
        self._task_runs = task_runs
        self._repositories = repositories

    async def open(self) -> Containers:
        """The allow-list for the current call. Asks the record alone, so that a repeated call is not lost."""
        caller = current_caller()
        run: TaskRun | None = None
        if caller.origin is not None:
            asked = GetTaskRunRequest(task_run_id=caller.origin.task_run_id)
            with acting_for(caller.tenant_id):  # as ourselves: only the worker may act inside a run
                run = (await self._task_runs.GetTaskRun(asked)).task_run
        return Containers(run, self._repositories)
