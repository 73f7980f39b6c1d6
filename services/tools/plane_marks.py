"""How what we made on Plane is found again: by its external id, which people do not see.

Plane refuses a second comment or work item with the same one in a project and says which has it, so what is
sent again by mistake finds itself; but Plane looks before it writes, so two requests at the same moment could
both pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from services.tools.plane_client import HOLDER_FIELD, Json, PlaneClient, is_gone
from services.tools.plane_threads import OUR_SOURCE, PAGE_SIZE
from services.tools.vendor_errors import VendorRefused, VendorUnavailable

PAGES_MAX = 20
CLOCK_SKEW = timedelta(minutes=2)


async def make_marked(plane: PlaneClient, path: str, body: Mapping[str, object], row_id: str) -> Json:
    """Make something that carries the id of the ledger's row.

    Answers with what was made, or with only the `id` of what an earlier request made.
    """
    try:
        return await plane.write(path, {**body, "external_source": OUR_SOURCE, "external_id": row_id})
    except VendorRefused as refused:
        if holder := refused.metadata.get(HOLDER_FIELD):
            return {"id": holder}
        raise


async def find_comment(plane: PlaneClient, path: str, row_id: str, since: Timestamp | None) -> Json | None:
    """The comment with a row's id among those below a work item.

    `since`: when the row was written, None: look through all. Raises VendorUnavailable for too many.
    """
    earliest = datetime.min.replace(tzinfo=UTC)
    if since is not None:
        earliest = since.ToDatetime(UTC) - CLOCK_SKEW
    cursor = f"{PAGE_SIZE}:0:0"
    for _ in range(PAGES_MAX):
        page = await plane.read(path, per_page=PAGE_SIZE, cursor=cursor)
        for comment in page["results"]:
            if is_marked(comment, row_id):
                return comment
            if datetime.fromisoformat(comment["created_at"]) < earliest:
                return None
        if not page.get("next_page_results"):
            return None
        cursor = page["next_cursor"]
    raise VendorUnavailable("There is too much to look through for an earlier comment.")


async def find_work_item(plane: PlaneClient, project_id: str, row_id: str) -> Json | None:
    """The work item of a project with a row's id."""
    path = f"projects/{project_id}/work-items/"
    try:
        found = await plane.read(path, external_source=OUR_SOURCE, external_id=row_id)
    except VendorRefused as refused:
        if is_gone(refused):
            return None
        raise
    return found if is_marked(found, row_id) else None


def is_marked(found: Json, row_id: str) -> bool:
    """Whether it is ours and carries the row's id."""
    return (found.get("external_source"), found.get("external_id")) == (OUR_SOURCE, row_id)
