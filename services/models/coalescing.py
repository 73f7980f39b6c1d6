"""Few larger pieces instead of many small ones: a model writes a word at a time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator

from services.models.provider import Delta, Generation, Piece, ToolCallDelta

CHARS_MAX = 256
DELAY_SECONDS_MAX = 0.05


async def coalesce(pieces: AsyncGenerator[Piece, None]) -> AsyncGenerator[Piece, None]:
    """Join what belongs together until it has CHARS_MAX characters or DELAY_SECONDS_MAX have passed.

    After a pause the next piece goes through at once, so the first word is not late, and none is held back
    by a provider that pauses. Leaving early closes `pieces`.
    """
    held: Delta | None = None
    passed_on = 0.0  # when something last went through
    upcoming = asyncio.ensure_future(anext(pieces, None))
    try:
        while True:
            left = passed_on + DELAY_SECONDS_MAX - time.monotonic()
            if held is not None and (left <= 0 or _chars(held) >= CHARS_MAX):
                yield held
                held, passed_on = None, time.monotonic()
            # Only what is held has a time by which it must go on.
            done, _ = await asyncio.wait((upcoming,), timeout=None if held is None else max(left, 0.0))
            if not done:
                continue
            piece = upcoming.result()
            if piece is None or isinstance(piece, Generation):
                if held is not None:
                    yield held
                if piece is not None:
                    yield piece
                return
            joined = piece if held is None else _joined(held, piece)
            if joined is None and held is not None:
                yield held
                passed_on = time.monotonic()
            held = joined or piece
            upcoming = asyncio.ensure_future(anext(pieces, None))
    finally:
        upcoming.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await upcoming
        await pieces.aclose()


def _joined(first: Delta, second: Delta) -> Delta | None:
    """Two pieces as one; None if they are of different things."""
    if isinstance(first, str) and isinstance(second, str):
        return first + second
    if isinstance(first, ToolCallDelta) and isinstance(second, ToolCallDelta) and first.index == second.index:
        return ToolCallDelta(
            first.index, first.tool_name or second.tool_name, first.arguments + second.arguments
        )
    return None


def _chars(piece: Delta) -> int:
    if isinstance(piece, ToolCallDelta):
        return len(piece.arguments)
    return len(piece) if isinstance(piece, str) else 0
