"""Comments on a Plane work item: post one, find one of ours.

A post carries the ledger row's id as its external id. Plane refuses a second comment with the same one and
says which has it, so a post sent again by mistake finds itself; but Plane looks before it writes, so two
requests at the same moment could both pass.
"""

from __future__ import annotations

from aucert.astra.v1.thread_post_pb2 import ThreadPost
from aucert.common.v1.thread_pb2 import PlaneThread, ThreadAddress
from aucert.tools.v1.thread_service_pb2 import FetchThreadRequest, FetchThreadResponse
from services.tools.plane_client import PlaneClient
from services.tools.plane_format import to_html
from services.tools.plane_marks import find_comment, make_marked
from services.tools.plane_threads import PlaneThreads, link, work_item_path
from services.tools.threads import Posted, split_markdown
from services.tools.vendor_errors import VendorRefused

TEXT_CHARS_MAX = 20_000
"""Of Markdown. Plane names no limit; so long a comment can still be read, and its HTML be sent at once."""


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
        body = {"comment_html": post.text}
        made = await make_marked(self._plane, _comments(address.plane), body, post.thread_post_id)
        return await self._posted(address.plane, str(made["id"]))

    async def find(self, address: ThreadAddress, post: ThreadPost) -> Posted | None:
        """Look for a post by the row's id among the comments since it was written down, newest first."""
        since = post.created_time if post.HasField("created_time") else None
        found = await find_comment(self._plane, _comments(address.plane), post.thread_post_id, since)
        return await self._posted(address.plane, str(found["id"])) if found else None

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

    async def _posted(self, thread: PlaneThread, comment_id: str) -> Posted:
        return Posted(comment_id, link(await self._plane.web_url(), thread, comment_id))


def _comments(thread: PlaneThread) -> str:
    if not thread.project_id:
        raise VendorRefused("The project of this work item is not known.")
    return f"{work_item_path(thread.project_id, thread.work_item_id)}comments/"
