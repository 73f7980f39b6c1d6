"""Change work items on Plane, each time once: what to send, and how it is recognised later.

What is made carries the effect's id as its external id; what is changed is recognised by being as asked. What
a model writes mentions nobody: `plane_format` makes no tag of what it wrote.
"""

from __future__ import annotations

from aucert.astra.v1.effect_pb2 import Effect
from aucert.tools.v1 import plane_service_pb2 as pb
from services.tools.effects import Change
from services.tools.errors import FieldInvalid
from services.tools.plane_access import PlaneCall, PlaneItem, PlanePlace
from services.tools.plane_client import Json
from services.tools.plane_format import plain, to_html
from services.tools.plane_items import PRIORITIES, comment_of, identified, state_name, work_item_of
from services.tools.plane_marks import find_comment, find_work_item
from services.tools.plane_threads import markup_of
from services.tools.vendor_errors import VendorUnavailable


def work_item_creation(
    call: PlaneCall, request: pb.CreateWorkItemRequest
) -> Change[pb.CreateWorkItemResponse]:
    """A new work item."""

    async def send(effect: Effect) -> pb.CreateWorkItemResponse:
        place = await call.place(request.project)
        body = await _fields(call, place, request)
        made = await call.make(place.items, body, effect.effect_id)
        if "sequence_id" not in made:  # an earlier request made it: Plane told no more than its id
            raise VendorUnavailable("Plane has made the issue already and does not show it yet.")
        return await told(place, made)

    async def find(effect: Effect) -> pb.CreateWorkItemResponse | None:
        place = await call.place(request.project)
        found = await find_work_item(call.client, place.project_id, effect.effect_id)
        return await told(place, found) if found else None

    async def told(place: PlanePlace, found: Json) -> pb.CreateWorkItemResponse:
        item = identified(place.identifier, found, await call.client.web_url())
        return pb.CreateWorkItemResponse(text=f"Opened {item.identifier}: {item.url}", work_item=item)

    return Change(send, find, pb.CreateWorkItemResponse, lambda done: done.work_item.url)


def work_item_update(call: PlaneCall, request: pb.UpdateWorkItemRequest) -> Change[pb.UpdateWorkItemResponse]:
    """A changed work item. Raises FieldInvalid where nothing is to be changed."""
    fields = {
        "title": request.title,
        "body": request.body,
        "priority": PRIORITIES.get(request.priority, ""),
        "state": request.state,
    }
    wanted = [name for name, value in fields.items() if value]
    if not wanted:
        raise FieldInvalid("Say what to change: title, body, priority or state.")

    async def send(effect: Effect) -> pb.UpdateWorkItemResponse:
        del effect
        item = await call.item(request.issue)
        await call.change(item.path, await _fields(call, item.place, request))
        return await told(item, request.title)

    async def find(effect: Effect) -> pb.UpdateWorkItemResponse | None:
        del effect
        item = await call.item(request.issue)
        return await told(item) if _is_as_asked(item.found, request) else None

    async def told(item: PlaneItem, title: str = "") -> pb.UpdateWorkItemResponse:
        shown = work_item_of(item, await call.client.web_url())
        shown.title = title or shown.title
        return pb.UpdateWorkItemResponse(
            text=f"Changed {', '.join(wanted)} of {shown.identifier}: {shown.url}", work_item=shown
        )

    return Change(send, find, pb.UpdateWorkItemResponse, lambda done: done.work_item.url)


def work_item_comment(
    call: PlaneCall, request: pb.AddWorkItemCommentRequest
) -> Change[pb.AddWorkItemCommentResponse]:
    """A comment; OriginThread for the run's own work item is raised when it is sent."""

    async def send(effect: Effect) -> pb.AddWorkItemCommentResponse:
        item = await call.item(request.issue)
        call.refuse_origin(item)
        body = {"comment_html": to_html(request.body)}
        return await told(item, await call.make(f"{item.path}comments/", body, effect.effect_id))

    async def find(effect: Effect) -> pb.AddWorkItemCommentResponse | None:
        item = await call.item(request.issue)
        path = f"{item.path}comments/"
        found = await find_comment(call.client, path, effect.effect_id, effect.created_time)
        return await told(item, found) if found else None

    async def told(item: PlaneItem, found: Json) -> pb.AddWorkItemCommentResponse:
        comment = comment_of(item, found, await call.client.web_url())
        return pb.AddWorkItemCommentResponse(text=f"Commented: {comment.url}", comment=comment)

    return Change(send, find, pb.AddWorkItemCommentResponse, lambda done: done.comment.url)


async def _fields(
    call: PlaneCall, place: PlanePlace, request: pb.CreateWorkItemRequest | pb.UpdateWorkItemRequest
) -> Json:
    """What of a work item is set, in Plane's words. Raises FieldInvalid for a state the project has not."""
    fields: dict[str, str] = {}
    if request.title:
        fields["name"] = request.title
    if request.body:
        fields["description_html"] = to_html(request.body)
    if request.priority:
        fields["priority"] = PRIORITIES[request.priority]
    if request.state:
        fields["state"] = await _state_id(call, place, request.state)
    return fields


async def _state_id(call: PlaneCall, place: PlanePlace, wanted: str) -> str:
    states = await call.states(place)
    for name, state_id in states.items():
        if name.casefold() == wanted.casefold():
            return state_id
    raise FieldInvalid(f"{place.identifier} has no state {wanted!r}. It has: {', '.join(states)}.")


def _is_as_asked(found: Json, request: pb.UpdateWorkItemRequest) -> bool:
    """Texts are compared by their words: Plane may write a tag in another way than we did."""
    return (
        request.title in ("", found["name"])
        and PRIORITIES.get(request.priority) in (None, found.get("priority"))
        and request.state.casefold() in ("", state_name(found).casefold())
        and (not request.body or plain(to_html(request.body), {}) == plain(markup_of(found), {}))
    )
