"""Pages of lists: sizes within bounds, and tokens that hold the last row's key, opaque to callers."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from google.protobuf.message import Message

from services.astra.errors import PageTokenInvalid

Row = TypeVar("Row", bound=Message)


def page_size(asked: int, *, usual: int, most: int) -> int:
    """The size of a page: 0 asks for the usual one, more than the most is clamped."""
    return min(asked or usual, most)


def first_bytes(rows: Sequence[Row], most: int) -> list[Row]:
    """The first rows, up to and with the one that makes them `most` bytes long."""
    taken: list[Row] = []
    size = 0
    for row in rows:
        if size >= most:
            break
        taken.append(row)
        size += row.ByteSize()
    return taken


def token_after(listing: str, *key: str | int) -> str:
    """A token for the rows of `listing` after `key`."""
    return base64.urlsafe_b64encode(json.dumps([listing, *key]).encode()).decode()


def key_of(token: str, listing: str, *parts: Callable[[Any], Any]) -> list[Any] | None:
    """The key in a token, each part read by its function; None without a token.

    Raises PageTokenInvalid for a token that is damaged or another list's.
    """
    if not token:
        return None
    try:
        name, *key = json.loads(base64.urlsafe_b64decode(token))
        if name != listing:
            raise PageTokenInvalid
        return [read(part) for read, part in zip(parts, key, strict=True)]
    except (ValueError, TypeError, AttributeError):
        raise PageTokenInvalid from None
