"""Reads what Google sends, and comments as CatchUpService tells them, into values.

Notifications and events say only where something happened. A comment is told in our own shape around Drive's:
it is read leniently by key, and a part that is missing or odd means it is not understood and starts nothing.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from services.dispatcher.domain import TEXT_CHARS_MAX, Ignored, IgnoredReason, Said, Standing

Payload = Mapping[str, Any]
CHANNEL_HEADER, NUMBER_HEADER, STATE_HEADER, URI_HEADER = (
    f"x-goog-{name}" for name in ("channel-id", "message-number", "resource-state", "resource-uri")
)
SYNC = "sync"
READ_STATES = frozenset({"change", "changed", "update", "add", "untrash"})
"""`changed` stands in Google's own example, `change` in its tables."""
READ_EVENTS = frozenset(
    f"google.workspace.drive.{name}"
    for name in ("comment.v3.created", "comment.v3.resolved", "reply.v3.created")
)
COMMENT_EVENTS = ("google.workspace.drive.comment.", "google.workspace.drive.reply.")
ENDED_EVENTS = frozenset(
    f"google.workspace.events.subscription.v1.{name}" for name in ("suspended", "expired")
)
CONTAINERS_MAX = 40
NAME_CHARS_MAX = 200
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_FILE_URI = re.compile(r"/drive/v3/files/([A-Za-z0-9_-]{1,128})(?:[/?]|$)", re.ASCII)
_DRIVE = re.compile(r"[?&]driveId=([A-Za-z0-9_-]{1,128})(?:&|$)", re.ASCII)
_STANDINGS = {False: Standing.MEMBER, None: Standing.GUEST, True: Standing.EXTERNAL}


@dataclass(frozen=True, slots=True)
class Act:
    """A comment or, with a `reply_id`, a reply to it; `said` is what was said up to it, itself the last.

    `standing` follows from whom the document is open to: Google does not say who an author is. `mentioned`:
    the addresses it names or is assigned to. `resolved`: the comment is so by now. `account`: our address.
    """

    file_id: str
    file_name: str
    file_url: str
    containers: tuple[str, ...]
    standing: Standing
    comment_id: str
    reply_id: str
    said: tuple[Said, ...]
    quoted: str
    mentioned: frozenset[str]
    action: str
    resolved: bool
    link: str
    account: str

    @property
    def item(self) -> Said:
        """What the person wrote."""
        return self.said[-1]

    @property
    def thread_key(self) -> str:
        """`<file>/<comment>`."""
        return f"{self.file_id}/{self.comment_id}"


def read(body: bytes) -> Act | Ignored:
    """What a person did, or why the delivery is nothing to look at."""
    try:
        act, is_deleted = _act(envelope(body))
    except (LookupError, TypeError, ValueError, AttributeError):
        return Ignored(IgnoredReason.PAYLOAD_NOT_UNDERSTOOD)
    if act.item.ours:
        return Ignored(IgnoredReason.SELF_AUTHORED)
    return Ignored(IgnoredReason.ITEM_GONE) if is_deleted else act


def envelope(body: bytes) -> Payload:
    """The payload as it came; empty for anything but a JSON object."""
    try:
        told: object = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return cast("Payload", told) if isinstance(told, dict) else {}


def notified(headers: Mapping[str, str]) -> str | Ignored:
    """The container a notification of a watch channel tells of. Its body is empty and not looked at."""
    if headers.get(STATE_HEADER, "") not in READ_STATES:
        return Ignored(IgnoredReason.ACTION_NOT_HANDLED)
    uri = headers.get(URI_HEADER, "")
    if found := _FILE_URI.search(uri):
        return f"google-drive:file/{found.group(1)}"
    drive = _DRIVE.search(uri)
    return f"google-drive:changes/{drive.group(1)}" if drive else "google-drive:changes"


def pushed(body: bytes) -> str | Ignored:
    """The container a Workspace event tells of; Pub/Sub wraps it and its attributes name its kind."""
    try:
        message = envelope(body)["message"]
        kind = message["attributes"]["ce-type"]
        if kind in ENDED_EVENTS:
            return Ignored(IgnoredReason.VENDOR_DROPS_DELIVERIES)
        if kind not in READ_EVENTS:
            handled = str(kind).startswith(COMMENT_EVENTS)
            return Ignored(IgnoredReason.ACTION_NOT_HANDLED if handled else IgnoredReason.EVENT_NOT_HANDLED)
        told = envelope(base64.b64decode(message["data"], validate=True))
        item = told["reply"] if ".reply." in kind else told["comment"]
        return f"google-drive:file/{_id(item['file_id'])}"
    except (LookupError, TypeError, ValueError, AttributeError):
        return Ignored(IgnoredReason.PAYLOAD_NOT_UNDERSTOOD)


def _act(told: Payload) -> tuple[Act, bool]:
    """The act, and whether its author took it back."""
    file, comment, reply_id = told["file"], told["comment"], told["reply_id"]
    items = [comment, *(comment.get("replies") or ())] if reply_id else [comment]
    item = items[-1]
    if item["id"] != (reply_id or comment["id"]):
        raise ValueError("the act is not the last that was said")
    link = _text(told["link"])
    act = Act(
        file_id=_id(file["id"]),
        file_name=_text(file.get("name"))[:NAME_CHARS_MAX],
        file_url=_text(file.get("url")),
        containers=tuple(_text(each) for each in file["containers"][:CONTAINERS_MAX]),
        standing=_STANDINGS[file["open_to_link"]],
        comment_id=_id(comment["id"]),
        reply_id=_id(reply_id) if reply_id else "",
        said=tuple(_said(each, link) for each in items),
        quoted=_text((comment.get("quotedFileContent") or {}).get("value")),
        mentioned=_mentioned(item),
        action=_text(item.get("action")),
        resolved=bool(comment.get("resolved")),
        link=link,
        account=_text(told.get("account")).lower(),
    )
    return act, bool(item.get("deleted"))


def _said(item: Payload, link: str) -> Said:
    """Google names an author and says no more of them."""
    author = item.get("author") or {}
    return Said(
        external_id=_id(item["id"]),
        author_id=_text(author.get("displayName"))[:NAME_CHARS_MAX] or "somebody",
        ours=bool(author.get("me")),
        text=_text(item.get("content")),
        url=link,
    )


def _mentioned(item: Payload) -> frozenset[str]:
    named = [*(item.get("mentionedEmailAddresses") or ()), item.get("assigneeEmailAddress") or ""]
    return frozenset(_text(each).lower() for each in named if each)


def _id(value: object) -> str:
    if not (isinstance(value, str) and _ID.fullmatch(value)):
        raise ValueError("no id")
    return value


def _text(value: object) -> str:
    """Text that PostgreSQL and protobuf take: no NUL, no lone surrogates, bounded. Absent: empty."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError("no text")
    return (
        value[:TEXT_CHARS_MAX].encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
    )
