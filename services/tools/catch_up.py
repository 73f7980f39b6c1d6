"""What a vendor is to CatchUpService: somebody who can read its containers again, or send again what it sent.

A vendor is an entry in the maps that `main.py` makes, by the source that begins a container's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeAlias

from aucert.tools.v1.catch_up_service_pb2 import (
    RetryDeliveriesRequest,
    RetryDeliveriesResponse,
    ScanContainerRequest,
    ScanContainerResponse,
)


class Catcher(Protocol):
    """Reads one vendor's containers. Raises the errors of `vendor_errors`."""

    async def scan(self, request: ScanContainerRequest) -> ScanContainerResponse:
        """What happened in the container from the cursor on."""
        ...


class DeliveryLog(Protocol):
    """What a vendor's webhooks failed to bring. Raises the errors of `vendor_errors`."""

    async def retry(self, request: RetryDeliveriesRequest) -> RetryDeliveriesResponse:
        """Have it sent again, as far as that is due."""
        ...


Catchers: TypeAlias = Mapping[str, Catcher]
DeliveryLogs: TypeAlias = Mapping[str, DeliveryLog]
