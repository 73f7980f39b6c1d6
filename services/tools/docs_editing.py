"""The requests that change a Google Doc, worked out on what the document holds; pure.

All requests of a change are one batch, which Google applies whole or not at all, on the revision they were
worked out for. The last of them puts a name on the range that was changed: the effect's id, by which the
change is found again. People do not see such names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from services.tools.docs_document import FILLER, Document, Paragraph, Tab, units
from services.tools.errors import FieldInvalid, ItemNotFound

REPLACED_MAX = 100
_STRIPPED = re.compile(r"[\x00-\x08\x0c-\x1f\ue000-\uf8ff]")
"""What Google takes out of a text, so that places would be counted wrongly."""
_HEADING = re.compile(r"(#{1,6})[ \t]+(?=\S)(.*)")
_BULLET = re.compile(r"[-*+][ \t]+(?=\S)(.*)")
_NUMBER = re.compile(r"[0-9]{1,4}[.)][ \t]+(?=\S)(.*)")
_BULLETS, _NUMBERS = "BULLET_DISC_CIRCLE_SQUARE", "NUMBERED_DECIMAL_NESTED"
_NORMAL = "NORMAL_TEXT"
_TEXT_STYLES = (
    "bold,italic,underline,strikethrough,smallCaps,baselineOffset,link,foregroundColor,backgroundColor"
)
"""What inserted words would take over from those before them."""
Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of a document: the requests but the mark, the range to mark, and how much is changed."""

    requests: Sequence[Json]
    mark: Json
    count: int

    def marked(self, effect_id: str) -> list[Json]:
        """All requests of the batch."""
        name = f"{mark_prefix(effect_id)}{self.count}"
        return [*self.requests, {"createNamedRange": {"name": name, "range": self.mark}}]


def mark_prefix(effect_id: str) -> str:
    """How the name on what an effect changed begins; how much it changed follows."""
    return f"astra:effect:{effect_id}:"


def count_marked(document: Document, effect_id: str) -> int | None:
    """How much an effect has changed in a document. None: nothing."""
    prefix = mark_prefix(effect_id)
    return next((int(each.removeprefix(prefix)) for each in document.marks if each.startswith(prefix)), None)


def tab_of(document: Document, tab_id: str) -> Tab:
    """The tab that is named, or the first. Raises ItemNotFound."""
    for each in document.tabs:
        if not tab_id or each.id == tab_id:
            return each
    known = ", ".join(each.id for each in document.tabs)
    raise ItemNotFound(f"The document has no tab {tab_id}. It has: {known}.")


def insertion(tab: Tab, text: str, after: str) -> Edit:
    """Paragraphs behind the one that holds `after`, or at the end. Raises FieldInvalid and ItemNotFound."""
    lines = list(_lines(text))
    if not lines:
        raise FieldInvalid("The text has no words.")
    behind = _holder(tab, after) if after else tab.paragraphs[-1]
    words = "\n".join(each.text for each in lines)
    # An empty last paragraph is written into; behind any other, its own line break becomes the last line's.
    into = behind.is_empty and not after
    begin = behind.start if into else behind.end
    place = begin if into else begin - 1
    end = begin + units(words)
    whole, words_only = _range(tab, begin, end + 1), _range(tab, begin, end)
    plain: Json = {"namedStyleType": _NORMAL}
    requests: list[Json] = [
        {"insertText": {"location": _location(tab, place), "text": words if into else f"\n{words}"}},
        {"deleteParagraphBullets": {"range": whole}},
        _styled(whole, plain, "namedStyleType,indentStart,indentFirstLine"),
        {"updateTextStyle": {"range": words_only, "textStyle": {}, "fields": _TEXT_STYLES}},
        *_shaped(tab, lines, begin),
    ]
    return Edit(requests, words_only, len(lines))


