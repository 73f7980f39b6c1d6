"""What a vendor is to CatchUpService: somebody who can read its containers again.

A vendor is an entry in the map that `main.py` makes, by the source that begins a container's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeAlias

from aucert.tools.v1.catch_up_service_pb2 import ScanContainerRequest, ScanContainerResponse


class Catcher(Protocol):
    """Reads one vendor's containers. Raises the errors of `vendor_errors`."""

    async def scan(self, request: ScanContainerRequest) -> ScanContainerResponse:
        """What happened in the container from the cursor on."""
        ...


Catchers: TypeAlias = Mapping[str, Catcher]
