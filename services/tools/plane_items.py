"""Plane's projects, work items and comments, as the contract has them and as a model reads them."""

from __future__ import annotations

from collections.abc import Mapping

from aucert.common.v1.thread_pb2 import PlaneThread
from aucert.tools.v1 import plane_service_pb2 as pb
from services.tools.plane_access import PlaneItem
from services.tools.plane_client import Json
from services.tools.plane_format import plain
from services.tools.plane_threads import author_of, link, markup_of, storable
from services.tools.quoting import one_line, quoted

PRIORITIES: Mapping[int, str] = {
    pb.PLANE_PRIORITY_NONE: "none",
    pb.PLANE_PRIORITY_LOW: "low",
    pb.PLANE_PRIORITY_MEDIUM: "medium",
    pb.PLANE_PRIORITY_HIGH: "high",
    pb.PLANE_PRIORITY_URGENT: "urgent",
}
"""Plane's words."""


def project_of(found: Json) -> pb.PlaneProject:
    """A project."""
    return pb.PlaneProject(
        project_id=str(found["id"]), identifier=_line(found["identifier"]), name=_line(found["name"])
    )


def project_lines(found: Json) -> list[str]:
    """One project of a list, with what people say it is for."""
    shown = project_of(found)
    said = str(found.get("description") or "")
    return [f"{shown.identifier}  {shown.name}  ({shown.project_id})", *(_quoted(said) if said else [])]


def identified(identifier: str, found: Json, web_url: str) -> pb.PlaneWorkItem:
    """A work item of the project with this identifier."""
    named = f"{_line(identifier)}-{found['sequence_id']}"
    thread = PlaneThread(identifier=named)
    return pb.PlaneWorkItem(
        work_item_id=str(found["id"]),
        identifier=named,
        title=_line(found["name"]),
        url=link(web_url, thread, ""),
    )


def work_item_of(item: PlaneItem, web_url: str) -> pb.PlaneWorkItem:
    """A work item that was looked up."""
    return identified(item.place.identifier, item.found, web_url)


def state_name(found: Json) -> str:
    """Name of its state. Empty: Plane did not write the state out."""
    state = found.get("state")
    return _line(state.get("name")) if isinstance(state, dict) else ""


def work_item_line(identifier: str, found: Json) -> str:
    """One line of a list."""
    facts = [state_name(found), f"priority {found['priority']}" if found.get("priority") else ""]
    known = "".join(f"{each}  " for each in facts if each)
    updated = f"  (updated {found['updated_at']})" if found.get("updated_at") else ""
    return f"{_line(identifier)}-{found['sequence_id']}  {known}{_line(found['name'])}{updated}"


def work_item_lines(item: PlaneItem, web_url: str, names: Mapping[str, str]) -> list[str]:
    """A work item's own text, with what is known about it. `names`: of people, by their ids."""
    shown, found = work_item_of(item, web_url), item.found
    assignees = [_person(str(each), names) for each in found.get("assignees") or ()]
    facts = {
        "state": state_name(found),
        "priority": _line(found.get("priority")),
        "opened by": f"{_person(author_of(found), names)} at {found['created_at']}",
        "assigned to": ", ".join(assignees),
        "due": _line(found.get("target_date")),
        "archived": _line(found.get("archived_at")),
    }
    head = [f"{shown.identifier}: {shown.title}", shown.url]
    lines = [*head, *(f"{name}: {value}" for name, value in facts.items() if value)]
    return [*lines, *_quoted(plain(markup_of(found), names))]


def comment_of(item: PlaneItem, comment: Json, web_url: str) -> pb.PlaneComment:
    """A comment on a work item."""
    thread = PlaneThread(identifier=work_item_of(item, web_url).identifier)
    return pb.PlaneComment(
        comment_id=str(comment["id"]),
        author_id=str(comment.get("actor") or ""),
        url=link(web_url, thread, str(comment["id"])),
    )


def comment_lines(comment: Json, my_id: str, names: Mapping[str, str]) -> list[str]:
    """A comment with who wrote it."""
    author_id = author_of(comment)
    by = "you" if author_id == my_id else _person(author_id, names)
    shown = plain(markup_of(comment), names)
    return [f"Comment {comment['id']} by {by} at {comment['created_at']}:", *_quoted(shown), ""]


def _person(user_id: str, names: Mapping[str, str]) -> str:
    """With the id, so that nobody passes for somebody else by their name."""
    return f"{_line(names.get(user_id)) or 'somebody'} ({user_id})" if user_id else "Plane"


def _line(text: object) -> str:
    return storable(one_line(str(text or "")))


def _quoted(text: str) -> list[str]:
    return quoted(storable(text))
