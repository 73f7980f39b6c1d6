"""The public keys Google signs identity tokens with, asked of the tools service and remembered."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aucert.tools.v1.drive_changes_service_pb2 import ListSigningKeysRequest

if TYPE_CHECKING:
    from aucert.tools.v1.drive_changes_service_pb2_grpc import DriveChangesServiceAsyncStub

READ_SECONDS = 10.0
AGAIN_SECONDS = 60.0
"""How often a key we do not know may have us ask anew: strangers can name any."""


class GoogleKeys:
    """Raises the errors of the call while there is nothing to remember."""

    def __init__(self, google: DriveChangesServiceAsyncStub) -> None:
        self._google = google
        self._keys: dict[str, str] = {}
        self._until = 0.0
        self._asked = float("-inf")
        self._asking = asyncio.Lock()

    async def key(self, key_id: str) -> str:
        """A key as PEM, by Google's name for it. Empty: Google has no such key."""
        if not key_id:
            return ""
        async with self._asking:
            now = time.monotonic()
            unknown = key_id not in self._keys and now - self._asked >= AGAIN_SECONDS
            if now >= self._until or unknown:
                await self._ask()
        return self._keys.get(key_id, "")

    async def _ask(self) -> None:
        told = await self._google.ListSigningKeys(ListSigningKeysRequest(), timeout=READ_SECONDS)
        now = time.monotonic()
        lives = (told.expiration_time.ToDatetime(UTC) - datetime.now(UTC)).total_seconds()
        self._keys = {each.key_id: each.public_key_pem for each in told.keys}
        self._until, self._asked = now + max(AGAIN_SECONDS, lives), now
