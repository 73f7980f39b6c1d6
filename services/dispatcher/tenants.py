"""Slugs and ids of tenants, asked of Astra and remembered: every webhook names its tenant by slug."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aucert.astra.v1.principal_service_pb2 import (
    ListTenantsRequest,
    ResolveTenantRequest,
    ResolveTenantResponse,
)

if TYPE_CHECKING:
    from aucert.astra.v1.principal_service_pb2_grpc import PrincipalServiceAsyncStub

REMEMBERED_SECONDS = 300.0
REMEMBERED_MAX = 10_000
TENANTS_PAGE, TENANTS_PAGES_MAX = 1_000, 100


class Tenants:
    """Both directions. Raises AioRpcError with TENANT_NOT_FOUND for one that is not there."""

    def __init__(self, stub: PrincipalServiceAsyncStub) -> None:
        self._stub = stub
        self._ids: dict[str, tuple[float, str]] = {}
        self._slugs: dict[str, tuple[float, str]] = {}

    async def id_of(self, slug: str) -> str:
        """The tenant's id."""
        return _fresh(self._ids, slug) or (await self._ask(ResolveTenantRequest(slug=slug))).tenant_id

    async def slug_of(self, tenant_id: str) -> str:
        """The tenant's slug, the first part of its workflow ids."""
        return (
            _fresh(self._slugs, tenant_id)
            or (await self._ask(ResolveTenantRequest(tenant_id=tenant_id))).slug
        )

    async def all(self) -> list[str]:
        """The ids of all tenants, of at most TENANTS_PAGES_MAX pages."""
        found: list[str] = []
        request = ListTenantsRequest(page_size=TENANTS_PAGE)
        for _ in range(TENANTS_PAGES_MAX):
            page = await self._stub.ListTenants(request)
            found += page.tenant_ids
            request.page_token = page.next_page_token
            if not page.next_page_token:
                break
        return found

    async def _ask(self, request: ResolveTenantRequest) -> ResolveTenantResponse:
        found = await self._stub.ResolveTenant(request)
        if len(self._ids) >= REMEMBERED_MAX:
            self._ids.clear()
            self._slugs.clear()
        until = time.monotonic() + REMEMBERED_SECONDS
        self._ids[found.slug] = (until, found.tenant_id)
        self._slugs[found.tenant_id] = (until, found.slug)
        return found


def _fresh(known: dict[str, tuple[float, str]], key: str) -> str | None:
    until, value = known.get(key, (0.0, ""))
    return value if until > time.monotonic() else None
