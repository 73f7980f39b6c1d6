"""Registered repositories as they stand now: what is read outside of runs, where no record pins a commit.

A call names the repository, or leaves it out where its tenant has one alone. The newest commit of the default
branch is taken once in REFRESH_SECONDS and held under a name of that while, so that calls close together read
the same commit and fetch once; the collector finds no run behind the name and lets go of it.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

from aucert.astra.v1.repository_pb2 import Repository
from aucert.astra.v1.repository_service_pb2 import GetRepositoryRequest, ListRepositoriesRequest
from aucert.astra.v1.task_run_pb2 import TaskRun
from services.common.caller import Caller, calling, current_caller
from services.tools.failures import RunRequired
from services.tools.git import Credential
from services.tools.github_client import GitHubClient
from services.tools.mirror import Pin
from services.tools.vendor_errors import VendorRefused
from services.tools.workspace import Workspaces

if TYPE_CHECKING:
    from aucert.astra.v1.repository_service_pb2_grpc import RepositoryServiceAsyncStub

REFRESH_SECONDS = 60
HEADS_MAX = 1_024
_GITHUB = "github:"


class RepositoryHeads:
    """The newest commits, HEADS_MAX of them remembered; calls at once share one fetch."""

    def __init__(
        self, repositories: RepositoryServiceAsyncStub, workspaces: Workspaces, github: GitHubClient
    ) -> None:
        self._repositories = repositories
        self._workspaces = workspaces
        self._github = github
        self._known: dict[tuple[str, str, int], asyncio.Task[Pin]] = {}

    async def newest(self) -> tuple[Pin, Repository]:
        """The commit the caller reads, and its repository, looked up each time: one taken away is closed.

        Raises RunRequired where it is not clear which is meant, REPOSITORY_NOT_FOUND, and what fetching it
        can raise.
        """
        caller = current_caller()
        repository = await self._chosen(caller.repository)
        key = (caller.tenant_id, repository.repository_id, int(time.time()) // REFRESH_SECONDS)
        task = self._known.get(key)
        if task is None or _is_gone(task):
            self._make_room()
            # Its own caller without a deadline: it must not end with whichever call came first.
            with calling(Caller(request_id=caller.request_id, tenant_id=caller.tenant_id)):
                task = asyncio.create_task(self._pinned(key[2], caller.tenant_id, repository))
            self._known[key] = task
        return await asyncio.shield(task), repository

    async def aclose(self) -> None:
        """End fetches under way."""
        tasks = list(self._known.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _chosen(self, slug: str) -> Repository:
        if slug:
            return (await self._repositories.GetRepository(GetRepositoryRequest(slug=slug))).repository
        some = (await self._repositories.ListRepositories(ListRepositoriesRequest(page_size=2))).repositories
        if len(some) != 1:
            raise RunRequired(
                "This tool reads a repository. Outside of a run, name a registered one by its slug in "
                "metadata astra-repository; `astra repositories list` shows them."
            )
        return some[0]

    def _make_room(self) -> None:
        surplus = len(self._known) - HEADS_MAX + 1
        for key in [key for key, task in self._known.items() if task.done()][: max(0, surplus)]:
            del self._known[key]

    async def _pinned(self, moment: int, tenant_id: str, repository: Repository) -> Pin:
        name = uuid.uuid5(uuid.UUID(repository.repository_id), str(moment))
        return await self._workspaces.pin(
            f"{tenant_id}/{repository.repository_id}",
            repository.clone_url,
            uuid.UUID(tenant_id).hex + name.hex,  # as a run's, which the collector asks the record for
            ref=repository.default_branch or None,
            credential=await clone_credential(self._github, repository),
        )


async def clone_credential(github: GitHubClient, repository: Repository) -> Credential | None:
    """What git shows when it clones a repository outside of runs; None: what is public can be read."""
    run = TaskRun()
    names = [each.removeprefix(_GITHUB) for each in repository.source_containers if each.startswith(_GITHUB)]
    if names and repository.clone_url.startswith("https://"):
        with suppress(VendorRefused):  # the App is not installed there
            run.address.github.installation_id = await github.installation_of(names[0])
    return await github.clone_credential(run, repository)


def _is_gone(task: asyncio.Task[Pin]) -> bool:
    """Whether it failed, or its mirror has made room for others."""
    if not task.done():
        return False
    return task.cancelled() or task.exception() is not None or not task.result().git_dir.exists()
