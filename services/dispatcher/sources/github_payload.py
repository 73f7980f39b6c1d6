"""Reads GitHub's webhook payloads into one shape, an `Act`: who wrote what, where.

Payloads are read leniently by key instead of through a full model: GitHub adds fields freely, and a
required part that is missing means the payload is not understood and starts nothing. Python's JSON knows
numbers no id can be (1e999 is infinite, true is 1): such a number counts as absent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qs

from services.dispatcher.domain import TEXT_CHARS_MAX, Author, Ignored, IgnoredReason, Said

Payload = Mapping[str, Any]
EVENT_HEADER = "x-github-event"
ID_MAX = 2**63 - 1
NUMBER_MAX = 2**31 - 1
"""As the contract's ThreadAddress holds them."""
COMMENTS_MAX = 200
TIME_CHARS_MAX = 40
_FORM = "application/x-www-form-urlencoded"


class ItemKind(StrEnum):
    """What the words were written on; the values are part of event keys."""

    ISSUE = "issue"
    PULL_REQUEST = "pull_request"
    ISSUE_COMMENT = "issue_comment"
    REVIEW_COMMENT = "review_comment"


@dataclass(frozen=True, slots=True)
class Place:
    """Where on the diff a review comment stands. `line` 0: the file as a whole, or an outdated line."""

    path: str
    line: int
    diff_hunk: str


@dataclass(frozen=True, slots=True)
class Act:
    """Something a person wrote on GitHub, or that they resolved the thread of a review.

    `resolved` is GitHub's time of that; empty: something was written. `said`: what is in that thread.
    """

    kind: ItemKind
    item_id: int
    text: str
    url: str
    author: Author
    author_is_bot: bool
    app_id: str
    repository: str
    repository_id: int
    installation_id: int
    number: int
    on_pull_request: bool
    title: str
    thread_url: str
    opening_text: str
    opening_author: str
    review_comment_id: int = 0
    place: Place | None = None
    resolved: str = ""
    said: tuple[Said, ...] = ()

    @property
    def key(self) -> str:
        """The name of the act for good. A thread can be resolved, reopened and resolved again."""
        if self.resolved:
            return f"github:review_thread/{self.review_comment_id}/{self.resolved}"
        return f"github:{self.kind}/{self.item_id}"

    @property
    def thread_key(self) -> str:
        """`<repository id>/<number>`, and `/r<top review comment>` for a conversation on the diff."""
        base = f"{self.repository_id}/{self.number}"
        return f"{base}/r{self.review_comment_id}" if self.review_comment_id else base


def read(headers: Mapping[str, str], body: bytes) -> Act | Ignored:
    """What a person wrote, or why the delivery is nothing to look at. Header names are lower-case."""
    event = headers.get(EVENT_HEADER, "")
    if event not in _READERS:
        return Ignored(IgnoredReason.EVENT_NOT_HANDLED)
    action, reader = _READERS[event]
    try:
        payload = _payload(headers, body)
        return reader(payload) if payload["action"] == action else Ignored(IgnoredReason.ACTION_NOT_HANDLED)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
        return Ignored(IgnoredReason.PAYLOAD_NOT_UNDERSTOOD)


def _payload(headers: Mapping[str, str], body: bytes) -> Payload:
    """The payload, sent as JSON or as a form."""
    if headers.get("content-type", "").startswith(_FORM):
        return json.loads(parse_qs(body.decode())["payload"][0])
    return json.loads(body)


def _issue(payload: Payload) -> Act:
    return _opened(payload, ItemKind.ISSUE, payload["issue"])


def _pull_request(payload: Payload) -> Act:
    return _opened(payload, ItemKind.PULL_REQUEST, payload["pull_request"])


def _opened(payload: Payload, kind: ItemKind, item: Payload) -> Act:
    return _act(payload, kind, item=item, subject=item, on_pull_request=kind is ItemKind.PULL_REQUEST)


def _issue_comment(payload: Payload) -> Act:
    issue = payload["issue"]
    return _act(
        payload,
        ItemKind.ISSUE_COMMENT,
        item=payload["comment"],
        subject=issue,
        on_pull_request=bool(issue.get("pull_request")),
    )


