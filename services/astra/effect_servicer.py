"""EffectService."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aucert.astra.v1 import effect_service_pb2 as pb
from aucert.astra.v1.effect_service_pb2_grpc import EffectServiceServicer
from services.astra.effect_store import EffectStore
from services.common.caller import current_caller

if TYPE_CHECKING:
    from services.common.door import Context


class EffectServicer(EffectServiceServicer):
    """The ledger of what tools change at vendors."""

    def __init__(self, effects: EffectStore) -> None:
        self._effects = effects

    async def BeginEffect(self, request: pb.BeginEffectRequest, context: Context) -> pb.BeginEffectResponse:
        """Write an effect down, or find it."""
        del context
        effect, created = await self._effects.begin(current_caller().tenant_id, request)
        return pb.BeginEffectResponse(effect=effect, created=created)

    async def FinishEffect(
        self, request: pb.FinishEffectRequest, context: Context
    ) -> pb.FinishEffectResponse:
        """Note that an effect is done."""
        del context
        await self._effects.finish(current_caller().tenant_id, request)
        return pb.FinishEffectResponse()
