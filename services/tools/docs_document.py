"""A Google Doc as values: its paragraphs with their places, and its text as a model reads it.

Places are Google's: UTF-16 code units from the beginning of a tab's body, where everything that is no text
(an image, a person, the frame of a table) takes places too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.tools.quoting import one_line, quoted

FIELDS = "documentId,title,revisionId,tabs"
FILLER = "\N{OBJECT REPLACEMENT CHARACTER}"
"""Stands for each place of what is no text, or is under suggestion."""
TABS_DEPTH_MAX = 10
TABLES_DEPTH_MAX = 10
HEADINGS: Mapping[str, str] = {
    "TITLE": "# ",
    "SUBTITLE": "## ",
    **{f"HEADING_{level}": f"{'#' * level} " for level in range(1, 7)},
}
_ORDERED = frozenset({"DECIMAL", "ZERO_DECIMAL", "UPPER_ALPHA", "ALPHA", "UPPER_ROMAN", "ROMAN"})
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph from `start` on. `text` ends with its line break; `shown` is how a model reads it."""

    start: int
    text: str
    shown: str

    @property
    def end(self) -> int:
        """The place behind its line break."""
        return self.start + units(self.text)

    @property
    def is_empty(self) -> bool:
        """Whether it is a line break and nothing else."""
        return self.text == "\n"


@dataclass(frozen=True, slots=True)
class Tab:
    """A tab. `paragraphs` are all of it, those of tables too; the last one ends the tab."""

    id: str
    title: str
    paragraphs: Sequence[Paragraph]
    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class Document:
    """A document. `revision_id` empty: our account may not change it. `marks`: names of its named ranges."""

    id: str
    title: str
    revision_id: str
    tabs: Sequence[Tab]
    marks: Sequence[str]

    def lines(self) -> list[str]:
        """As a model reads it; tabs are named where there are several."""
        named = len(self.tabs) > 1
        return [
            line
            for tab in self.tabs
            for line in (*([f"Tab {one_line(tab.title)!r}, tab_id {tab.id}:"] if named else []), *tab.lines)
        ]


def document_of(told: Json) -> Document:
    """A document as Google tells it, with FIELDS and its tabs' content."""
    tabs = list(_tabs(told.get("tabs") or (), TABS_DEPTH_MAX))
    return Document(
        id=told["documentId"],
        title=one_line(told.get("title")),
        revision_id=told.get("revisionId") or "",
        tabs=[_tab(each) for each in tabs],
        marks=[name for each in tabs for name in each["documentTab"].get("namedRanges") or ()],
    )


def units(text: str) -> int:
    """How many places a text takes."""
    return len(text.encode("utf-16-le")) // 2


def _tabs(told: Sequence[Json], depth: int) -> Iterator[Json]:
    for each in told:
        if "documentTab" in each:
            yield each
        if depth:
            yield from _tabs(each.get("childTabs") or (), depth - 1)


def _tab(told: Json) -> Tab:
    properties = told.get("tabProperties") or {}
    reading = _Reading(told["documentTab"].get("lists") or {})
    lines = reading.content(told["documentTab"]["body"].get("content") or (), TABLES_DEPTH_MAX)
    paragraphs = list(reading.paragraphs)
    for number, note in (told["documentTab"].get("footnotes") or {}).items():
        name = reading.footnotes.get(number, number)
        lines += [f"[^{name}]: {' '.join(reading.content(note.get('content') or (), 1)).strip()}"]
    shown = [line for each in lines for line in quoted(each)]
    return Tab(properties.get("tabId") or "", properties.get("title") or "", paragraphs, shown)


class _Reading:
    """Reads the content of a tab, in order."""

    def __init__(self, lists: Json) -> None:
        self._lists = lists
        self.paragraphs: list[Paragraph] = []
        self.footnotes: dict[str, str] = {}
        """Numbers of the footnotes met, by their ids."""

    def content(self, told: Sequence[Json], depth: int) -> list[str]:
        """The lines of some content; empty paragraphs show nothing."""
        lines: list[str] = []
        for each in told:
            if "paragraph" in each:
                shown = self._paragraph(each)
                lines += [shown] if shown.strip() else []
            elif "table" in each and depth:
                lines += [self._row(row, depth) for row in each["table"].get("tableRows") or ()]
            elif "tableOfContents" in each:
                lines += ["(table of contents)"]
        return lines

    def _row(self, told: Json, depth: int) -> str:
        cells = [self.content(each.get("content") or (), depth - 1) for each in told.get("tableCells") or ()]
        return "| " + " | ".join(" / ".join(cell) for cell in cells) + " |"

    def _paragraph(self, told: Json) -> str:
        paragraph = told["paragraph"]
        elements: list[Json] = paragraph.get("elements") or []
        text = "".join(map(_text, elements))
        shown = "".join(map(self._shown, elements)).rstrip("\n").replace("\v", " ")
        style = (paragraph.get("paragraphStyle") or {}).get("namedStyleType") or ""
        prefix = HEADINGS.get(style, "") or self._bullet(paragraph.get("bullet"))
        found = Paragraph(told.get("startIndex") or 0, text, prefix + shown if shown.strip() else "")
        self.paragraphs.append(found)
        return found.shown

    def _bullet(self, told: Json | None) -> str:
        if told is None:
            return ""
        level = int(told.get("nestingLevel") or 0)
        properties = (self._lists.get(told.get("listId") or "") or {}).get("listProperties") or {}
        levels: list[Json] = properties.get("nestingLevels") or []
        is_ordered = level < len(levels) and levels[level].get("glyphType") in _ORDERED
        return "  " * level + ("1. " if is_ordered else "- ")

    def _shown(self, element: Json) -> str:
        if reference := element.get("footnoteReference"):
            number = str(reference.get("footnoteNumber") or "")
            self.footnotes[reference.get("footnoteId") or ""] = number
            return f"[^{number}]"
        return next((shown(element[kind]) for kind, shown in _SHOWN.items() if kind in element), "")


def _person(told: Json) -> str:
    properties = told.get("personProperties") or {}
    return str(properties.get("name") or properties.get("email") or "[person]")


def _link(told: Json) -> str:
    properties = told.get("richLinkProperties") or {}
    return f"[{properties.get('title') or 'link'}]({properties.get('uri') or ''})"


def _date(told: Json) -> str:
    return str((told.get("dateElementProperties") or {}).get("displayText") or "[date]")


def _run(run: Json) -> str:
    content: str = run.get("content") or ""
    words = content.rstrip("\n")
    if not words:
        return content
    link = ((run.get("textStyle") or {}).get("link") or {}).get("url")
    shown = f"[{words}]({link})" if link and words.strip() and link != words else words
    if run.get("suggestedInsertionIds"):
        shown = f"{{+{shown}+}}"
    if run.get("suggestedDeletionIds"):
        shown = f"{{-{shown}-}}"
    return shown + content[len(words) :]


_SHOWN: Mapping[str, Callable[[Json], str]] = {
    "textRun": _run,
    "person": _person,
    "richLink": _link,
    "dateElement": _date,
    "inlineObjectElement": lambda _: "[image]",
    "equation": lambda _: "[equation]",
    "horizontalRule": lambda _: "---",
}
"""What of a paragraph is shown, and how; a break of pages or columns is not."""


def _text(element: Json) -> str:
    run = element.get("textRun") or {}
    if run and not (run.get("suggestedInsertionIds") or run.get("suggestedDeletionIds")):
        return run.get("content") or ""
    return FILLER * (int(element.get("endIndex") or 0) - int(element.get("startIndex") or 0))