def replacement(tab: Tab, find: str, replace: str, *, everywhere: bool) -> Edit:
    """Other words in the place of some. Raises FieldInvalid and ItemNotFound."""
    replace = _STRIPPED.sub("", replace.replace("\r\n", "\n"))
    if find == replace or FILLER in find:
        raise FieldInvalid("Say what to find in words of the document, and what to replace it by.")
    found = [(paragraph, place) for paragraph in tab.paragraphs for place in _places(paragraph.text, find)]
    if not found:
        raise ItemNotFound(
            "These words stand in no paragraph of the tab. Copy them from docs_get_document without its "
            "marks; capitals and spaces count."
        )
    if len(found) > (REPLACED_MAX if everywhere else 1):
        hint = (
            f"at most {REPLACED_MAX} are changed at once" if everywhere else "find more of them, or set all"
        )
        raise FieldInvalid(f"These words stand in {len(found)} places: {hint}.")
    requests: list[Json] = []
    for paragraph, place in reversed(found):  # from the end, so that the places before it hold
        begin = paragraph.start + units(paragraph.text[:place])
        end = begin + units(find)
        if replace:  # behind the old words, whose style it takes over
            requests.append({"insertText": {"location": _location(tab, end), "text": replace}})
        requests.append({"deleteContentRange": {"range": _range(tab, begin, end)}})
    return Edit(requests, _replaced_range(tab, found[0], find, replace), len(found))


@dataclass(frozen=True, slots=True)
class _Line:
    """A paragraph to insert. `preset`: of the list it is an item of."""

    text: str
    style: str = _NORMAL
    preset: str = ""


def _lines(text: str) -> Iterator[_Line]:
    for line in text.splitlines():
        words = _STRIPPED.sub("", line).replace("\v", " ").strip()
        if heading := _HEADING.fullmatch(words):
            yield _Line(heading[2], f"HEADING_{len(heading[1])}")
        elif bullet := _BULLET.fullmatch(words):
            yield _Line(bullet[1], preset=_BULLETS)
        elif number := _NUMBER.fullmatch(words):
            yield _Line(number[1], preset=_NUMBERS)
        elif words:
            yield _Line(words)


def _shaped(tab: Tab, lines: Sequence[_Line], begin: int) -> Iterator[Json]:
    """Headings and lists of the inserted lines; neighbours of one kind are one list."""
    place = begin
    for (style, preset), group in groupby(lines, key=lambda each: (each.style, each.preset)):
        end = place + sum(units(each.text) + 1 for each in group)
        if style != _NORMAL:
            yield _styled(_range(tab, place, end), {"namedStyleType": style}, "namedStyleType")
        if preset:
            yield {
                "createParagraphBullets": {"range": _range(tab, place, end), "bulletPreset": preset},
            }
        place = end


def _holder(tab: Tab, words: str) -> Paragraph:
    holders = [each for each in tab.paragraphs if words in each.text]
    if not holders:
        raise ItemNotFound(
            "No paragraph of the tab has the words of after. Copy them from docs_get_document without its "
            "marks."
        )
    if len(holders) > 1:
        raise FieldInvalid(f"The words of after stand in {len(holders)} paragraphs: give more of them.")
    return holders[0]


def _places(text: str, words: str) -> Iterator[int]:
    place = text.find(words)
    while place >= 0:
        yield place
        place = text.find(words, place + len(words))


def _replaced_range(tab: Tab, first: tuple[Paragraph, int], find: str, replace: str) -> Json:
    """Where the new words stand, or, where there are none, a neighbour of the gap."""
    paragraph, place = first
    begin = paragraph.start + units(paragraph.text[:place])
    if replace:
        return _range(tab, begin, begin + units(replace))
    left = paragraph.text.replace(find, "")
    if place and left[place] == "\n":
        return _range(tab, begin - units(left[place - 1]), begin)
    return _range(tab, begin, begin + units(left[place]))


def _styled(whole: Json, style: Json, fields: str) -> Json:
    return {"updateParagraphStyle": {"range": whole, "paragraphStyle": style, "fields": fields}}


def _range(tab: Tab, begin: int, end: int) -> Json:
    return {"startIndex": begin, "endIndex": end, **_in(tab)}


def _location(tab: Tab, place: int) -> Json:
    return {"index": place, **_in(tab)}


def _in(tab: Tab) -> Json:
    return {"tabId": tab.id} if tab.id else {}
