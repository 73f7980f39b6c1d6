"""PrincipalService."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aucert.astra.v1 import principal_service_pb2 as pb
from aucert.astra.v1.principal_service_pb2_grpc import PrincipalServiceServicer
from services.astra.principal_store import PrincipalStore

if TYPE_CHECKING:
    from services.common.door import Context


TENANTS_PAGE, TENANTS_PAGE_MAX = 200, 1_000


class PrincipalServicer(PrincipalServiceServicer):
    """Whose token it is, and which tenant a slug names."""

    def __init__(self, principals: PrincipalStore) -> None:
        self._principals = principals

    async def AuthenticatePrincipal(
        self, request: pb.AuthenticatePrincipalRequest, context: Context
    ) -> pb.AuthenticatePrincipalResponse:
        """Find the principal of a token."""
        del context
        return pb.AuthenticatePrincipalResponse(
            principal=await self._principals.of_token(request.token_sha256)
        )

    async def ResolveTenant(
        self, request: pb.ResolveTenantRequest, context: Context
    ) -> pb.ResolveTenantResponse:
        """Find a tenant by its slug or id."""
        del context
        tenant_id, slug = await self._principals.tenant(slug=request.slug, tenant_id=request.tenant_id)
        return pb.ResolveTenantResponse(tenant_id=tenant_id, slug=slug)

    async def ListTenants(self, request: pb.ListTenantsRequest, context: Context) -> pb.ListTenantsResponse:
        """A page of tenants."""
        del context
        size = min(request.page_size or TENANTS_PAGE, TENANTS_PAGE_MAX)
        found = await self._principals.tenants(after=request.page_token, limit=size + 1)
        return pb.ListTenantsResponse(
            tenant_ids=found[:size], next_page_token=found[size - 1] if len(found) > size else ""
        )
