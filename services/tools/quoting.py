"""What people wrote, as a model reads it: behind "> ", line by line.

So no comment can pass for another, or for a tool's own words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

LINE_CHARS_MAX = 1_000
"""A longer line is shown as several."""
INVISIBLE = "\N{ZERO WIDTH SPACE}"
"""Takes a mention's effect and keeps its look."""
_OURS = re.compile(r"<!--\s*astra:.*?-->", re.DOTALL)


def quoted(text: str | None) -> list[str]:
    """What a person wrote, as lines a reader cannot mistake for anything else; our own marks left out."""
    shown = _OURS.sub("", text or "").strip("\r\n")
    return [f"> {piece}" for line in shown.splitlines() for piece in _pieces(line)] or ["> (no text)"]


def one_line(text: str | None) -> str:
    """A title or a name, whatever it holds, on one line."""
    return " ".join((text or "").split())[:LINE_CHARS_MAX]


def _pieces(line: str) -> Iterator[str]:
    yield line[:LINE_CHARS_MAX]
    for start in range(LINE_CHARS_MAX, len(line), LINE_CHARS_MAX):
        yield line[start : start + LINE_CHARS_MAX]
