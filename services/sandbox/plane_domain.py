"""What Plane's world consists of, as values: people, projects, work items, comments, refusals."""

from __future__ import annotations

import html
import re
import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

HTML_CHARS_MAX = 1_048_576
"""What one text may have here; Plane itself takes more."""
_MENTION = re.compile(r"<mention-component[^<>]*></mention-component>")
_TAG = re.compile(r"<[^<>]*>")


class RefusedError(ValueError):
    """What Plane answers with 400: the text says why."""


class NoSuchThingError(ValueError):
    """What Plane answers with 404."""


class ExternalIdTakenError(ValueError):
    """What Plane answers with 409: another one in the project has this pair. `holder_id` is that one."""

    def __init__(self, kind: str, holder_id: str) -> None:
        super().__init__(f"{kind} with the same external id and external source already exists")
        self.holder_id = holder_id


class Standing(StrEnum):
    """What a person is to the workspace; an external one is not among its members."""

    MEMBER = "member"
    GUEST = "guest"
    EXTERNAL = "external"


ROLES = {Standing.MEMBER: 15, Standing.GUEST: 5}
"""Plane's numbers for them."""


def stable_id(kind: str, name: str) -> str:
    """The same id for the same name in every sandbox."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"plane-sandbox:{kind}:{name.lower()}"))


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account."""

    id: str
    name: str
    standing: Standing = Standing.MEMBER
    is_bot: bool = False


@dataclass(frozen=True, slots=True)
class Project:
    """`identifier` begins the names of its work items, as SHOP does SHOP-12."""

    id: str
    name: str
    identifier: str


@dataclass(frozen=True, slots=True)
class State:
    """Where a work item can be on its way; each project begins with STATES."""

    name: str
    group: str
    color: str


STATES = (
    State("Backlog", "backlog", "#60646C"),
    State("Todo", "unstarted", "#60646C"),
    State("In Progress", "started", "#F59E0B"),
    State("Done", "completed", "#46A758"),
    State("Cancelled", "cancelled", "#9AA4BC"),
)
PRIORITIES = frozenset({"urgent", "high", "medium", "low", "none"})


@dataclass(frozen=True, slots=True)
class WorkItem:
    """What older parts of Plane call an issue. `html` is its description."""

    id: str
    project: Project
    sequence: int
    name: str
    html: str
    by: Person
    created_at: datetime
    updated_at: datetime
    state: State = STATES[0]
    priority: str = "none"
    external_source: str | None = None
    external_id: str | None = None

    @property
    def identifier(self) -> str:
        """As people say it."""
        return f"{self.project.identifier}-{self.sequence}"


@dataclass(frozen=True, slots=True)
class Comment:
    """`edited_at` is unset until somebody changes it; `by` None: Plane itself wrote it."""

    id: str
    item: WorkItem
    by: Person | None
    html: str
    created_at: datetime
    updated_at: datetime
    edited_at: datetime | None = None
    access: str = "INTERNAL"
    external_source: str | None = None
    external_id: str | None = None


def state_id(project: Project, state: State) -> str:
    """The id of a project's state."""
    return stable_id("state", f"{project.name}/{state.name}")


def stripped(markup: str) -> str:
    """The text between the tags, as Plane stores it beside the HTML: mentions are gone, entities stay."""
    return _TAG.sub("", markup)


def readable(markup: str, bot_name: str) -> str:
    """The words as the page shows them."""
    named = _MENTION.sub(f"@{bot_name}", markup).replace("</p>", "</p>\n").replace("<br>", "\n")
    return html.unescape(stripped(named)).strip()
