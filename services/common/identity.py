"""Whose token a call carries: asked of Astra, remembered for a short while."""

from __future__ import annotations

import hashlib
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import grpc

from aucert.astra.v1 import principal_service_pb2
from services.common.caller import Caller, Principal, calling, new_request_id
from services.common.errors import from_rpc

if TYPE_CHECKING:
    from aucert.astra.v1.principal_service_pb2_grpc import PrincipalServiceAsyncStub

REMEMBERED_SECONDS = 30.0
REMEMBERED_MAX = 10_000


def token_digest(token: str) -> bytes:
    """SHA-256 of a token: all that is stored and all that travels between services."""
    return hashlib.sha256(token.encode()).digest()


class Authenticator(ABC):
    """Finds the principal of a token and remembers it: a revoked token works REMEMBERED_SECONDS longer."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[float, Principal]] = {}

    async def principal(self, token: str) -> Principal:
        """The principal of a token. Raises Unauthenticated for an unknown one."""
        digest = token_digest(token)
        known = self._known.get(digest)
        if known and known[0] > time.monotonic():
            return known[1]
        found = await self._find(digest)
        if len(self._known) >= REMEMBERED_MAX:
            self._known.clear()
        self._known[digest] = (time.monotonic() + REMEMBERED_SECONDS, found)
        return found

    @abstractmethod
    async def _find(self, digest: bytes) -> Principal: ...


class RemoteAuthenticator(Authenticator):
    """Asks Astra's PrincipalService."""

    def __init__(self, stub: PrincipalServiceAsyncStub) -> None:
        super().__init__()
        self._stub = stub

    async def _find(self, digest: bytes) -> Principal:
        # Asked on this service's own account: the call at hand has no tenant yet.
        with calling(Caller(request_id=new_request_id(), tenant_id="")):
            try:
                response = await self._stub.AuthenticatePrincipal(
                    principal_service_pb2.AuthenticatePrincipalRequest(token_sha256=digest)
                )
            except grpc.aio.AioRpcError as error:
                raise from_rpc(error) from None
        found = response.principal
        return Principal(found.name, found.tenant_id, frozenset(found.scopes))
