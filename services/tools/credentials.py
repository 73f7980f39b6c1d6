"""What the work at hand shows its vendor: a token of the vault, else the installation's own credential.

The vault decides by tenant and by the run's agent, and writes each use down. The installation's own, from
the environment, are for the tenants they are shared with and no other. Found values are remembered for less
than a minute, a line in the record for each run that uses them; they are in no log and no error.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from aucert.astra.v1.token_vault_pb2 import (
    TOKEN_USE_READ,
    TOKEN_USE_WRITE,
    Credential,
    Integration,
    TokenUse,
)
from aucert.astra.v1.token_vault_service_pb2 import ListTokensRequest, OpenTokenRequest, OpenTokenResponse
from services.common.caller import Caller, acting_for, current_caller
from services.tools.redactor import Redactor
from services.tools.vendor_errors import SourceOff

if TYPE_CHECKING:
    from aucert.astra.v1.token_vault_service_pb2_grpc import TokenVaultServiceAsyncStub

REMEMBERED_SECONDS = 45.0
REMEMBERED_MAX = 2_000
TOKENS_MAX = 200
EVERY_TENANT = "*"
READ, WRITE = TOKEN_USE_READ, TOKEN_USE_WRITE
AccountT = TypeVar("AccountT")

_run_at_hand: ContextVar[str] = ContextVar("run_at_hand", default="")


@contextmanager
def working_for(task_run_id: str) -> Iterator[None]:
    """Do the enclosed work for a run that the request names, where the call itself belongs to none."""
    token = _run_at_hand.set(task_run_id)
    try:
        yield
    finally:
        _run_at_hand.reset(token)


@dataclass(frozen=True, slots=True)
class _Whose:
    """For whom a token is asked for: what the vault decides by and writes down."""

    tenant_id: str
    task_run_id: str
    principal: str

    @classmethod
    def at_hand(cls) -> _Whose:
        caller = current_caller()
        run = caller.origin.task_run_id if caller.origin else _run_at_hand.get()
        return cls(caller.tenant_id, run, "" if run else _name(caller))


class Vault:
    """The vault of the record, as this service sees it; what it opens is made known to the redactor.

    `shared_with`: slugs of the tenants that may use the installation's own credentials, or EVERY_TENANT.
    """

    def __init__(
        self, stub: TokenVaultServiceAsyncStub, redactor: Redactor, shared_with: frozenset[str]
    ) -> None:
        self._stub = stub
        self._redactor = redactor
        self._shared_with = shared_with
        self._known: dict[str, tuple[float, frozenset[Integration.ValueType]]] = {}

    async def open(
        self, integration: Integration.ValueType, use: TokenUse.ValueType, whose: _Whose
    ) -> Credential | None:
        """The token for the work at hand; None: the installation's own is meant.

        Raises SourceOff for a tenant that has neither, and what the vault refuses as AioRpcError.
        """
        request = OpenTokenRequest(
            integration=integration, use=use, task_run_id=whose.task_run_id, principal=whose.principal
        )
        with acting_for(whose.tenant_id):  # as ourselves: only the worker may act inside a run
            found: OpenTokenResponse = await self._stub.OpenToken(request)
        if found.HasField("credential"):
            self._redactor.learn(found.credential, whose.tenant_id)
            return found.credential
        if self._shared_with.isdisjoint({found.tenant_slug, EVERY_TENANT}):
            name = Integration.Name(integration).removeprefix("INTEGRATION_").lower()
            raise SourceOff(
                f"Tenant {found.tenant_slug} has no credential of {name} in the vault, and the "
                f"installation's own is not shared with it. An operator can: `astra vault put {name}`."
            )
        return None

    async def integrations(self) -> frozenset[Integration.ValueType]:
        """What the caller's tenant has tokens for, among the first TOKENS_MAX; for whichever agent."""
        tenant_id = current_caller().tenant_id
        until, known = self._known.get(tenant_id, (0.0, frozenset[Integration.ValueType]()))
        if until > time.monotonic():
            return known
        with acting_for(tenant_id):
            listed = await self._stub.ListTokens(ListTokensRequest(page_size=TOKENS_MAX))
        found = frozenset(each.integration for each in listed.vault_tokens)
        if len(self._known) >= REMEMBERED_MAX:
            self._known.clear()
        self._known[tenant_id] = (time.monotonic() + REMEMBERED_SECONDS, found)
        return found


class Accounts(Generic[AccountT]):
    """Accounts of one integration. `own` is the installation's; `read` makes one of a credential."""

    def __init__(
        self,
        vault: Vault,
        integration: Integration.ValueType,
        own: AccountT,
        read: Callable[[Credential], AccountT],
    ) -> None:
        self._vault = vault
        self._integration: Integration.ValueType = integration
        self.own = own
        self._read = read
        self._known: dict[tuple[_Whose, TokenUse.ValueType], tuple[float, AccountT]] = {}

    async def at_hand(self, use: TokenUse.ValueType) -> AccountT:
        """The account for the work at hand. Raises as `Vault.open`."""
        key = (_Whose.at_hand(), use)
        until, known = self._known.get(key, (0.0, self.own))
        if until > time.monotonic():
            return known
        credential = await self._vault.open(self._integration, use, key[0])
        account = self.own if credential is None else self._read(credential)
        if len(self._known) >= REMEMBERED_MAX:
            self._known.clear()
        self._known[key] = (time.monotonic() + REMEMBERED_SECONDS, account)
        return account


def use_of(http_method: str) -> TokenUse.ValueType:
    """What a request of this HTTP method uses a token for."""
    return READ if http_method.upper() in ("GET", "HEAD") else WRITE


def _name(caller: Caller) -> str:
    return caller.principal.name if caller.principal else ""
