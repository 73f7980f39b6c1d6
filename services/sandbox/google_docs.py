"""Google's Docs API v1, as much of it as we call: `DocsMethods.table` is the whole of it.

A batch is applied whole or not at all, on the revision it names. Not Google: one tab, no styles within a
paragraph, no headers and footers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias, cast

from services.sandbox.google_document import NORMAL, Body
from services.sandbox.google_document_wire import TAB_ID, document_tab
from services.sandbox.google_domain import File, RefusedError
from services.sandbox.google_methods import Call, Method
from services.sandbox.google_wire import JsonObject
from services.sandbox.google_world import GoogleWorld

Change: TypeAlias = Callable[[Body, Mapping[str, Any]], JsonObject]


class DocsMethods:
    """One function a method of Google's description."""

    def __init__(self, world: GoogleWorld) -> None:
        self._state = world.state

    def table(self) -> dict[str, Method]:
        """Every method that answers, by its name in Google's description."""
        return {"docs.documents.get": self.document, "docs.documents.batchUpdate": self.batch_update}

    def document(self, call: Call) -> JsonObject:
        """A document; its revision only for those who may change it."""
        file = self._state.file(call.get("documentId"))
        body = self._state.document(file.id)
        tab = document_tab(body)
        told: JsonObject = {"documentId": file.id, "title": file.name}
        if not file.read_only:
            told["revisionId"] = _revision(file, body)
        if not call.flag("includeTabsContent"):
            return {**told, **tab}
        properties = {"tabId": TAB_ID, "title": "Tab 1", "index": 0}
        return {**told, "tabs": [{"tabProperties": properties, "documentTab": tab}]}

    def batch_update(self, call: Call) -> JsonObject:
        """Change a document."""
        file = self._state.file(call.get("documentId"))
        if file.read_only:
            raise RefusedError(403, "PERMISSION_DENIED", "The caller does not have permission")
        body = self._state.document(file.id).copy()
        required = _object(call.body.get("writeControl")).get("requiredRevisionId")
        if required not in (None, _revision(file, body)):
            raise RefusedError(400, "INVALID_ARGUMENT", "The required revision ID is not the latest.")
        requests = cast("list[Mapping[str, Any]]", call.body.get("requests") or [])
        if not requests:
            raise RefusedError(400, "INVALID_ARGUMENT", "Must specify at least one request.")
        replies = [_applied(body, each) for each in requests]
        body.revision += 1
        self._state.set_document(file, body)
        revision = {"requiredRevisionId": _revision(file, body)}
        return {"documentId": file.id, "replies": replies, "writeControl": revision}


def _applied(body: Body, request: Mapping[str, Any]) -> JsonObject:
    if len(request) != 1:
        raise RefusedError(400, "INVALID_ARGUMENT", "Each request holds exactly one change.")
    ((name, told),) = request.items()
    return _CHANGES[name](body, told)


def _insert_text(body: Body, told: Mapping[str, Any]) -> JsonObject:
    if "endOfSegmentLocation" in told:
        _in_tab(_object(told["endOfSegmentLocation"]))
        place = len(body.units) - 1
    else:
        location = _in_tab(_object(told.get("location")))
        place = int(location.get("index") or 0)
    body.insert(place, str(told.get("text") or ""))
    return {}


def _delete(body: Body, told: Mapping[str, Any]) -> JsonObject:
    body.delete(*_range(told))
    return {}


def _name(body: Body, told: Mapping[str, Any]) -> JsonObject:
    made = body.name(*_range(told), str(told.get("name") or ""))
    return {"createNamedRange": {"namedRangeId": made}}


def _style_paragraphs(body: Body, told: Mapping[str, Any]) -> JsonObject:
    if not told.get("fields"):
        raise RefusedError(400, "INVALID_ARGUMENT", "At least one field must be listed in 'fields'.")
    style = str(_object(told.get("paragraphStyle")).get("namedStyleType") or NORMAL)
    body.reshape(*_range(told), lambda unit: replace(unit, style=style))
    return {}


def _style_text(body: Body, told: Mapping[str, Any]) -> JsonObject:
    if not told.get("fields"):
        raise RefusedError(400, "INVALID_ARGUMENT", "At least one field must be listed in 'fields'.")
    body.check(*_range(told))
    return {}


def _make_list(body: Body, told: Mapping[str, Any]) -> JsonObject:
    preset = str(told.get("bulletPreset") or "")
    body.reshape(*_range(told), lambda unit: replace(unit, preset=preset))
    return {}


def _end_list(body: Body, told: Mapping[str, Any]) -> JsonObject:
    body.reshape(*_range(told), lambda unit: replace(unit, preset=""))
    return {}


_CHANGES: Mapping[str, Change] = {
    "createNamedRange": _name,
    "createParagraphBullets": _make_list,
    "deleteContentRange": _delete,
    "deleteParagraphBullets": _end_list,
    "insertText": _insert_text,
    "updateParagraphStyle": _style_paragraphs,
    "updateTextStyle": _style_text,
}


def _range(told: Mapping[str, Any]) -> tuple[int, int]:
    found = _in_tab(_object(told.get("range")))
    return int(found.get("startIndex") or 0), int(found.get("endIndex") or 0)


def _in_tab(told: Mapping[str, Any]) -> Mapping[str, Any]:
    if told.get("tabId", TAB_ID) != TAB_ID:
        raise RefusedError(400, "INVALID_ARGUMENT", "The tab was not found in the document.")
    return told


def _object(told: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", told) if isinstance(told, dict) else {}


def _revision(file: File, body: Body) -> str:
    return f"ALm37{file.id[-8:]}{body.revision}"
