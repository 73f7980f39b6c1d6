"""Reads a work item with its comments and the people in them: what Plane's webhooks leave out.

The second generation of webhooks brings neither the project of a comment nor whom it mentions, and neither
generation says what somebody is to the workspace.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from aucert.common.v1.thread_pb2 import (
    STANDING_EXTERNAL,
    STANDING_GUEST,
    STANDING_MEMBER,
    PlaneThread,
    Standing,
    ThreadAddress,
)
from aucert.tools.v1.thread_service_pb2 import (
    FetchThreadRequest,
    FetchThreadResponse,
    Person,
    ThreadMessage,
)
from services.tools.plane_client import Json, PlaneClient, is_gone
from services.tools.plane_format import mentions, plain
from services.tools.vendor_errors import VendorRefused

MESSAGES_DEFAULT, MESSAGES_MAX = 20, 100
PEOPLE_MAX = 20
HTML_CHARS_MAX = 4 * 65_536
TEXT_CHARS_MAX = 65_536
PAGE_SIZE = 100
LAG_SECONDS = 2.0
"""Plane may read from a copy of its database: what was just written is looked for again after so long."""
ROLE_MEMBER = 15
MEMBER_SLUGS = frozenset({"owner", "admin", "member"})
OUR_SOURCE = "astra"
"""What our comments have as their external source."""
_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Found:
    """A work item, and of its comments the last ones up to the one asked about, oldest first."""

    project_id: str
    item: Json
    comments: Sequence[Json]
    left_out: int


class PlaneThreads:
    """Raises the errors of `vendor_errors`. Its reads give way to posts while few calls are left."""

    def __init__(self, plane: PlaneClient, *, lag_seconds: float = LAG_SECONDS) -> None:
        self._plane = plane
        self._lag_seconds = lag_seconds

    async def fetch(self, request: FetchThreadRequest) -> FetchThreadResponse:
        """The work item and its comments up to the one asked about. Empty: it is in none of the projects."""
        thread = request.address.plane
        most = min(request.messages_max or MESSAGES_DEFAULT, MESSAGES_MAX)
        found = await self._find(thread, request.container_ids, most)
        if found is None:
            return FetchThreadResponse()
        my_id = await self._plane.my_id()
        shown = [found.item, *found.comments]
        named = [each for message in shown for each in mentions(markup_of(message))]
        ids = dict.fromkeys([my_id, *request.person_ids, *(author_of(each) for each in shown), *named])
        members = await self._plane.members({*request.person_ids})
        people = [_person(members[each], my_id) for each in ids if each in members][:PEOPLE_MAX]
        names = {each.person_id: each.display_name for each in people}
        address = PlaneThread(
            workspace_id=thread.workspace_id,
            project_id=found.project_id,
            work_item_id=thread.work_item_id,
            comment_id=thread.comment_id,
            identifier=_identifier(found.item),
        )
        return FetchThreadResponse(
            address=ThreadAddress(plane=address),
            messages=[await self._message(each, address, my_id, names) for each in shown],
            left_out_count=found.left_out,
            people=people,
        )

    async def _find(self, thread: PlaneThread, project_ids: Sequence[str], most: int) -> _Found | None:
        for project_id in [thread.project_id] if thread.project_id else project_ids:
            path = work_item_path(project_id, thread.work_item_id)
            item = await self._read_if_there(path, expand="project")
            if item is not None:
                comments, left_out = await self._comments(path, thread.comment_id, most - 1)
                return _Found(project_id, item, comments, left_out)
        return None

    async def _comments(self, path: str, until: str, most: int) -> tuple[Sequence[Json], int]:
        """Plane lists the newest first, so the first page holds what was said before a comment of today."""
        if not until:
            return [], 0
        page = await self._plane.read(f"{path}comments/", gives_way=True, per_page=PAGE_SIZE)
        newest_first: list[Json] = page["results"]
        for place, comment in enumerate(newest_first):
            if comment["id"] == until:
                shown = newest_first[place : place + max(1, most)]
                total = int(page.get("total_results") or len(newest_first))
                return shown[::-1], max(0, total - place - len(shown))
        alone = await self._read_if_there(f"{path}comments/{until}/")
        if alone is None:
            await asyncio.sleep(self._lag_seconds)
            alone = await self._read_if_there(f"{path}comments/{until}/")
        return ([alone] if alone else []), 0

    async def _read_if_there(self, path: str, **params: str | int) -> Json | None:
        try:
            return await self._plane.read(path, gives_way=True, **params)
        except VendorRefused as refused:
            if is_gone(refused):
                return None
            raise

    async def _message(
        self, told: Json, thread: PlaneThread, my_id: str, names: Mapping[str, str]
    ) -> ThreadMessage:
        is_comment = "comment_html" in told
        author_id, words = author_of(told), plain(markup_of(told), names)
        name = "" if is_comment else str(told.get("name") or "")
        shown = ThreadMessage(
            external_id=str(told["id"]),
            author_id=author_id,
            ours=author_id == my_id or told.get("external_source") == OUR_SOURCE,
            text=storable(f"{name}\n\n{words}" if name and words else name or words),
            url=link(await self._plane.web_url(), thread, str(told["id"]) if is_comment else ""),
        )
        shown.created_time.FromDatetime(datetime.fromisoformat(told["created_at"]))
        return shown


def work_item_path(project_id: str, work_item_id: str) -> str:
    """Its path below the workspace."""
    return f"projects/{project_id}/work-items/{work_item_id}/"


def link(web_url: str, thread: PlaneThread, comment_id: str) -> str:
    """Where people read a comment, or with none the work item."""
    if thread.identifier:
        place = f"{web_url}/browse/{thread.identifier}/"
    else:
        place = f"{web_url}/projects/{thread.project_id}/issues/{thread.work_item_id}/"
    return f"{place}#comment-{comment_id}" if comment_id else place


def standing_of(member: Json) -> Standing.ValueType:
    """What a member is to the workspace, by Plane's number for the role or else its name."""
    if member.get("is_active") is False:
        return STANDING_EXTERNAL
    role = member.get("role")
    if isinstance(role, int):
        return STANDING_MEMBER if role >= ROLE_MEMBER else STANDING_GUEST
    return STANDING_MEMBER if member.get("role_slug") in MEMBER_SLUGS else STANDING_GUEST


