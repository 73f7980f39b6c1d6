"""One result out of the messages of a channel or thread, cut where the text is full.

A continuation says which message and which line of it come next. Slack's own cursors are not used: a
timestamp holds however many messages come meanwhile. Nothing is kept between calls.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from aucert.tools.v1.slack_service_pb2 import SlackMessage
from services.tools.repo_pages import Page, Place
from services.tools.vendor_pages import LINES_MAX, Entry, Part, Shown

LINES_A_MESSAGE_MAX = 100_000
"""More than a message of 40,000 characters, which is Slack's limit, can have."""
_MICROS = 1_000_000
Fetch = Callable[[str], Awaitable[Part[SlackMessage]]]


async def show_messages(place: Place, continuation: str, fetch: Fetch) -> Shown[SlackMessage]:
    """Show as much as fits, from where the continuation stands.

    `fetch` gets the messages from a timestamp on, that one included; empty: from the first. Raises
    ContinuationInvalid, and what `fetch` raises.
    """
    first_ts, first_line = _read(place.position(continuation))
    part = await fetch(first_ts)
    page, items = Page(entries_max=LINES_MAX), list[SlackMessage]()
    for entry in part.entries:
        shown_before = first_line if entry.item.ts == first_ts else 0
        fitted = _add(page, entry.lines[shown_before:])
        if fitted:
            items.append(entry.item)
        if shown_before + fitted < len(entry.lines):
            return Shown(page.lines, items, place.token(_position(entry, shown_before + fitted)))
    if part.last or not part.entries:
        return Shown(page.lines, items, "")
    last = part.entries[-1]
    return Shown(page.lines, items, place.token(_position(last, len(last.lines))))


def _add(page: Page, lines: Sequence[str]) -> int:
    """How many of them fitted."""
    for count, line in enumerate(lines):
        if not page.add(line):
            return count
    return len(lines)


def _position(entry: Entry[SlackMessage], line: int) -> int:
    seconds, _, micros = entry.item.ts.partition(".")
    return (int(seconds) * _MICROS + int(micros)) * LINES_A_MESSAGE_MAX + line


def _read(position: int) -> tuple[str, int]:
    """Timestamp and line; an empty timestamp: the first message."""
    stamp, line = divmod(position, LINES_A_MESSAGE_MAX)
    seconds, micros = divmod(stamp, _MICROS)
    return (f"{seconds}.{micros:06d}" if stamp else ""), line
