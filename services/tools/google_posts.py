"""Replies to a comment in Google Drive: post one, find one of ours, resolve the comment.

Drive has no idempotency key and no place for a hidden mark, so one of our replies is recognised by what it
is: written by our account, since the ledger's row was, with the row's own words.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from aucert.astra.v1.thread_post_pb2 import ThreadPost
from aucert.common.v1.thread_pb2 import GoogleDriveThread, ThreadAddress
from aucert.tools.v1.thread_service_pb2 import FetchThreadRequest, FetchThreadResponse
from services.tools import google_format
from services.tools.google_client import GoogleClient, Json
from services.tools.google_files import comment_link
from services.tools.poster import ThreadNotFetched
from services.tools.threads import Posted
from services.tools.vendor_errors import VendorRefused, VendorUnavailable

PAGE_SIZE = 100
PAGES_MAX = 30
CLOCK_SKEW = timedelta(minutes=2)


class GoogleDrivePosts:
    """Speaks below comments. Raises the errors of `vendor_errors`."""

    def __init__(self, google: GoogleClient, *, settle_seconds: float = 0.0) -> None:
        self.settle_seconds = settle_seconds
        self._google = google

    def parts(self, text: str) -> list[str]:
        """Plain text, within the limit of a comment on a document."""
        return google_format.parts(text)

    async def post(self, address: ThreadAddress, post: ThreadPost) -> Posted:
        """Reply once. After VendorUnavailable it may be there or not: look before posting again."""
        thread = address.google_drive
        answer = await self._google.write(f"{_comment(thread)}/replies", {"content": post.text}, fields="id")
        return _posted(thread, answer)

    async def find(self, address: ThreadAddress, post: ThreadPost) -> Posted | None:
        """Look for a reply of ours with the row's words among those since it was written down."""
        if not post.text:
            raise VendorRefused("A post on Google Drive is found by its words, which the ledger has.")
        thread = address.google_drive
        since = post.created_time.ToDatetime(UTC) - CLOCK_SKEW
        page_token = ""
        for _ in range(PAGES_MAX):
            page = await self._google.read(
                f"{_comment(thread)}/replies",
                fields="nextPageToken,replies(id,content,createdTime,author(me))",
                pageSize=PAGE_SIZE,
                **({"pageToken": page_token} if page_token else {}),
            )
            for reply in page["replies"]:
                if _is_ours(reply, since) and google_format.same(post.text, reply.get("content") or ""):
                    return _posted(thread, reply)
            page_token = str(page.get("nextPageToken") or "")
            if not page_token:
                return None
        raise VendorUnavailable("The thread is too long to be searched for an earlier post.")

    async def acknowledge(self, address: ThreadAddress) -> None:
        """No API of Google's can react to a comment."""
        del address

    async def resolve(self, address: ThreadAddress) -> bool:
        """Resolve the comment, which is done by a reply; one that is resolved already is left alone."""
        thread = address.google_drive
        if not (await self._google.read(_comment(thread), fields="resolved")).get("resolved"):
            await self._google.write(f"{_comment(thread)}/replies", {"action": "resolve"}, fields="id")
        return True

    async def fetch(self, request: FetchThreadRequest) -> FetchThreadResponse:
        """What is scanned holds the whole thread."""
        del request
        raise ThreadNotFetched


def _comment(thread: GoogleDriveThread) -> str:
    return f"drive/v3/files/{thread.file_id}/comments/{thread.comment_id}"


def _is_ours(reply: Json, since: datetime) -> bool:
    return (
        bool((reply.get("author") or {}).get("me")) and datetime.fromisoformat(reply["createdTime"]) >= since
    )


def _posted(thread: GoogleDriveThread, reply: Json) -> Posted:
    file_url = thread.file_url or f"https://drive.google.com/open?id={thread.file_id}"
    reply_id = str(reply["id"])
    return Posted(external_id=reply_id, url=comment_link(file_url, thread.comment_id, reply_id))
