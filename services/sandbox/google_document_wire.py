"""A document's body as the Docs API tells it: structural elements with the places they begin and end at."""

from __future__ import annotations

from typing import TypeAlias

from services.sandbox.google_document import (
    CELL,
    LINE_BREAK,
    ROW,
    SECTION,
    TABLE,
    TABLE_END,
    Body,
    Unit,
    text_of,
)

JsonObject: TypeAlias = dict[str, object]
TAB_ID = "t.0"
_ORDERED = {"NUMBERED_DECIMAL_NESTED": "DECIMAL"}


def document_tab(body: Body) -> JsonObject:
    """As `documents.get` shows a tab's content."""
    presets = {each.preset for each in body.units if each.preset}
    names: dict[str, list[JsonObject]] = {}
    for each in body.ranges:
        place = {"startIndex": each.begin, "endIndex": each.end, "tabId": TAB_ID}
        names.setdefault(each.name, []).append(
            {"namedRangeId": each.id, "name": each.name, "ranges": [place]}
        )
    return {
        "body": {"content": _Reader(body.units).content()},
        "documentStyle": {},
        "namedStyles": {"styles": []},
        **({"lists": {_list_id(each): _list(each) for each in sorted(presets)}} if presets else {}),
        **(
            {"namedRanges": {name: {"name": name, "namedRanges": told} for name, told in names.items()}}
            if names
            else {}
        ),
    }


class _Reader:
    """Reads the row of units, left to right."""

    def __init__(self, units: list[Unit]) -> None:
        self._units = units
        self._at = 0

    def content(self) -> list[JsonObject]:
        """The elements up to the end of the document or of a cell."""
        found: list[JsonObject] = []
        while (code := self._code()) not in (None, ROW, CELL, TABLE_END):
            begin = self._at
            if code == SECTION:
                self._at += 1
                element: JsonObject = {"sectionBreak": {"sectionStyle": {}}}
            elif code == TABLE:
                element = {"table": self._table()}
            else:
                element = {"paragraph": self._paragraph()}
            found.append(self._placed(begin, element))
        return found

    def _table(self) -> JsonObject:
        self._at += 1
        rows: list[JsonObject] = []
        while self._code() == ROW:
            begin = self._at
            self._at += 1
            cells: list[JsonObject] = []
            while self._code() == CELL:
                cell_begin = self._at
                self._at += 1
                cells.append(self._placed(cell_begin, {"content": self.content()}))
            rows.append(self._placed(begin, {"tableCells": cells}))
        self._at += 1
        return {"rows": len(rows), "columns": _width(rows), "tableRows": rows}

    def _paragraph(self) -> JsonObject:
        begin = self._at
        while self._code() != LINE_BREAK:
            self._at += 1
        self._at += 1
        last = self._units[self._at - 1]
        run = {"content": text_of(self._units[begin : self._at]), "textStyle": {}}
        bullet = {"bullet": {"listId": _list_id(last.preset), "textStyle": {}}} if last.preset else {}
        return {
            "elements": [self._placed(begin, {"textRun": run})],
            "paragraphStyle": {"namedStyleType": last.style, "direction": "LEFT_TO_RIGHT"},
            **bullet,
        }

    def _code(self) -> int | None:
        return self._units[self._at].code if self._at < len(self._units) else None

    def _placed(self, begin: int, element: JsonObject) -> JsonObject:
        """Google leaves out a place of 0."""
        return {**({"startIndex": begin} if begin else {}), "endIndex": self._at, **element}


def _width(rows: list[JsonObject]) -> int:
    cells = rows[0]["tableCells"] if rows else []
    return len(cells) if isinstance(cells, list) else 0  # pyright: ignore[reportUnknownArgumentType]


def _list_id(preset: str) -> str:
    return f"kix.{preset.lower()}"


def _list(preset: str) -> JsonObject:
    ordered = _ORDERED.get(preset)
    level = {"glyphType": ordered, "glyphFormat": "%0."} if ordered else {"glyphSymbol": "●"}
    return {"listProperties": {"nestingLevels": [level]}}
