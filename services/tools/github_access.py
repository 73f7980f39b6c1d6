"""Which repository on GitHub a tool call may touch, and with what: decided by the record at each call.

Only registered repositories, each by a token of its own that can do no more than the call needs. A run whose
requesters are not trusted has its own repository and no other: what it reads it may say aloud.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import grpc

from aucert.astra.v1.repository_pb2 import Repository
from aucert.astra.v1.repository_service_pb2 import GetRepositoryRequest, ListRepositoriesRequest
from aucert.astra.v1.task_run_pb2 import TaskRun
from aucert.astra.v1.task_run_service_pb2 import GetTaskRunRequest
from aucert.common.v1.thread_pb2 import SOURCE_GITHUB
from services.common.caller import ToolCallOrigin, acting_for, current_caller
from services.tools.errors import ArgumentsRefused, ItemNotFound, RepositoryNotRegistered
from services.tools.github_client import GitHubClient, Json, Reach
from services.tools.vendor_errors import VendorRefused

if TYPE_CHECKING:
    from aucert.astra.v1.repository_service_pb2_grpc import RepositoryServiceAsyncStub
    from aucert.astra.v1.task_run_service_pb2_grpc import TaskRunServiceAsyncStub

CONTAINER = "github:"
NAMED_MAX = 50
"""Repositories named to a model that asked for one that is not registered."""
TEXT_MATCHES = "application/vnd.github.text-match+json"
Permission = Literal["contents", "issues", "metadata", "pull_requests"]


@dataclass(frozen=True, slots=True)
class GitHubRepository:
    """A repository this call may touch, as "owner/name". `run` is the run of the call, None: it has none.

    `installation_id` 0: GitHub is asked for it. Calls raise ItemNotFound, ArgumentsRefused and the errors of
    `vendor_errors`.
    """

    name: str
    run: TaskRun | None
    installation_id: int
    client: GitHubClient

    @property
    def requester(self) -> str:
        """Login of who asked, where that is one of GitHub's. Empty: it is not."""
        return self.run.requester if self.run and self.run.source == SOURCE_GITHUB else ""

    @property
    def container(self) -> str:
        """Its name on the allow-list."""
        return f"{CONTAINER}{self.name}".lower()

    async def get(self, path: str, permission: Permission, **params: str | int) -> Json:
        """Read below the repository, as in "/issues/1"."""
        return await self._call("GET", f"/repos/{self.name}{path}", {permission: "read"}, params=params)

    async def search(self, what: str, query: str, permission: Permission, **params: str | int) -> Json:
        """Search, within the repository as far as GitHub minds that: results may be others' too."""
        asked = {"q": f"{query} repo:{self.name}", **params}
        accept = TEXT_MATCHES
        return await self._call("GET", f"/search/{what}", {permission: "read"}, params=asked, accept=accept)

    async def write(
        self, method: str, path: str, json: Mapping[str, object], *permissions: Permission
    ) -> Json:
        """Change something below the repository."""
        granted = dict.fromkeys(permissions, "write")
        return await self._call(method, f"/repos/{self.name}{path}", granted, json=json)

    async def _call(
        self,
        method: str,
        path: str,
        permissions: Mapping[Permission, str],
        *,
        params: Mapping[str, str | int] | None = None,
        json: Mapping[str, object] | None = None,
        accept: str = "application/vnd.github+json",
    ) -> Json:
        reach = Reach(self.name, tuple(sorted(permissions.items())))
        try:
            installation_id = self.installation_id or await self.client.installation_of(self.name)
            return await self.client.request(
                installation_id, method, path, params=params, json=json, reach=reach, accept=accept
            )
        except VendorRefused as refused:
            raise _for_model(refused, self.name) or refused from None


class GitHubAccess:
    """Opens repositories for calls."""

    def __init__(
        self,
        client: GitHubClient,
        task_runs: TaskRunServiceAsyncStub,
        repositories: RepositoryServiceAsyncStub,
    ) -> None:
        self._client = client
        self._task_runs = task_runs
        self._repositories = repositories

    async def open(self, name: str) -> GitHubRepository:
        """The repository a call names; empty: the one its run works in.

        Asks the record alone, so that a call which is repeated reaches its ledger whatever GitHub does.
        Raises RepositoryNotRegistered.
        """
        caller = current_caller()
        with acting_for(caller.tenant_id):  # as ourselves: only the worker may act inside a run
            run = await self._run(caller.origin)
            own = (
                await self._repository(repository_id=run.repository_id) if run and run.repository_id else None
            )
            name = name or _own_name(run, own)
            if own is None or f"{CONTAINER}{name}".lower() not in own.source_containers:
                await self._check_registered(name, run)
        return GitHubRepository(name, run, _installation(name, run), self._client)

    async def _run(self, origin: ToolCallOrigin | None) -> TaskRun | None:
        if origin is None:
            return None
        asked = GetTaskRunRequest(task_run_id=origin.task_run_id)
        return (await self._task_runs.GetTaskRun(asked)).task_run

    async def _check_registered(self, name: str, run: TaskRun | None) -> None:
        if run is not None and not run.requester_trusted:
            raise RepositoryNotRegistered("This run can use its own repository only: leave repository empty.")
        if await self._repository(source_container=f"{CONTAINER}{name}".lower()) is None:
            raise RepositoryNotRegistered(
                f"No repository is registered as {name}. Registered on GitHub: {await self._known()}."
            )

    async def _repository(self, **key: str) -> Repository | None:
        try:
            return (await self._repositories.GetRepository(GetRepositoryRequest(**key))).repository
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                return None
            raise

    async def _known(self) -> str:
        listed = await self._repositories.ListRepositories(ListRepositoriesRequest(page_size=NAMED_MAX))
        names = [name for each in listed.repositories for name in _on_github(each)]
        return ", ".join(names) or "none"


def _installation(name: str, run: TaskRun | None) -> int:
    """The one the webhook named, for the repository it came from."""
    here = run.address.github if run else None
    return here.installation_id if here and here.repository.lower() == name.lower() else 0


def _own_name(run: TaskRun | None, own: Repository | None) -> str:
    here = run.address.github.repository if run else ""
    names = [here] if here else _on_github(own) if own else []
    if not names:
        raise RepositoryNotRegistered(
            "This call has no repository of its own on GitHub: name a registered one as owner/name."
        )
    return names[0]


def _on_github(repository: Repository) -> list[str]:
    containers = repository.source_containers
    return [each.removeprefix(CONTAINER) for each in containers if each.startswith(CONTAINER)]


def _for_model(refused: VendorRefused, name: str) -> ItemNotFound | ArgumentsRefused | None:
    """A refusal that other arguments may avoid."""
    if refused.metadata.get("asked_for") == "token":
        return None
    match refused.metadata.get("http_status"):
        case "404" | "410":
            return ItemNotFound(
                f"GitHub has nothing there in {name}, or does not show it to us. Check number, path and name."
            )
        case "409" | "422":
            fields = refused.metadata.get("fields", "")
            told = f" It says: {fields}." if fields else ""
            return ArgumentsRefused(f"GitHub does not take this as it is.{told} Change the arguments.")
        case _:
            return None
