"""What happened in a Plane project since a time, told again as webhooks that may have been lost.

Plane lists work items by their last change, and a comment changes its work item; the comments of those that
changed are read back to the cursor. Only what could be for an agent is told: it mentions somebody, or has an
at sign or a slash.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aucert.tools.v1.catch_up_service_pb2 import MissedDelivery, ScanContainerRequest, ScanContainerResponse
from services.tools.plane_client import UUID, Json, PlaneClient, is_gone
from services.tools.plane_threads import OUR_SOURCE, PAGE_SIZE, work_item_path
from services.tools.vendor_errors import VendorRateLimited, VendorRefused

OVERLAP = timedelta(minutes=2)
"""Read again each time: clocks differ, and Plane may read from a copy of its database."""
ITEMS_MAX = 20
"""Work items whose comments one scan reads: each costs a call."""
DELIVERIES_ENOUGH = 100
ITEM_PAGES_MAX = 10
"""Of work items that changed since the cursor, so many pages are looked at, the last changed first."""
COMMENT_PAGES_MAX = 4
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,4000}>")


@dataclass(frozen=True, slots=True)
class _Cursor:
    """Comments are read back to `since`, of the work items that changed after `after`."""

    since: datetime
    after: datetime

    @classmethod
    def read(cls, text: str) -> _Cursor:
        """One time: a new round, with some overlap. Two: in the middle of a round."""
        first, _, second = text.partition(" ")
        since = datetime.fromisoformat(first)
        return cls(since, datetime.fromisoformat(second)) if second else cls(since - OVERLAP, since - OVERLAP)

    def at(self, changed: datetime) -> str:
        """The place behind a work item in this round."""
        return f"{self.since.isoformat()} {changed.isoformat()}"


class PlaneCatcher:
    """Reads the projects of our workspace, giving way to posts. Raises the errors of `vendor_errors`."""

    def __init__(self, plane: PlaneClient) -> None:
        self._plane = plane

    async def scan(self, request: ScanContainerRequest) -> ScanContainerResponse:
        """What was filed and said since the cursor, a few work items at a time, the first changed first."""
        begun = datetime.now(UTC).isoformat()
        if not request.cursor:
            return ScanContainerResponse(next_cursor=begun)
        cursor, my_id = _Cursor.read(request.cursor), await self._plane.my_id()
        project_id = request.container.partition(":")[2]
        if not UUID.fullmatch(project_id):
            raise VendorRefused("The container names no project of Plane.")
        found: list[MissedDelivery] = []
        next_cursor, read = begun, 0
        changed = await self._changed(project_id, cursor.after)
        for item in changed:
            if read == ITEMS_MAX or len(found) >= DELIVERIES_ENOUGH:
                return ScanContainerResponse(deliveries=found, next_cursor=next_cursor, more=True)
            try:
                found += await self._since(item, project_id, cursor.since, my_id)
            except VendorRateLimited:
                if not read:
                    raise
                return ScanContainerResponse(deliveries=found, next_cursor=next_cursor, more=True)
            next_cursor, read = cursor.at(_time(item["updated_at"])), read + 1
        return ScanContainerResponse(deliveries=found, next_cursor=begun)

    async def _changed(self, project_id: str, after: datetime) -> list[Json]:
        """The work items that changed after a time, the first changed first."""
        path, changed = f"projects/{project_id}/work-items/", list[Json]()
        async for item in self._pages(path, ITEM_PAGES_MAX, order_by="-updated_at"):
            if _time(item["updated_at"]) <= after:
                break
            changed.append(item)
        return changed[::-1]

    async def _since(self, item: Json, project_id: str, since: datetime, my_id: str) -> list[MissedDelivery]:
        """The work item itself, if it is new, and its new comments, oldest first."""
        path, told = f"{work_item_path(project_id, item['id'])}comments/", list[MissedDelivery]()
        try:
            async for comment in self._pages(path, COMMENT_PAGES_MAX):
                if _time(comment["created_at"]) < since:
                    break
                if _could_be_for_us(comment, comment.get("actor"), comment.get("comment_html"), my_id):
                    told.append(_comment_told(comment, item, project_id))
        except VendorRefused as refused:
            if not is_gone(refused):
                raise
        words = f"{item.get('name')} {item.get('description_html')}"
        if _time(item["created_at"]) >= since and _could_be_for_us(
            item, item.get("created_by"), words, my_id
        ):
            told.append(_item_told(item, project_id))
        return told[::-1]

    async def _pages(self, path: str, pages_max: int, **params: str | int) -> AsyncIterator[Json]:
        cursor = f"{PAGE_SIZE}:0:0"
        for _ in range(pages_max):
            page = await self._plane.read(path, gives_way=True, per_page=PAGE_SIZE, cursor=cursor, **params)
            for each in page["results"]:
                yield each
            if not page.get("next_page_results"):
                return
            cursor = page["next_cursor"]


def _could_be_for_us(written: Json, author_id: object, markup: object, my_id: str) -> bool:
    if not author_id or author_id == my_id or written.get("external_source") == OUR_SOURCE:
        return False
    words = str(markup or "")
    bare = _TAG.sub("", words)
    return 'entity_name="user_mention"' in words or "@" in bare or "/" in bare


def _comment_told(comment: Json, item: Json, project_id: str) -> MissedDelivery:
    told = {
        "id": comment["id"],
        "actor_id": comment["actor"],
        "issue_id": item["id"],
        "project_id": project_id,
        "external_source": comment.get("external_source"),
    }
    return _told("workitem.comment.created", comment, {"id": item["id"], "comment": told})


def _item_told(item: Json, project_id: str) -> MissedDelivery:
    told = {
        "id": item["id"],
        "created_by_id": item["created_by"],
        "project_id": project_id,
        "external_source": item.get("external_source"),
    }
    return _told("workitem.created", item, told)


def _told(event: str, written: Json, data: Json) -> MissedDelivery:
    """The webhook of the second generation, as much of it as is read: it brings no text, so it is short."""
    external_id = f"catch-up/{written['id']}"
    body = {
        "version": "v2",
        "event": event,
        "event_id": external_id,
        "workspace_id": written["workspace"],
        "data": data,
    }
    return MissedDelivery(external_id=external_id, body=json.dumps(body).encode())


def _time(told: str) -> datetime:
    return datetime.fromisoformat(told)
