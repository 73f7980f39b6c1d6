"""Which models a tenant set for itself and its agents, as Astra keeps it, remembered for a moment."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from aucert.astra.v1.model_default_service_pb2 import ListModelDefaultsRequest
from services.common.caller import current_caller

if TYPE_CHECKING:
    from aucert.astra.v1.model_default_service_pb2_grpc import ModelDefaultServiceAsyncStub

REMEMBERED_SECONDS = 10.0
"""How long a change may take to be heeded."""
TENANTS_MAX = 1_000
Defaults: TypeAlias = Mapping[tuple[str, str], str]
"""Alias by agent and operation; an empty word stands for every agent, or every operation."""


class TenantDefaults:
    """The defaults of the caller's tenant."""

    def __init__(self, stub: ModelDefaultServiceAsyncStub) -> None:
        self._stub = stub
        self._known: dict[str, tuple[float, Defaults]] = {}

    async def of_caller(self) -> Defaults:
        """What is set, at most REMEMBERED_SECONDS old. Raises AioRpcError while Astra is away."""
        tenant_id = current_caller().tenant_id
        asked, defaults = self._known.get(tenant_id, (0.0, {}))
        if not asked or time.monotonic() - asked > REMEMBERED_SECONDS:
            listed = await self._stub.ListModelDefaults(ListModelDefaultsRequest())
            defaults = {(each.agent_slug, each.operation): each.model_alias for each in listed.model_defaults}
            if len(self._known) >= TENANTS_MAX:
                self._known.clear()
            self._known[tenant_id] = (time.monotonic(), defaults)
        return defaults
