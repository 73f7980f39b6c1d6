"""People, work items, comments and webhook bodies as Plane's JSON.

What this stand-in has no notion of (labels, cycles, estimates) is there and empty, as at
Plane where nobody uses it. Webhooks come in two generations: the first tells of a field at a time and brings
the HTML, the second brings stripped words and does not say in which project a comment is.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias

from services.sandbox.plane_domain import ROLES, Comment, Person, Project, State, WorkItem, state_id, stripped
from services.sandbox.plane_state import PlaneState

JsonObject: TypeAlias = dict[str, object]


class PlaneWire:
    """Writes for one workspace."""

    def __init__(self, state: PlaneState) -> None:
        self._workspace_id = state.workspace_id

    def user(self, person: Person) -> JsonObject:
        """As `users/me` and a webhook's actor show somebody."""
        return {
            "id": person.id,
            "first_name": person.name.title(),
            "last_name": "",
            "email": f"{person.name}@sandbox.example",
            "avatar": "",
            "avatar_url": None,
            "display_name": person.name,
        }

    def member(self, person: Person) -> JsonObject:
        """As the workspace's list of members shows one."""
        role = {"role": ROLES[person.standing], "role_slug": str(person.standing)}
        return {**self.user(person), **role, "is_active": True, "is_bot": person.is_bot}

    def project(self, project: Project) -> JsonObject:
        """As the list of projects shows one."""
        return {
            "id": project.id,
            "name": project.name,
            "identifier": project.identifier,
            "description": "",
            "network": 2,
            "is_member": True,
            "archived_at": None,
            "workspace": self._workspace_id,
        }

    def state(self, project: Project, state: State) -> JsonObject:
        """As a work item has its state written out, and as the list of states begins."""
        known = {"name": state.name, "color": state.color, "group": state.group}
        return {"id": state_id(project, state), **known}

    def match(self, item: WorkItem, workspace: str) -> JsonObject:
        """As a search shows a work item."""
        return {
            "id": item.id,
            "name": item.name,
            "sequence_id": item.sequence,
            "project__identifier": item.project.identifier,
            "project_id": item.project.id,
            "workspace__slug": workspace,
        }

    def item(self, item: WorkItem, *, expand: frozenset[str] = frozenset()) -> JsonObject:
        """As the API shows a work item."""
        project = item.project
        named: JsonObject = {"id": project.id, "identifier": project.identifier, "name": project.name}
        state = self.state(project, item.state)
        return {
            **self._made(item.id, item.by, item.created_at, item.updated_at),
            "name": item.name,
            "description_html": item.html,
            "description_stripped": stripped(item.html),
            "priority": item.priority,
            "point": None,
            "start_date": None,
            "target_date": None,
            "sequence_id": item.sequence,
            "sort_order": 65535.0,
            "completed_at": None,
            "archived_at": None,
            "is_draft": False,
            "external_source": item.external_source,
            "external_id": item.external_id,
            "project": named if "project" in expand else project.id,
            "parent": None,
            "state": state if "state" in expand else state["id"],
            "estimate_point": None,
            "type": None,
            "assignees": [],
            "labels": [],
        }

    def comment(self, comment: Comment) -> JsonObject:
        """As the API and a webhook of the first generation show a comment: without the stripped words."""
        return {
            **self._made(comment.id, comment.by, comment.created_at, comment.updated_at),
            "comment_html": comment.html,
            "attachments": [],
            "access": comment.access,
            "external_source": comment.external_source,
            "external_id": comment.external_id,
            "edited_at": comment.edited_at and moment(comment.edited_at),
            "project": comment.item.project.id,
            "issue": comment.item.id,
            "actor": comment.by and comment.by.id,
            "parent": None,
        }

    def item_told(self, item: WorkItem) -> JsonObject:
        """A work item in a webhook of the first generation: what it refers to is written out."""
        return {**self.item(item, expand=frozenset({"state"})), "cycle": None, "module": None}

    def item_told_v2(self, item: WorkItem) -> JsonObject:
        """A work item in a webhook of the second generation: without its description's HTML."""
        return {
            "id": item.id,
            "name": item.name,
            "priority": "none",
            "project_id": item.project.id,
            "sequence_id": item.sequence,
            "workspace_id": self._workspace_id,
            "created_at": moment(item.created_at),
            "updated_at": moment(item.updated_at),
            "created_by_id": item.by.id,
            "updated_by_id": None,
            "external_id": None,
            "external_source": None,
            "description_json": {},
            "label_ids": [],
            "assignee_ids": [],
        }

    def comment_told_v2(self, comment: Comment) -> JsonObject:
        """A comment in a webhook of the second generation: inside its work item, without project or HTML."""
        told: JsonObject = {
            "id": comment.id,
            "access": comment.access,
            "actor_id": comment.by and comment.by.id,
            "issue_id": comment.item.id,
            "edited_at": comment.edited_at and moment(comment.edited_at),
            "comment_stripped": stripped(comment.html),
        }
        return {"id": comment.item.id, "name": comment.item.name, "comment": told}

    def _made(self, thing_id: str, by: Person | None, created: datetime, updated: datetime) -> JsonObject:
        return {
            "id": thing_id,
            "created_at": moment(created),
            "updated_at": moment(updated),
            "deleted_at": None,
            "created_by": by and by.id,
            "updated_by": None,
            "workspace": self._workspace_id,
        }


def moment(when: datetime) -> str:
    """A time as Plane writes it."""
    return when.isoformat(timespec="microseconds").replace("+00:00", "Z")


def page(shown: list[JsonObject], *, begin: int, size: int, total: int) -> JsonObject:
    """One page of a list, with the cursors of its neighbours."""
    number = begin // size
    return {
        "grouped_by": None,
        "sub_grouped_by": None,
        "total_count": total,
        "next_cursor": f"{size}:{number + 1}:0",
        "prev_cursor": f"{size}:{number - 1}:1",
        "next_page_results": begin + size < total,
        "prev_page_results": begin > 0,
        "count": len(shown),
        "total_pages": -(-total // size),
        "total_results": total,
        "extra_stats": None,
        "results": shown,
    }
