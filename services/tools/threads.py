"""Posts into threads, as plain values: how a long one is split and how one of ours is recognised."""

from __future__ import annotations

import re
from dataclasses import dataclass

FENCE = re.compile(r" {0,3}(?P<marks>`{3,32}|~{3,32})(?P<info>[^\n]*)")
MARKER = re.compile(r"\s*<!-- astra:post [0-9a-f-]{36} -->\s*\Z")
LINE = re.compile(r"[^\n]*\n|[^\n]+")
INFO_CHARS_MAX = 40
FENCE_CHARS_MAX = 32
# The longest a reopened and a closed fence can add to a part.
_ADDED_CHARS_MAX = 2 * FENCE_CHARS_MAX + INFO_CHARS_MAX + 2
SPLIT_CHARS_MIN = 4 * _ADDED_CHARS_MAX


@dataclass(frozen=True, slots=True)
class Posted:
    """A post as the vendor has it."""

    external_id: str
    url: str


@dataclass(frozen=True, slots=True)
class MarkdownPart:
    """A piece of a text, between the fence lines added so that code stays code."""

    reopened: str
    body: str
    closed: str

    @property
    def text(self) -> str:
        """What is posted."""
        return self.reopened + self.body + self.closed


def marker(thread_post_id: str) -> str:
    """The hidden words that tell one of our posts from all others."""
    return f"<!-- astra:post {thread_post_id} -->"


def without_marker(body: str) -> str:
    """A post as people see it; a text without the hidden words stays as it is."""
    return MARKER.sub("", body)


def split_markdown(text: str, chars_max: int) -> list[MarkdownPart]:
    """Cut a text into parts of at most `chars_max` characters; the bodies together are the text.

    Cuts between paragraphs where the part stays at least half full, else between lines, and outside code
    where that is possible. A code block that must be cut is closed and reopened.
    """
    if chars_max < SPLIT_CHARS_MIN:
        raise ValueError(f"chars_max must be at least {SPLIT_CHARS_MIN}")
    parts: list[MarkdownPart] = []
    rest, fence = text, ""
    while len(rest) > chars_max - _ADDED_CHARS_MAX:
        place, fence_after = _cut(rest, fence, chars_max - _ADDED_CHARS_MAX)
        parts.append(_part(rest[:place], fence, fence_after))
        rest, fence = rest[place:], fence_after
    if rest or not parts:
        parts.append(_part(rest, fence, _fence_after(rest, fence)))
    return parts


def _cut(text: str, fence: str, chars_max: int) -> tuple[int, str]:
    """Where to cut, and the fence open there."""
    best, best_rank, best_fence = 0, -1, fence
    place = 0
    for line in LINE.findall(text[:chars_max]):
        if not line.endswith("\n"):
            break  # a line that the limit cuts is no place to stop
        place += len(line)
        fence = next_fence(line, fence)
        rank = 0 if fence else 2 if not line.strip() else 1
        if rank >= best_rank or place - best > chars_max // 2 > best:
            best, best_rank, best_fence = place, rank, fence
    return (best, best_fence) if best else (chars_max, fence)


def _fence_after(text: str, fence: str) -> str:
    for line in LINE.findall(text):
        fence = next_fence(line, fence)
    return fence


def next_fence(line: str, fence: str) -> str:
    """The fence that is open after a line, as the line that reopens it; empty: none."""
    found = FENCE.match(line)
    if not found:
        return fence
    marks, info = found["marks"], found["info"].strip()
    if not fence:
        return f"{marks}{info[:INFO_CHARS_MAX]}" if marks[0] == "~" or "`" not in info else ""
    open_marks = _marks(fence)
    closes = marks[0] == open_marks[0] and len(marks) >= len(open_marks) and not info
    return "" if closes else fence


def _part(body: str, fence_before: str, fence_after: str) -> MarkdownPart:
    reopened = f"{fence_before}\n" if fence_before else ""
    closed = ""
    if fence_after:
        closed = ("" if body.endswith("\n") else "\n") + _marks(fence_after)
    return MarkdownPart(reopened, body, closed)


def _marks(fence: str) -> str:
    found = FENCE.match(fence)
    return found["marks"] if found else ""
