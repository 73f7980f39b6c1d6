"""The body of a Google Doc as one row of UTF-16 code units, as Google counts it; pure.

Everything has its place: the section break at the beginning, the frames of tables, each row and cell, both
halves of a character beyond the basic plane, the line break that ends each paragraph. What a paragraph is
like is kept at its line break, so paragraphs that are joined become what the last of them was.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from services.sandbox.google_domain import RefusedError

SECTION, TABLE, ROW, CELL, TABLE_END = -1, -2, -3, -4, -5
"""Units that are no text."""
LINE_BREAK = 10
NORMAL = "NORMAL_TEXT"
UNITS_MAX = 1_000_000
NAME_UNITS_MAX = 256
_STRIPPED = re.compile(r"[\x00-\x08\x0c-\x1f\ue000-\uf8ff]")
_RULE = re.compile(r"\|[\s:|-]+\|")
_HEADING, _BULLET, _NUMBER = (
    re.compile(marks + r" +(.*)") for marks in ("(#{1,6})", "([-*+])", r"(\d+[.)])")
)


@dataclass(frozen=True, slots=True)
class Unit:
    """A code unit, or a frame. Style and list are a paragraph's, at its line break."""

    code: int
    style: str = NORMAL
    preset: str = ""


@dataclass(slots=True)
class NamedRange:
    """A name on a range, which moves with the text."""

    id: str
    name: str
    begin: int
    end: int


@dataclass(slots=True)
class Body:
    """The body of a document's only tab."""

    units: list[Unit] = field(default_factory=lambda: [Unit(SECTION), Unit(LINE_BREAK)])
    ranges: list[NamedRange] = field(default_factory=list[NamedRange])
    revision: int = 1

    def copy(self) -> Body:
        """One to work on, so that a batch that fails changes nothing."""
        return Body(list(self.units), [replace(each) for each in self.ranges], self.revision)

    def text(self) -> str:
        """Its words."""
        return text_of(self.units)

    def paragraphs(self) -> Iterator[tuple[str, Unit]]:
        """Each paragraph's words, and the line break that says what it is like."""
        begin = 0
        for place, unit in enumerate(self.units):
            if unit.code == LINE_BREAK:
                yield text_of(self.units[begin:place]), unit
                begin = place + 1

    def insert(self, place: int, text: str) -> None:
        """Insert text before a place, which must lie within a paragraph."""
        text = _STRIPPED.sub("", text)
        if not text or not 0 < place < len(self.units) or self.units[place].code < 0 or self._halves(place):
            raise _invalid("The insertion index must be inside the bounds of an existing paragraph.")
        around = self.units[self._line_break(place)]
        new = [replace(around, code=code) for code in codes(text)]
        if len(self.units) + len(new) > UNITS_MAX:
            raise _invalid("The document is too long.")
        self.units[place:place] = new
        for each in self.ranges:
            each.begin += len(new) if place <= each.begin else 0
            each.end += len(new) if place < each.end else 0

    def delete(self, begin: int, end: int) -> None:
        """Delete a range; neither a frame, nor the line break that ends a cell or the document."""
        self.check(begin, end)
        gone = self.units[begin:end]
        ends_something = end == len(self.units) or (gone[-1].code == LINE_BREAK and self.units[end].code < 0)
        if any(each.code < 0 for each in gone) or ends_something or self._halves(begin) or self._halves(end):
            raise _invalid("Invalid deletion range. Cannot delete the requested range.")
        del self.units[begin:end]
        for each in self.ranges:
            each.begin -= max(0, min(end, each.begin) - begin)
            each.end -= max(0, min(end, each.end) - begin)
        self.ranges = [each for each in self.ranges if each.begin < each.end]

    def reshape(self, begin: int, end: int, change: Callable[[Unit], Unit]) -> None:
        """Change the paragraphs a range touches."""
        self.check(begin, end)
        for place in range(begin, self._line_break(end - 1) + 1):
            if self.units[place].code == LINE_BREAK:
                self.units[place] = change(self.units[place])

    def name(self, begin: int, end: int, name: str) -> str:
        """Put a name on a range; its id."""
        self.check(begin, end)
        if not 1 <= len(codes(name)) <= NAME_UNITS_MAX:
            raise _invalid("The name must be between 1 and 256 UTF-16 code units.")
        self.ranges.append(NamedRange(f"kix.{secrets.token_hex(6)}", name, begin, end))
        return self.ranges[-1].id

    def check(self, begin: int, end: int) -> None:
        """Raise RefusedError for a range that is none of this document's."""
        if not 0 < begin < end <= len(self.units):
            raise _invalid(f"The range {begin} to {end} must be inside the bounds of the document.")

    def _line_break(self, place: int) -> int:
        """Where the paragraph at a place ends."""
        return next(at for at in range(place, len(self.units)) if self.units[at].code == LINE_BREAK)

    def _halves(self, place: int) -> bool:
        """Whether a place cuts a character in two."""
        return place < len(self.units) and 0xDC00 <= self.units[place].code < 0xE000


def body_of(markdown: str) -> Body:
    """A document as Google imports it from Markdown: headings, items of lists, tables, paragraphs."""
    units = [Unit(SECTION)]
    rows: list[str] = []
    for line in [*(each.strip() for each in _STRIPPED.sub("", markdown).split("\n")), ""]:
        if line.startswith("|"):
            rows += [] if _RULE.fullmatch(line) else [line]
            continue
        if rows:
            units += _table(rows)
            rows = []
        if line:
            units += _paragraph(line)
    if len(units) == 1 or units[-1].code < 0:
        units.append(Unit(LINE_BREAK))
    return Body(units)


def codes(text: str) -> list[int]:
    """A text as UTF-16 code units."""
    data = text.encode("utf-16-le")
    return [int.from_bytes(data[at : at + 2], "little") for at in range(0, len(data), 2)]


def text_of(units: Sequence[Unit]) -> str:
    """Units as text, without frames."""
    data = b"".join(each.code.to_bytes(2, "little") for each in units if each.code >= 0)
    return data.decode("utf-16-le", errors="replace")


def _paragraph(line: str) -> Iterator[Unit]:
    style, preset, words = NORMAL, "", line
    if found := _HEADING.fullmatch(line):
        style, words = f"HEADING_{len(found[1])}", found[2]
    elif found := _BULLET.fullmatch(line):
        preset, words = "BULLET_DISC_CIRCLE_SQUARE", found[2]
    elif found := _NUMBER.fullmatch(line):
        preset, words = "NUMBERED_DECIMAL_NESTED", found[2]
    yield from (Unit(code) for code in codes(words))
    yield Unit(LINE_BREAK, style, preset)


def _table(rows: Sequence[str]) -> Iterator[Unit]:
    yield Unit(TABLE)
    for row in rows:
        yield Unit(ROW)
        for cell in row.strip("|").split("|"):
            yield Unit(CELL)
            yield from _paragraph(cell.strip())
    yield Unit(TABLE_END)


def _invalid(message: str) -> RefusedError:
    return RefusedError(400, "INVALID_ARGUMENT", message)
