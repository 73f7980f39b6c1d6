"""One result out of a list that a vendor hands out in pages of its own, cut where the text is full.

A continuation says which of the vendor's pages and which line of it come next, and holds for the same
arguments only. Nothing is kept between calls.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from services.tools.repo_pages import Page, Place, cut_note

PAGE_SIZE = 30
"""Items asked of a vendor at once."""
PAGES_A_CALL_MAX = 3
LINES_MAX = 1_000
"""Lines of one result; its bytes are bounded by `Page`."""
LINES_A_PAGE_MAX = 1_000_000
ItemT = TypeVar("ItemT")


@dataclass(frozen=True, slots=True)
class Entry(Generic[ItemT]):
    """An item and the lines that show it."""

    item: ItemT
    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class Part(Generic[ItemT]):
    """One of the vendor's pages. `last`: none follows."""

    entries: Sequence[Entry[ItemT]]
    last: bool


@dataclass(frozen=True, slots=True)
class Shown(Generic[ItemT]):
    """What of a list fitted. `items` are those of which something is shown; `continuation` empty: all is."""

    lines: Sequence[str]
    items: Sequence[ItemT]
    continuation: str

    def text(self, head: str, *, empty: str = "") -> str:
        """The result's text: head, lines, and how to go on."""
        lines = [*self.lines] if self.lines else [empty] if empty else []
        foot = [cut_note("more follows", self.continuation)] if self.continuation else []
        return "\n".join([head, *lines, *foot])


async def show(
    place: Place, continuation: str, fetch: Callable[[int], Awaitable[Part[ItemT]]]
) -> Shown[ItemT]:
    """Show as much as fits, from where the continuation stands. `fetch` gets the vendor's pages, from 1.

    Raises ContinuationInvalid, and what `fetch` raises.
    """
    number, first_line = divmod(place.position(continuation), LINES_A_PAGE_MAX)
    page, items = Page(entries_max=LINES_MAX), list[ItemT]()
    for _ in range(PAGES_A_CALL_MAX):
        part = await fetch(number + 1)
        at = 0
        for entry in part.entries:
            started = False
            for line in entry.lines:
                if at >= first_line and not page.add(line):
                    return Shown(page.lines, items, place.token(number * LINES_A_PAGE_MAX + at))
                if at >= first_line and not started:
                    items.append(entry.item)
                    started = True
                at += 1
        if part.last:
            return Shown(page.lines, items, "")
        number, first_line = number + 1, 0
    return Shown(page.lines, items, place.token(number * LINES_A_PAGE_MAX))
