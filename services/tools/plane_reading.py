"""Read Plane: its projects, what stands in them, what was said there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aucert.tools.v1 import plane_service_pb2 as pb
from services.tools.plane_access import EXPANDED, PlaneCall, PlanePlace, told
from services.tools.plane_client import Json
from services.tools.plane_format import mentions
from services.tools.plane_items import (
    comment_lines,
    comment_of,
    identified,
    project_lines,
    project_of,
    work_item_line,
    work_item_lines,
    work_item_of,
)
from services.tools.plane_threads import PAGE_SIZE, author_of, markup_of
from services.tools.repo_pages import Place
from services.tools.vendor_pages import Entry, Part, show

MATCHES_MAX = 100
"""Of one search: Plane hands them out from the first on and knows no pages."""


async def list_projects(call: PlaneCall, continuation: str) -> pb.ListProjectsResponse:
    """The projects on the allow-list that Plane shows us. Raises ContinuationInvalid."""
    found = sorted(await call.open_projects(), key=lambda each: str(each["identifier"]))

    async def fetch(page: int) -> Part[pb.PlaneProject]:
        del page
        return Part([Entry(project_of(each), project_lines(each)) for each in found], last=True)

    place = Place("", "plane_list_projects", tuple(str(each["id"]) for each in found))
    shown = await show(place, continuation, fetch)
    return pb.ListProjectsResponse(
        text=shown.text(f"Projects of Plane that are open to you: {len(found)}."),
        projects=shown.items,
        continuation=shown.continuation,
    )


async def search_work_items(
    call: PlaneCall, request: pb.SearchWorkItemsRequest
) -> pb.SearchWorkItemsResponse:
    """Work items whose title has the words; without words all of them. Raises ContinuationInvalid."""
    project, query = await call.place(request.project), request.query.strip()
    web_url = await call.client.web_url()

    async def fetch(page: int) -> Part[pb.PlaneWorkItem]:
        found, last = await (_matching(call, project, query) if query else _all(call, project, page))
        lines = ((each, [work_item_line(project.identifier, each)]) for each in found)
        return Part(
            [Entry(identified(project.identifier, each, web_url), line) for each, line in lines], last
        )

    place = Place("", "plane_search_issues", (project.project_id, query))
    shown = await show(place, request.continuation, fetch)
    about = f"with {query!r} in the title" if query else "last changed first"
    return pb.SearchWorkItemsResponse(
        text=shown.text(f"Issues of {project.identifier}, {about}:", empty="(none)"),
        work_items=shown.items,
        continuation=shown.continuation,
    )


async def get_work_item(call: PlaneCall, request: pb.GetWorkItemRequest) -> pb.GetWorkItemResponse:
    """A work item's own text. Raises ContinuationInvalid."""
    item = await call.item(request.issue, gives_way=True)
    web_url = await call.client.web_url()
    names = await _names(call, [item.found], item.found.get("assignees") or ())
    shown_item = work_item_of(item, web_url)

    async def fetch(page: int) -> Part[None]:
        del page
        return Part([Entry(None, work_item_lines(item, web_url, names))], last=True)

    place = Place(str(item.found.get("updated_at")), "plane_get_issue", (item.item_id,))
    shown = await show(place, request.continuation, fetch)
    return pb.GetWorkItemResponse(
        text=shown.text(f"Issue {shown_item.identifier} of Plane"),
        work_item=shown_item,
        continuation=shown.continuation,
    )


async def list_comments(
    call: PlaneCall, request: pb.ListWorkItemCommentsRequest
) -> pb.ListWorkItemCommentsResponse:
    """The comments on a work item, newest first. Raises ContinuationInvalid."""
    item = await call.item(request.issue, gives_way=True)
    web_url = await call.client.web_url()
    with told():
        my_id = await call.client.my_id()

    async def fetch(page: int) -> Part[pb.PlaneComment]:
        told_page = await call.read(f"{item.path}comments/", **_page(page))
        comments: list[Json] = told_page["results"]
        names = await _names(call, comments)
        return Part(
            [Entry(comment_of(item, each, web_url), comment_lines(each, my_id, names)) for each in comments],
            last=not told_page.get("next_page_results"),
        )

    place = Place("", "plane_list_comments", (item.item_id,))
    shown = await show(place, request.continuation, fetch)
    named = work_item_of(item, web_url).identifier
    return pb.ListWorkItemCommentsResponse(
        text=shown.text(f"Comments on {named}, newest first:", empty="(none)"),
        comments=shown.items,
        continuation=shown.continuation,
    )


async def _matching(call: PlaneCall, project: PlanePlace, query: str) -> tuple[list[Json], bool]:
    """All matches that are shown, and that there are no more."""
    found = await call.read(
        "work-items/search/",
        search=query,
        project_id=project.project_id,
        workspace_search="false",
        limit=MATCHES_MAX,
    )
    return [each for each in found["issues"] if str(each["project_id"]) == project.project_id], True


async def _all(call: PlaneCall, project: PlanePlace, page: int) -> tuple[list[Json], bool]:
    """A page of a project's work items, and whether it is the last."""
    found = await call.read(project.items, order_by="-updated_at", expand=EXPANDED, **_page(page))
    return found["results"], not found.get("next_page_results")


def _page(page: int) -> Mapping[str, str | int]:
    return {"per_page": PAGE_SIZE, "cursor": f"{PAGE_SIZE}:{page - 1}:0"}


async def _names(call: PlaneCall, written: Iterable[Json], others: Iterable[str] = ()) -> Mapping[str, str]:
    """The names of who wrote these things and of whom they mention, by id."""
    written = list(written)
    wanted = {each for thing in written for each in (author_of(thing), *mentions(markup_of(thing)))}
    wanted = {each for each in {*wanted, *others} if each}
    with told():
        members = await call.client.members(wanted)
    return {each: str(members[each].get("display_name") or "") for each in wanted if each in members}
