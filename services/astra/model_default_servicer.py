"""ModelDefaultService."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aucert.astra.v1 import model_default_service_pb2 as pb
from aucert.astra.v1.model_default_service_pb2_grpc import ModelDefaultServiceServicer
from services.astra.model_default_store import ModelDefaultStore
from services.common.caller import current_caller

if TYPE_CHECKING:
    from services.common.door import Context


class ModelDefaultServicer(ModelDefaultServiceServicer):
    """Which models answer for the caller's tenant and its agents."""

    def __init__(self, defaults: ModelDefaultStore) -> None:
        self._defaults = defaults

    async def SetModelDefault(
        self, request: pb.SetModelDefaultRequest, context: Context
    ) -> pb.SetModelDefaultResponse:
        """Set the model of an agent or the tenant for an operation, or take it back."""
        del context
        caller = current_caller()
        name = caller.principal.name if caller.principal else ""
        return pb.SetModelDefaultResponse(
            model_default=await self._defaults.set(caller.tenant_id, request, name)
        )

    async def ListModelDefaults(
        self, request: pb.ListModelDefaultsRequest, context: Context
    ) -> pb.ListModelDefaultsResponse:
        """List what is set."""
        del request, context
        return pb.ListModelDefaultsResponse(
            model_defaults=await self._defaults.all(current_caller().tenant_id)
        )
