"""Lists that Google hands out page by page, each page knowing only the next."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

from services.tools.google_access import GoogleCall
from services.tools.google_client import Json
from services.tools.vendor_errors import VendorUnavailable
from services.tools.vendor_pages import Entry, Part

LOOKED_THROUGH_PAGES_MAX = 10
"""Pages of 100 that are searched for an earlier change."""
WALKED_PAGES_MAX = 20
"""Pages of a list that a model can reach."""
PAGE_SIZE = 100
ItemT = TypeVar("ItemT")


async def items(
    call: GoogleCall, path: str, key: str, *, fields: str, **params: str | int
) -> AsyncIterator[Json]:
    """Every item of a list, to look for one. Raises VendorUnavailable where there are too many."""
    page_token = ""
    for _ in range(LOOKED_THROUGH_PAGES_MAX):
        more = {"pageToken": page_token} if page_token else {}
        page = await call.read(
            path, fields=f"nextPageToken,{key}({fields})", pageSize=PAGE_SIZE, **params, **more
        )
        for each in page[key]:
            yield each
        page_token = str(page.get("nextPageToken") or "")
        if not page_token:
            return
    raise VendorUnavailable("There is too much to look through for an earlier change.")


def by_number(
    fetch: Callable[[str], Awaitable[tuple[Sequence[Entry[ItemT]], str]]],
) -> Callable[[int], Awaitable[Part[ItemT]]]:
    """Pages by their number, from 1: those before are read again, for nothing is kept between calls.

    `fetch` gets the page behind a token, empty for the first, and gives its entries and the next token.
    """
    known = {1: ""}

    async def numbered(number: int) -> Part[ItemT]:
        if number > WALKED_PAGES_MAX:
            return Part((), last=True)
        for place in range(max(each for each in known if each <= number), number + 1):
            entries, following = await fetch(known[place])
            if following:
                known[place + 1] = following
            if place == number:
                return Part(entries, last=not following)
            if not following:
                break  # the list has become shorter
        return Part((), last=True)

    return numbered
