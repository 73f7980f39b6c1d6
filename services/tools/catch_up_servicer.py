"""CatchUpService: what a vendor's webhooks may have failed to tell, read from the vendor itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aucert.tools.v1 import catch_up_service_pb2 as pb
from aucert.tools.v1.catch_up_service_pb2_grpc import CatchUpServiceServicer
from services.tools.catch_up import Catchers, DeliveryLogs
from services.tools.vendor_errors import SourceOff

if TYPE_CHECKING:
    from services.common.door import Context


class CatchUpServicer(CatchUpServiceServicer):
    """Asks the vendor of each container, and those that keep a log of their deliveries."""

    def __init__(self, catchers: Catchers, logs: DeliveryLogs) -> None:
        self._catchers = catchers
        self._logs = logs

    async def ScanContainer(
        self, request: pb.ScanContainerRequest, context: Context
    ) -> pb.ScanContainerResponse:
        """Read a container."""
        del context
        source = request.container.partition(":")[0]
        if source not in self._catchers:
            raise SourceOff(f"{source} cannot be caught up.")
        return await self._catchers[source].scan(request)

    async def RetryDeliveries(
        self, request: pb.RetryDeliveriesRequest, context: Context
    ) -> pb.RetryDeliveriesResponse:
        """Have failed deliveries sent again."""
        del context
        if request.source not in self._logs:
            raise SourceOff(f"{request.source} keeps no log of its deliveries.")
        return await self._logs[request.source].retry(request)
