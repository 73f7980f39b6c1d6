"""Cuts documents into the chunks of the knowledge base, along their own structure.

A chunk is whole lines of the document, so that it can be cited by them, and knows the headings above it. It
ends where its section does; a long section is cut between paragraphs, fenced code is kept whole where that
makes sense, and only what is longer still is cut between lines. Who embeds and stores them is `kb_ingest`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.tools.repo_outline import OutlineEntry, headings

CHUNK_CHARS_MAX = 900
"""About what the embedded model reads, headings included."""
CODE_CHARS_MAX = 2_400
"""Fenced code is not cut below this length, though a model may read its beginning only."""
LINE_CHARS_MAX = 4_000
"""A longer line is cut off: nobody wrote it to be read."""
HEADING_CHARS_MAX = 300
RULES = "1"
"""Changes whenever documents have to be cut anew."""
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a document: its lines from `first_line` to `last_line`, counted from 1."""

    heading: str
    text: str
    first_line: int
    last_line: int


def chunks(text: str, *, markdown: bool) -> list[Chunk]:
    """The chunks of a document in order; none for one that says nothing."""
    lines = [line[:LINE_CHARS_MAX] for line in text.splitlines()]
    found = list(headings(lines)) if markdown else []
    return [
        Chunk(path, "\n".join(lines[first - 1 : last]), first, last)
        for path, start, end in _sections(lines, found)
        for first, last in _packed(lines, start, end, markdown=markdown)
    ]


def first_heading(text: str) -> str:
    """A Markdown document's first heading; empty if it has none."""
    return next((each.title for each in headings(text.splitlines())), "")


def _sections(lines: Sequence[str], found: Sequence[OutlineEntry]) -> Iterator[tuple[str, int, int]]:
    """Heading path, first and last line of each section that has words of its own below its heading."""
    starts = [entry.line for entry in found]
    if not starts or starts[0] > 1:
        yield "", 1, starts[0] - 1 if starts else len(lines)
    path: list[tuple[int, str]] = []
    ends = [*(start - 1 for start in starts), len(lines)][1:]
    for entry, end in zip(found, ends, strict=True):
        path = [above for above in path if above[0] < entry.depth] + [(entry.depth, entry.title)]
        if any(line.strip(" =-\t") for line in lines[entry.line : end]):
            yield " > ".join(title for _, title in path)[-HEADING_CHARS_MAX:], entry.line, end


def _packed(lines: Sequence[str], start: int, end: int, *, markdown: bool) -> Iterator[tuple[int, int]]:
    """First and last lines of the chunks of a section: as many of its blocks as fit into each."""
    first = last = 0
    for block_first, block_last in _pieces(lines, start, end, markdown=markdown):
        if first and _length(lines, first, block_last) > CHUNK_CHARS_MAX:
            yield first, last
            first = 0
        first, last = first or block_first, block_last
    if first:
        yield first, last


def _pieces(lines: Sequence[str], start: int, end: int, *, markdown: bool) -> Iterator[tuple[int, int]]:
    """The blocks of a section, those that are too long cut between lines."""
    for first, last, is_code in _blocks(lines, start, end, markdown=markdown):
        limit = CODE_CHARS_MAX if is_code else CHUNK_CHARS_MAX
        piece = first
        for line in range(first, last + 1):
            if line > piece and _length(lines, piece, line) > limit:
                yield piece, line - 1
                piece = line
        yield piece, last


def _blocks(lines: Sequence[str], start: int, end: int, *, markdown: bool) -> Iterator[tuple[int, int, bool]]:
    """Runs of lines without an empty one, and fenced code; whether it is code."""
    first, fence = 0, ""
    for number in range(start, end + 1):
        line = lines[number - 1]
        mark = _FENCE.match(line) if markdown else None
        if fence:
            if line.strip().startswith(fence):
                yield first, number, True
                first, fence = 0, ""
        elif mark:
            if first:
                yield first, number - 1, False
            first, fence = number, mark[1]
        elif not line.strip():
            if first:
                yield first, number - 1, False
            first = 0
        else:
            first = first or number
    if first:
        yield first, end, bool(fence)


def _length(lines: Sequence[str], first: int, last: int) -> int:
    return sum(len(line) + 1 for line in lines[first - 1 : last])
