"""Plane's world as far as we call it, in memory and bounded.

`PlaneState` alone adds to it, and refuses what Plane refuses. It knows nothing of HTTP, JSON or webhooks.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypedDict, TypeVar, Unpack

from services.sandbox.plane_domain import (
    HTML_CHARS_MAX,
    Comment,
    ExternalIdTakenError,
    NoSuchThingError,
    Person,
    Project,
    RefusedError,
    Standing,
    State,
    WorkItem,
    stable_id,
)
from services.sandbox.settings import PlaneSettings

PROJECTS_MAX = 500
PEOPLE_MAX = 2_000
ITEMS_MAX = 5_000
COMMENTS_PER_ITEM_MAX = 2_000
CHARS_KEPT_MAX = 64 * 1024 * 1024
_Thing = TypeVar("_Thing")


class ItemFields(TypedDict, total=False):
    """Fields of a work item that may be given when it is filed."""

    state: State
    priority: str
    external_source: str | None
    external_id: str | None


class ItemChanges(ItemFields, total=False):
    """Fields of a work item that may be changed."""

    name: str
    html: str


class PlaneState:
    """Projects are known by name, everything else by id."""

    def __init__(self, settings: PlaneSettings, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._last = datetime.min.replace(tzinfo=UTC)
        self._projects: dict[str, Project] = {}
        self._items: dict[str, WorkItem] = {}
        self._comments: dict[str, dict[str, Comment]] = {}
        self._chars_left = CHARS_KEPT_MAX
        self.workspace_id = stable_id("workspace", settings.workspace)
        self.bot = Person(stable_id("person", settings.bot_name), settings.bot_name)
        self._people: dict[str, Person] = {self.bot.id: self.bot}

    def person(self, name: str, standing: Standing = Standing.MEMBER, *, is_bot: bool = False) -> Person:
        """Somebody by name, made when first named; a new standing replaces the old one."""
        person = Person(stable_id("person", name), name, standing, is_bot)
        if person.id not in self._people and len(self._people) >= PEOPLE_MAX:
            raise RefusedError("too many people")
        self._people[person.id] = person
        return person

    def members(self) -> list[Person]:
        """The workspace's members, in the order they came."""
        return [each for each in self._people.values() if each.standing is not Standing.EXTERNAL]

    def add_project(self, name: str) -> Project:
        """The same name gives the same project."""
        letters = "".join(each for each in name.upper() if each.isalnum())
        found = Project(stable_id("project", name), name, letters[:12])
        if found.id not in self._projects and len(self._projects) >= PROJECTS_MAX:
            raise RefusedError("too many projects")
        return self._projects.setdefault(found.id, found)

    def project(self, project_id: str) -> Project:
        """Raises `NoSuchThingError`."""
        return _found(self._projects, project_id)

    def projects(self) -> list[Project]:
        """In the order they were added."""
        return list(self._projects.values())

    def add_item(
        self, project: Project, by: Person, name: str, html: str, **more: Unpack[ItemFields]
    ) -> WorkItem:
        """File a work item. Raises `ExternalIdTakenError` where the pair is in the project already."""
        if not name:
            raise RefusedError("name: This field may not be blank.")
        if len(self._items) >= ITEMS_MAX:
            raise RefusedError("too many work items")
        if taken := self.marked_item(project, more.get("external_source"), more.get("external_id")):
            raise ExternalIdTakenError("Issue", taken.id)
        self._spend(html)
        sequence = 1 + sum(each.project.id == project.id for each in self._items.values())
        now = self._now()
        item = WorkItem(str(uuid.uuid4()), project, sequence, name, html, by, now, now, **more)
        self._comments[item.id] = {}
        return self._items.setdefault(item.id, item)

    def marked_item(self, project: Project, source: str | None, external_id: str | None) -> WorkItem | None:
        """The work item of a project that has this pair."""
        for each in self._items.values():
            pair = (each.external_source, each.external_id)
            if each.project.id == project.id and all(pair) and pair == (source, external_id):
                return each
        return None

    def change_item(self, item: WorkItem, **changes: Unpack[ItemChanges]) -> WorkItem:
        """Change some of its fields."""
        self._spend(changes.get("html", ""))
        self._items[item.id] = replace(item, **changes, updated_at=self._now())
        return self._items[item.id]

    def items(self) -> list[WorkItem]:
        """In the order they were filed."""
        return list(self._items.values())

    def item(self, item_id: str, project_id: str = "") -> WorkItem:
        """With `project_id`, only if it is in that project. Raises `NoSuchThingError`."""
        item = _found(self._items, item_id)
        if project_id and item.project.id != project_id:
            raise NoSuchThingError
        return item

    def add_comment(
        self,
        item: WorkItem,
        by: Person | None,
        html: str,
        *,
        access: str = "INTERNAL",
        external_source: str | None = None,
        external_id: str | None = None,
    ) -> Comment:
        """Write below a work item. Raises `ExternalIdTakenError` where the pair is in the project already."""
        held = self._comments[item.id]
        if external_source and external_id:
            self._refuse_taken(item.project, external_source, external_id)
        if len(held) >= COMMENTS_PER_ITEM_MAX:
            raise RefusedError("too many comments")
        self._spend(html)
        now = self._now()
        comment = Comment(
            id=str(uuid.uuid4()),
            item=item,
            by=by,
            html=html,
            created_at=now,
            updated_at=now,
            access=access,
            external_source=external_source,
            external_id=external_id,
        )
        self._touch(item.id, now)
        return held.setdefault(comment.id, comment)

    def edit(self, comment: Comment, html: str) -> Comment:
        """Change its words."""
        self._spend(html)
        now = self._now()
        changed = replace(comment, html=html, updated_at=now, edited_at=now)
        self._comments[comment.item.id][comment.id] = changed
        self._touch(comment.item.id, now)
        return changed

    def delete(self, comment: Comment) -> None:
        """Take it away."""
        del self._comments[comment.item.id][comment.id]
        self._touch(comment.item.id, self._now())

    def comments(self, item: WorkItem) -> list[Comment]:
        """Oldest first."""
        return list(self._comments[item.id].values())

    def comment(self, item: WorkItem, comment_id: str) -> Comment:
        """Raises `NoSuchThingError`."""
        return _found(self._comments[item.id], comment_id)

    def _refuse_taken(self, project: Project, source: str, external_id: str) -> None:
        for item in self._items.values():
            if item.project.id == project.id:
                for each in self._comments[item.id].values():
                    if (each.external_source, each.external_id) == (source, external_id):
                        raise ExternalIdTakenError("Work item comment", each.id)

    def _touch(self, item_id: str, now: datetime) -> None:
        """What happens to its comments changes a work item too."""
        self._items[item_id] = replace(self._items[item_id], updated_at=now)

    def _spend(self, html: str) -> None:
        if len(html) > min(HTML_CHARS_MAX, self._chars_left):
            raise RefusedError("HTML content exceeds maximum size limit")
        self._chars_left -= len(html)

    def _now(self) -> datetime:
        """A moment after every earlier one, so that order by time is order."""
        self._last = max(self._clock(), self._last + timedelta(microseconds=1))
        return self._last


def _found(things: Mapping[str, _Thing], key: str) -> _Thing:
    try:
        return things[key]
    except KeyError:
        raise NoSuchThingError from None