def _review_comment(payload: Payload) -> Act:
    comment = payload["comment"]
    return _act(
        payload,
        ItemKind.REVIEW_COMMENT,
        item=comment,
        subject=payload["pull_request"],
        on_pull_request=True,
        review_comment_id=_number(comment.get("in_reply_to_id")) or _id(comment["id"]),
        place=Place(
            path=_text(comment["path"]),
            line=_number(comment.get("line")) or _number(comment.get("original_line")),
            diff_hunk=_text(comment.get("diff_hunk")),
        ),
    )


def _review_resolved(payload: Payload) -> Act:
    """Resolved by the sender; the event's item is the comment that opened the thread.

    GitHub does not tell what the sender is to the repository, but lets only the pull request's author and
    those who may write to the repository resolve a thread.
    """
    pull_request, sender = payload["pull_request"], payload["sender"]
    comments = payload["thread"]["comments"]
    top = comments[0]
    by_author = _id(sender["id"]) == _number((pull_request.get("user") or {}).get("id"))
    standing = pull_request.get("author_association") if by_author else "COLLABORATOR"
    act = _review_comment({**payload, "comment": top})
    return replace(
        act,
        text="",
        author=Author(_text(sender["login"]), str(_id(sender["id"])), _text(standing)),
        author_is_bot=sender.get("type") == "Bot",
        app_id="",
        resolved=_text(payload.get("updated_at"))[:TIME_CHARS_MAX] or "once",
        said=tuple(map(_said, comments[:COMMENTS_MAX])),
    )


def _said(comment: Payload) -> Said:
    return Said(
        external_id=str(_id(comment["id"])),
        author_id=_text((comment.get("user") or {}).get("login")) or "somebody",
        ours=False,
        text=_text(comment.get("body")),
        url=_text(comment.get("html_url")),
    )


def _act(
    payload: Payload,
    kind: ItemKind,
    *,
    item: Payload,
    subject: Payload,
    on_pull_request: bool,
    review_comment_id: int = 0,
    place: Place | None = None,
) -> Act:
    user = item["user"]
    app = item.get("performed_via_github_app") or {}
    sender = payload.get("sender") or user
    return Act(
        kind=kind,
        item_id=_id(item["id"]),
        text=_text(item.get("body")),
        url=_text(item["html_url"]),
        author=Author(
            login=_text(user["login"]),
            external_id=str(_id(user["id"])),
            standing=_text(item.get("author_association")),
        ),
        author_is_bot="Bot" in (user.get("type"), sender.get("type")),
        app_id=str(_number(app.get("id")) or ""),
        repository=_text(payload["repository"]["full_name"]),
        repository_id=_id(payload["repository"]["id"]),
        installation_id=_number((payload.get("installation") or {}).get("id")),
        number=_id(subject["number"], max_=NUMBER_MAX),
        on_pull_request=on_pull_request,
        title=_text(subject.get("title")),
        thread_url=_text(subject["html_url"]),
        opening_text=_text(subject.get("body")),
        opening_author=_text((subject.get("user") or {}).get("login")),
        review_comment_id=review_comment_id,
        place=place,
    )


def _id(value: object, *, max_: int = ID_MAX) -> int:
    number = _number(value, max_=max_)
    if not number:
        raise ValueError("no id")
    return number


def _number(value: object, *, max_: int = ID_MAX) -> int:
    """A positive whole number; 0 for anything else."""
    return value if type(value) is int and 0 < value <= max_ else 0


def _text(value: object) -> str:
    """Text that PostgreSQL and protobuf take: no NUL, no lone surrogates, bounded. Absent: empty."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError("no text")
    return (
        value[:TEXT_CHARS_MAX].encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
    )


_READERS: dict[str, tuple[str, Callable[[Payload], Act]]] = {
    "issues": ("opened", _issue),
    "issue_comment": ("created", _issue_comment),
    "pull_request": ("opened", _pull_request),
    "pull_request_review_comment": ("created", _review_comment),
    "pull_request_review_thread": ("resolved", _review_resolved),
}
EVENTS = frozenset(_READERS)
"""The webhook events that are read; an App subscribes to these."""
