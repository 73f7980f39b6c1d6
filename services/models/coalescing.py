"""Few larger pieces of text instead of many small ones: a model writes a word at a time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator

from services.models.provider import Generation

CHARS_MAX = 256
DELAY_SECONDS_MAX = 0.05


async def coalesce(pieces: AsyncGenerator[str | Generation, None]) -> AsyncGenerator[str | Generation, None]:
    """Join text until it has CHARS_MAX characters or its oldest is DELAY_SECONDS_MAX old.

    Text is never held back by a provider that pauses. Leaving early closes `pieces`.
    """
    held, since = "", 0.0
    upcoming = asyncio.ensure_future(anext(pieces, None))
    try:
        while True:
            left = max(0.0, since + DELAY_SECONDS_MAX - time.monotonic()) if held else None
            done, _ = await asyncio.wait((upcoming,), timeout=left)
            piece = upcoming.result() if done else ""
            if isinstance(piece, str):
                since = since if held else time.monotonic()
                held += piece
                if held and (not done or len(held) >= CHARS_MAX):
                    yield held
                    held = ""
            else:
                if held:
                    yield held
                if piece is not None:
                    yield piece
                return
            if done:
                upcoming = asyncio.ensure_future(anext(pieces, None))
    finally:
        upcoming.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await upcoming
        await pieces.aclose()
