"""Clients of the vendors that make each call as the account of the work at hand.

Each is its vendor's client to whoever holds it. Underneath, every account has a client of its own, which
keeps what belongs to the account: connections, who we are there, how many calls are left.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from githubkit import Response

from aucert.astra.v1.repository_pb2 import Repository
from aucert.astra.v1.task_run_pb2 import TaskRun
from aucert.astra.v1.token_vault_pb2 import TokenUse
from services.tools.brave_client import BraveClient, BraveSubscription
from services.tools.credentials import READ, Accounts, use_of, working_for
from services.tools.git import Credential
from services.tools.github_client import GitHubApp, GitHubClient, Reach
from services.tools.google_client import GoogleAccount, GoogleClient
from services.tools.pace import Pace
from services.tools.plane_client import PlaneClient, PlaneWorkspace
from services.tools.slack_client import Me, SlackApp, SlackClient
from services.tools.vendor_errors import SourceOff

CLIENTS_MAX = 200
"""Clients of one vendor; beyond it the one unused for longest is closed."""
Json = Any
AccountT = TypeVar("AccountT")
ClientT = TypeVar("ClientT")


class Clients(Generic[AccountT, ClientT]):
    """A client for each account, made when first needed."""

    def __init__(
        self,
        accounts: Accounts[AccountT],
        make: Callable[[AccountT], ClientT],
        close: Callable[[ClientT], Awaitable[None]] | None = None,
    ) -> None:
        self._accounts = accounts
        self._make = make
        self._close = close
        self._made: OrderedDict[AccountT, ClientT] = OrderedDict()

    async def at_hand(self, use: TokenUse.ValueType) -> ClientT:
        """The client of the account for the work at hand. Raises as `Vault.open`."""
        account = await self._accounts.at_hand(use)
        if account not in self._made:
            self._made[account] = self._make(account)
        self._made.move_to_end(account)
        client = self._made[account]
        if len(self._made) > CLIENTS_MAX:
            await self._closed(self._made.popitem(last=False)[1])
        return client

    async def aclose(self) -> None:
        """Close all of them."""
        while self._made:
            await self._closed(self._made.popitem()[1])

    async def _closed(self, client: ClientT) -> None:
        if self._close is not None:
            await self._close(client)


class SlackAtHand(SlackClient):
    """Slack, as the app of the work at hand."""

    def __init__(self, accounts: Accounts[SlackApp], pace: Pace) -> None:
        super().__init__(accounts.own, pace=pace)
        self._clients = Clients(accounts, partial(SlackClient, pace=pace), SlackClient.aclose)

    async def me(self) -> Me:
        """Who that app is there."""
        return await (await self._clients.at_hand(READ)).me()

    async def person(self, user_id: str) -> Json:
        """What that app is told of somebody."""
        return await (await self._clients.at_hand(READ)).person(user_id)

    async def _call(self, method: str, **request: Json) -> Json:
        client = await self._clients.at_hand(use_of(request.get("http_verb", "POST")))
        return await client._call(method, **request)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._clients.aclose()


class PlaneAtHand(PlaneClient):
    """Plane, as the member of the work at hand, in that one's workspace."""

    def __init__(self, accounts: Accounts[PlaneWorkspace], pace: Pace) -> None:
        super().__init__(accounts.own, pace=pace)
        self._clients = Clients(accounts, partial(PlaneClient, pace=pace), PlaneClient.aclose)

    async def my_id(self) -> str:
        """Who that member is."""
        return await (await self._clients.at_hand(READ)).my_id()

    async def web_url(self) -> str:
        """That workspace in the web application."""
        return await (await self._clients.at_hand(READ)).web_url()

    async def members(self, wanted: set[str]) -> Mapping[str, Json]:
        """That workspace's members."""
        return await (await self._clients.at_hand(READ)).members(wanted)

    async def projects(self, **how: float) -> Mapping[str, Json]:
        """The projects that member sees."""
        return await (await self._clients.at_hand(READ)).projects(**how)

    async def _call(self, method: str, path: str, **request: Json) -> Json:
        return await (await self._clients.at_hand(use_of(method)))._call(method, path, **request)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._clients.aclose()


class GoogleAtHand(GoogleClient):
    """Google, as the account of the work at hand. Its public keys are everybody's."""

    def __init__(self, accounts: Accounts[GoogleAccount], pace: Pace) -> None:
        super().__init__(accounts.own, pace=pace)
        self._clients = Clients(accounts, partial(GoogleClient, pace=pace), GoogleClient.aclose)

    async def email(self) -> str:
        """That account's address."""
        return await (await self._clients.at_hand(READ)).email()

    async def _call(self, method: str, path: str, **request: Json) -> Json:
        return await (await self._clients.at_hand(use_of(method)))._call(method, path, **request)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._clients.aclose()
        await super().aclose()


class BraveAtHand(BraveClient):
    """Brave, by the subscription of the work at hand."""

    def __init__(self, accounts: Accounts[BraveSubscription], pace: Pace) -> None:
        super().__init__(accounts.own, pace=pace)
        self._clients = Clients(accounts, partial(BraveClient, pace=pace), BraveClient.aclose)

    async def search(self, query: str, **params: str | int) -> Json:
        """What Brave answers."""
        return await (await self._clients.at_hand(READ)).search(query, **params)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._clients.aclose()


class GitHubAtHand(GitHubClient):
    """GitHub, as the App of the work at hand; tokens of its installations are made where they are used."""

    def __init__(self, accounts: Accounts[GitHubApp], pace: Pace) -> None:
        super().__init__(accounts.own, pace=pace)
        self._clients_of = Clients(accounts, partial(GitHubClient, pace=pace))

    async def request(
        self, installation_id: int, method: str, path: str, *, reach: Reach | None = None, **more: Any
    ) -> Json:
        """Make one call as an installation of that App."""
        client = await self._clients_of.at_hand(use_of(method))
        return await client.request(installation_id, method, path, reach=reach, **more)

    async def installation_of(self, repository: str) -> int:
        """That App's installation which covers a repository. 0: the tenant has no App."""
        try:
            client = await self._clients_of.at_hand(READ)
        except SourceOff:
            return 0
        return await client.installation_of(repository)

    async def as_app(self, method: str, path: str, **more: Any) -> Response[Any]:
        """Make one call as that App itself."""
        return await (await self._clients_of.at_hand(use_of(method))).as_app(method, path, **more)

    async def clone_credential(self, run: TaskRun, repository: Repository) -> Credential | None:
        """What git shows when it clones for a run. None also for a tenant without an App: what is public."""
        if urlsplit(repository.clone_url).hostname != self._host():
            return None
        try:
            with working_for(run.task_run_id):
                client = await self._clients_of.at_hand(READ)
        except SourceOff:
            return None
        return await client.clone_credential(run, repository)