def _person(member: Json, my_id: str) -> Person:
    whole = f"{member.get('first_name') or ''} {member.get('last_name') or ''}".strip()
    return Person(
        person_id=member["id"],
        display_name=storable(member.get("display_name") or whole or member["id"])[:200],
        standing=standing_of(member),
        is_bot=bool(member.get("is_bot")),
        ours=member["id"] == my_id,
    )


def author_of(told: Json) -> str:
    """Plane's id of who wrote a comment or filed a work item. Empty: Plane itself."""
    return str((told.get("actor") if "comment_html" in told else told.get("created_by")) or "")


def markup_of(told: Json) -> str:
    """The HTML of a comment or work item, at most HTML_CHARS_MAX of it."""
    markup = told.get("comment_html") if "comment_html" in told else told.get("description_html")
    return str(markup or "")[:HTML_CHARS_MAX]


def _identifier(item: Json) -> str:
    """As in "SHOP-12". Empty where Plane did not write the project out, or it is no plain name."""
    project = item.get("project")
    identifier = f"{project.get('identifier')}-{item['sequence_id']}" if isinstance(project, dict) else ""
    return identifier if _IDENTIFIER.fullmatch(identifier) else ""


def storable(value: str) -> str:
    """Text that protobuf and PostgreSQL take, at most TEXT_CHARS_MAX of it."""
    return (
        value[:TEXT_CHARS_MAX].encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
    )
