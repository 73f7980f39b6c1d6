"""The public keys Google signs identity tokens with, asked of the tools service and remembered."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import grpc

from aucert.tools.v1.drive_changes_service_pb2 import ListSigningKeysRequest
from services.common.errors import ServiceError, Unavailable

if TYPE_CHECKING:
    from aucert.tools.v1.drive_changes_service_pb2_grpc import DriveChangesServiceAsyncStub

READ_SECONDS = 10.0
AGAIN_SECONDS = 60.0
"""How often a key we do not know may have us ask anew: strangers can name any."""
FAILED_SECONDS = 3.0
"""How long nobody asks after it failed: strangers may come by the thousand."""


class GoogleKeys:
    """Raises the errors of the call while there is nothing to remember."""

    def __init__(self, google: DriveChangesServiceAsyncStub) -> None:
        self._google = google
        self._keys: dict[str, str] = {}
        self._until = 0.0
        self._asked = self._failed = float("-inf")
        self._asking = asyncio.Lock()

    async def key(self, key_id: str) -> str:
        """A key as PEM, by Google's name for it. Empty: Google has no such key."""
        if not key_id:
            return ""
        if key_id in self._keys and time.monotonic() < self._until:
            return self._keys[key_id]  # whoever has a key we know waits for nobody
        async with self._asking:
            now = time.monotonic()
            unknown = key_id not in self._keys and now - self._asked >= AGAIN_SECONDS
            if now - self._failed < FAILED_SECONDS and (now >= self._until or key_id not in self._keys):
                raise Unavailable("Google's keys could not be read just now.")
            if now >= self._until or unknown:
                await self._ask()
        return self._keys.get(key_id, "")

    async def _ask(self) -> None:
        self._asked = time.monotonic()
        try:
            told = await self._google.ListSigningKeys(ListSigningKeysRequest(), timeout=READ_SECONDS)
        except (grpc.aio.AioRpcError, ServiceError):
            self._failed = time.monotonic()
            raise
        now = time.monotonic()
        lives = (told.expiration_time.ToDatetime(UTC) - datetime.now(UTC)).total_seconds()
        self._keys = {each.key_id: each.public_key_pem for each in told.keys}
        self._until = now + max(AGAIN_SECONDS, lives)
