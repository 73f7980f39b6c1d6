"""CatchUpService: what a vendor's webhooks may have failed to tell, read from the vendor itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aucert.tools.v1 import catch_up_service_pb2 as pb
from aucert.tools.v1.catch_up_service_pb2_grpc import CatchUpServiceServicer
from services.tools.catch_up import Catchers
from services.tools.vendor_errors import SourceOff

if TYPE_CHECKING:
    from services.common.door import Context


class CatchUpServicer(CatchUpServiceServicer):
    """Asks the vendor of each container."""

    def __init__(self, catchers: Catchers) -> None:
        self._catchers = catchers

    async def ScanContainer(
        self, request: pb.ScanContainerRequest, context: Context
    ) -> pb.ScanContainerResponse:
        """Read a container."""
        del context
        source = request.container.partition(":")[0]
        if source not in self._catchers:
            raise SourceOff(f"{source} cannot be caught up.")
        return await self._catchers[source].scan(request)
