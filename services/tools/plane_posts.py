"""Comments on a Plane work item: post one, find one of ours.

A post carries the ledger row's id as its external id. Plane refuses a second comment with the same one and
says which has it, so a post sent again by mistake finds itself; but Plane looks before it writes, so two
requests at the same moment could both pass.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from aucert.astra.v1.thread_post_pb2 import ThreadPost
from aucert.common.v1.thread_pb2 import PlaneThread, ThreadAddress
from aucert.tools.v1.thread_service_pb2 import FetchThreadRequest, FetchThreadResponse
from services.tools.plane_client import COMMENT_FIELD, PlaneClient
from services.tools.plane_format import to_html
from services.tools.plane_threads import OUR_SOURCE, PAGE_SIZE, PlaneThreads, link, work_item_path
from services.tools.threads import Posted, split_markdown
from services.tools.vendor_errors import VendorRefused, VendorUnavailable

TEXT_CHARS_MAX = 20_000
"""Of Markdown. Plane names no limit; so long a comment can still be read, and its HTML be sent at once."""
PAGES_MAX = 20
CLOCK_SKEW = timedelta(minutes=2)


class PlanePosts:
    """Speaks below work items. Raises the errors of `vendor_errors`."""

    def __init__(self, plane: PlaneClient, *, settle_seconds: float = 0.0) -> None:
        self.settle_seconds = settle_seconds
        self._plane = plane
        self._threads = PlaneThreads(plane)

    def parts(self, text: str) -> list[str]:
        """In HTML, of at most TEXT_CHARS_MAX characters of Markdown each."""
        return [to_html(part.text) for part in split_markdown(text, TEXT_CHARS_MAX)]

    async def post(self, address: ThreadAddress, post: ThreadPost) -> Posted:
        """Post once. After VendorUnavailable it may be there or not; if it is, posting again finds it."""
        body = {
            "comment_html": post.text,
            "external_source": OUR_SOURCE,
            "external_id": post.thread_post_id,
        }
        try:
            made = await self._plane.write(_comments(address.plane), body)
            return self._posted(address.plane, str(made["id"]))
        except VendorRefused as refused:
            if comment_id := refused.metadata.get(COMMENT_FIELD):
                return self._posted(address.plane, comment_id)
            raise

    async def find(self, address: ThreadAddress, post: ThreadPost) -> Posted | None:
        """Look for a post by the row's id among the comments since it was written down, newest first."""
        since = datetime.min.replace(tzinfo=UTC)
        if post.HasField("created_time"):
            since = post.created_time.ToDatetime(UTC) - CLOCK_SKEW
        cursor = f"{PAGE_SIZE}:0:0"
        for _ in range(PAGES_MAX):
            page = await self._plane.read(_comments(address.plane), per_page=PAGE_SIZE, cursor=cursor)
            for comment in page["results"]:
                if (comment.get("external_source"), comment.get("external_id")) == (
                    OUR_SOURCE,
                    post.thread_post_id,
                ):
                    return self._posted(address.plane, str(comment["id"]))
                if datetime.fromisoformat(comment["created_at"]) < since:
                    return None
            if not page.get("next_page_results"):
                return None
            cursor = page["next_cursor"]
        raise VendorUnavailable("The thread is too long to be searched for an earlier post.")

    async def acknowledge(self, address: ThreadAddress) -> None:
        """Plane's API knows no reactions."""
        del address

    async def resolve(self, address: ThreadAddress) -> bool:
        """A work item's state is not ours to touch: the answer is the closing comment."""
        del address
        return False

    async def fetch(self, request: FetchThreadRequest) -> FetchThreadResponse:
        """Read a work item with its comments."""
        return await self._threads.fetch(request)

    def _posted(self, thread: PlaneThread, comment_id: str) -> Posted:
        return Posted(comment_id, link(self._plane.workspace.web_url, thread, comment_id))


def _comments(thread: PlaneThread) -> str:
    if not thread.project_id:
        raise VendorRefused("The project of this work item is not known.")
    return f"{work_item_path(thread.project_id, thread.work_item_id)}comments/"
