"""Reads what was said in a GitHub thread before an item: the first comment and the last ones.

An issue's comments come oldest first, so of a long one the last pages are read; those of a review come with
all others on the pull request, newest first, and are picked out of READ_PAGES_MAX pages.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from aucert.common.v1.thread_pb2 import GitHubThread
from aucert.tools.v1.thread_service_pb2 import FetchThreadRequest, FetchThreadResponse, ThreadMessage
from services.tools.github_client import GitHubClient, Reach
from services.tools.threads import without_marker

PAGE_SIZE = 100
READ_PAGES_MAX = 3
MESSAGES_USUAL, MESSAGES_MAX = 20, 100
TEXT_CHARS_MAX = 16 * 1024
"""Within 64 KiB in any script."""
_NEWEST_FIRST = {"sort": "created", "direction": "desc"}
Json = dict[str, Any]


class GitHubTalk:
    """Raises the errors of `vendor_errors`."""

    def __init__(self, github: GitHubClient) -> None:
        self._github = github

    async def fetch(self, request: FetchThreadRequest) -> FetchThreadResponse:
        """Read the comments up to the item in the address."""
        thread = request.address.github
        most = min(request.messages_max or MESSAGES_USUAL, MESSAGES_MAX)
        read = self._review if thread.review_comment_id else self._conversation
        comments, left_out = await read(thread)
        said = [each for each in comments if not thread.item_id or each["id"] <= thread.item_id]
        shown = [*said[:1], *said[1:][-(most - 1) :]] if most > 1 else said[-1:]
        return FetchThreadResponse(
            address=request.address,
            messages=map(_message, shown),
            left_out_count=left_out + len(said) - len(shown),
        )

    async def _conversation(self, thread: GitHubThread) -> tuple[list[Json], int]:
        """The first page of comments and the last two, and how many are between them."""
        path = f"/repos/{thread.repository}/issues/{thread.number}"
        comments = await self._page(thread, "issues", f"{path}/comments", page=1)
        if len(comments) < PAGE_SIZE:
            return comments, 0
        count = int((await self._page(thread, "issues", path))["comments"])
        last = -(-count // PAGE_SIZE)
        for page in range(max(2, last - 1), last + 1):
            comments += await self._page(thread, "issues", f"{path}/comments", page=page)
        return comments, max(0, count - len(comments))

    async def _review(self, thread: GitHubThread) -> tuple[list[Json], int]:
        path, top = f"/repos/{thread.repository}/pulls/{thread.number}/comments", thread.review_comment_id
        found: list[Json] = []
        for page in range(1, READ_PAGES_MAX + 1):
            comments = await self._page(thread, "pull_requests", path, page=page, **_NEWEST_FIRST)
            found += [each for each in comments if top in (each["id"], each.get("in_reply_to_id"))]
            if len(comments) < PAGE_SIZE:
                break
        return found[::-1], 0

    async def _page(self, thread: GitHubThread, permission: str, path: str, **params: str | int) -> Any:
        reach = Reach(thread.repository, ((permission, "read"),))
        more: dict[str, str | int] = {"per_page": PAGE_SIZE, **params} if params else {}
        return await self._github.request(thread.installation_id, "GET", path, params=more, reach=reach)


def _message(comment: Json) -> ThreadMessage:
    """A comment; ours is one of a bot that carries the mark of our posts, which people can only quote."""
    user, body = comment.get("user") or {}, str(comment.get("body") or "")
    text = without_marker(body)
    message = ThreadMessage(
        external_id=str(comment["id"]),
        author_id=str(user.get("login") or "somebody"),
        ours=user.get("type") == "Bot" and text != body,
        text=text[:TEXT_CHARS_MAX],
        url=str(comment.get("html_url") or ""),
    )
    message.created_time.FromDatetime(datetime.fromisoformat(comment["created_at"]))
    return message
