"""Reads Plane's webhooks of both generations into one shape, an `Act`: who filed or said something, where.

The first generation brings a comment as HTML and says who did it; the second brings its bare words, in which
mentions are missing, and does not say in which project it is. Payloads are read leniently by key: Plane's own
samples show enumerations in place of event names, and the string "None" in place of null. What starts nothing
whatever it says is sorted out here: edits, deletions, and what a program wrote on its own account.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from services.dispatcher.domain import Ignored, IgnoredReason

Payload = Mapping[str, Any]
SECOND = "v2"
OUR_SOURCE = "astra"
"""What our comments have as their external source: the tools service writes it."""
MARKUP_CHARS_MAX = 4 * 65_536
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CREATED = frozenset({"created", "create"})
_ITEM, _COMMENT = "workitem", "workitem.comment"
_FIRST_EVENTS = {"issue": _ITEM, "issue_comment": _COMMENT}


@dataclass(frozen=True, slots=True)
class Act:
    """Something a person did on Plane: filed a work item, or with a `comment_id` commented on one.

    `project_id` is empty where the webhook does not tell it. `markup` None: the webhook leaves out whom the
    words mention.
    """

    workspace_id: str
    project_id: str
    work_item_id: str
    comment_id: str
    author_id: str
    markup: str | None

    @property
    def item_id(self) -> str:
        """What was written."""
        return self.comment_id or self.work_item_id

    @property
    def thread_key(self) -> str:
        """`<workspace>/<work item>`."""
        return f"{self.workspace_id}/{self.work_item_id}"


def envelope(body: bytes) -> Payload:
    """The payload as it came; empty for anything but a JSON object."""
    try:
        told: object = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return cast("Payload", told) if isinstance(told, dict) else {}


def read(body: bytes) -> Act | Ignored:
    """What a person did, or why the delivery is nothing to look at."""
    payload = envelope(body)
    try:
        kind, verb = _told(payload)
        if kind not in (_ITEM, _COMMENT):
            return Ignored(IgnoredReason.EVENT_NOT_HANDLED)
        if verb not in _CREATED:
            return Ignored(IgnoredReason.ACTION_NOT_HANDLED)
        return _second(payload, kind) if payload.get("version") == SECOND else _first(payload, kind)
    except (LookupError, TypeError, ValueError, AttributeError):
        return Ignored(IgnoredReason.PAYLOAD_NOT_UNDERSTOOD)


def _told(payload: Payload) -> tuple[str, str]:
    """What it is about and what was done, in the second generation's words."""
    event = payload["event"]
    if payload.get("version") != SECOND:
        return str(_FIRST_EVENTS.get(event, event)), str(payload["action"])
    name = event.rpartition(".")[2]
    if name.isupper():  # as in WebhookScope.ScopeChoices.WORK_ITEM_UPDATED
        event = name.lower().replace("work_item", "workitem").replace("_", ".")
    kind, _, verb = event.rpartition(".")
    return kind, verb


def _first(payload: Payload, kind: str) -> Act | Ignored:
    data: Payload = payload["data"]
    if unread := _by_a_program(data):
        return unread
    is_comment = kind == _COMMENT
    author_id = _id(data.get("actor" if is_comment else "created_by"))
    if not author_id or ((payload.get("activity") or {}).get("actor") or {}).get("is_bot"):
        return Ignored(IgnoredReason.BOT_AUTHORED)  # without an author Plane itself wrote it
    words = data.get("comment_html") if is_comment else f"{data['name']} {data.get('description_html') or ''}"
    return Act(
        workspace_id=_required(payload["workspace_id"]),
        project_id=_required(data["project"]),
        work_item_id=_required(data["issue" if is_comment else "id"]),
        comment_id=_required(data["id"]) if is_comment else "",
        author_id=author_id,
        markup=_markup(words),
    )


def _second(payload: Payload, kind: str) -> Act | Ignored:
    data: Payload = payload["data"]
    comment: Payload = data["comment"] if kind == _COMMENT else {}
    written = comment or data
    if unread := _by_a_program(written):
        return unread
    author_id = _id(written.get("actor_id") or written.get("created_by_id"))
    if not author_id:
        return Ignored(IgnoredReason.BOT_AUTHORED)
    return Act(
        workspace_id=_required(payload["workspace_id"]),
        project_id=_id(comment.get("project_id") or data.get("project_id")),
        work_item_id=_required(comment.get("issue_id") or data["id"]),
        comment_id=_required(comment["id"]) if kind == _COMMENT else "",
        author_id=author_id,
        markup=None,
    )


def _by_a_program(written: Payload) -> Ignored | None:
    """Whoever writes through the API for somebody else says so with an external source."""
    source = written.get("external_source")
    if source in (None, "", "None"):
        return None
    return Ignored(IgnoredReason.SELF_AUTHORED if source == OUR_SOURCE else IgnoredReason.BOT_AUTHORED)


def _required(value: object) -> str:
    if found := _id(value):
        return found
    raise ValueError("no id")


def _id(value: object) -> str:
    """An id, also of something written out. Empty: there is none."""
    told = cast("Payload", value).get("id") if isinstance(value, dict) else value
    if told in (None, "", "None"):
        return ""
    if not (isinstance(told, str) and _UUID.fullmatch(told.lower())):
        raise ValueError("no id")
    return told.lower()


def _markup(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError("no text")
    return value[:MARKUP_CHARS_MAX]
