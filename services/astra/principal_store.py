"""Whose token it is, and which tenant a slug names: asked as the relay role, for no tenant is known yet."""

from __future__ import annotations

from sqlalchemy import select

from aucert.astra.v1.principal_pb2 import Principal as PrincipalMessage
from services.astra import convert
from services.astra.errors import TenantNotFound, TokenInvalid
from services.astra.tables import Principal, Tenant
from services.common import caller
from services.common.database import Database
from services.common.identity import Authenticator


class PrincipalStore:
    """Principals of all tenants."""

    def __init__(self, relay: Database) -> None:
        self._relay = relay

    async def of_token(self, token_sha256: bytes) -> PrincipalMessage:
        """The principal whose token has this digest. Raises TokenInvalid."""
        query = select(Principal.id, Principal.tenant_id, Principal.name, Principal.scopes).where(
            Principal.token_sha256 == token_sha256
        )
        async with self._relay.transaction() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise TokenInvalid
        return convert.principal(row)

    async def tenant(self, *, slug: str = "", tenant_id: str = "") -> tuple[str, str]:
        """Id and slug of the tenant with this slug, or else this id. Raises TenantNotFound."""
        named = Tenant.slug == slug if slug else Tenant.id == tenant_id
        async with self._relay.transaction() as connection:
            row = (await connection.execute(select(Tenant.id, Tenant.slug).where(named))).one_or_none()
        if row is None:
            raise TenantNotFound(slug or tenant_id)
        return str(row.id), row.slug

    async def tenants(self, *, after: str, limit: int) -> list[str]:
        """A page of ids, in order, from the one behind `after` on. Empty: from the first."""
        query = select(Tenant.id).order_by(Tenant.id).limit(limit)
        if after:
            query = query.where(Tenant.id > after)
        async with self._relay.transaction() as connection:
            return [str(each) for each in (await connection.execute(query)).scalars()]


class LocalAuthenticator(Authenticator):
    """Astra's own door: what RemoteAuthenticator asks of Astra, asked of the record."""

    def __init__(self, principals: PrincipalStore) -> None:
        super().__init__()
        self._principals = principals

    async def _find(self, digest: bytes) -> caller.Principal:
        found = await self._principals.of_token(digest)
        return caller.Principal(found.name, found.tenant_id, frozenset(found.scopes))
