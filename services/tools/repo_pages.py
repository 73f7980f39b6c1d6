"""Pages of a long result: how much fits, how a reader goes on, and what the text says was cut.

A continuation token holds a position and a digest of commit, tool, arguments and that position. Nothing is
kept between calls, and a token used with other arguments is refused, not answered from the wrong place.
"""

import hashlib
import re
from dataclasses import dataclass, field

from services.tools.errors import ContinuationInvalid

ENTRIES_MAX = 200
"""Entries of a list on one page."""
TEXT_BYTES_MAX = 32 * 1024
"""UTF-8 bytes of one answer's text, its head and foot included."""
FRAME_BYTES = 2 * 1024
"""What of it is kept free for head and foot."""
LINE_CHARS_MAX = 1000
"""Characters shown of one line."""

TOKEN = re.compile(r"([0-9]{1,24})-([0-9a-f]{16})")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a call stands in its whole result: the same commit, tool and arguments give the same tokens."""

    commit: str
    tool: str
    arguments: tuple[str | int | bool, ...]

    def token(self, position: int) -> str:
        """The token by which a later call goes on at `position`."""
        content = repr((self.commit, self.tool, self.arguments, position))
        return f"{position}-{hashlib.sha256(content.encode(errors='replace')).hexdigest()[:16]}"

    def position(self, continuation: str) -> int:
        """Where to start; 0 without a token. Raises ContinuationInvalid."""
        if not continuation:
            return 0
        found = TOKEN.fullmatch(continuation)
        if not found or self.token(int(found[1])) != continuation:
            raise ContinuationInvalid(
                "This continuation does not belong to these arguments. Repeat the earlier call's "
                "arguments exactly, with the token from the end of its result, or leave continuation "
                "empty to start over."
            )
        return int(found[1])


@dataclass(slots=True)
class Page:
    """The lines of one answer, as many as fit."""

    entries_max: int = ENTRIES_MAX
    lines: list[str] = field(default_factory=list[str])
    bytes_used: int = 0

    def add(self, line: str, *others: str) -> bool:
        """Add an entry of one or more lines, whole. False: it no longer fits; the first always does."""
        entry = "\n".join((line, *others))
        size = len(entry.encode(errors="replace")) + 1
        full = len(self.lines) >= self.entries_max or self.bytes_used + size > TEXT_BYTES_MAX - FRAME_BYTES
        if full and self.lines:
            return False
        self.lines.append(entry)
        self.bytes_used += size
        return True

    def text(self, head: str, foot: str = "") -> str:
        """The answer's text: head, lines and foot."""
        return "\n".join([*([head] if head else []), *self.lines, *([foot] if foot else [])])


def clip(line: str, chars_max: int = LINE_CHARS_MAX) -> str:
    """The line without its line ending, and only its beginning if it is long."""
    line = line.rstrip("\r\n")
    if len(line) <= chars_max:
        return line
    return f"{line[:chars_max]} [… the line is cut here, {len(line) - chars_max:,} or more characters follow]"


def cut_note(shown: str, token: str) -> str:
    """The foot of a page that is not the last."""
    return f'[Cut: {shown}. To go on, repeat the call with the same arguments and continuation "{token}".]'
