"""Comments and reactions in a GitHub thread: post one, find one of ours, show that something was seen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from aucert.common.v1.thread_pb2 import (
    GIT_HUB_ITEM_KIND_ISSUE_COMMENT,
    GIT_HUB_ITEM_KIND_REVIEW_COMMENT,
    GitHubThread,
)
from services.tools.github_client import GitHubClient
from services.tools.threads import Posted, marker
from services.tools.vendor_errors import VendorUnavailable

BODY_CHARS_MAX = 65_536
TEXT_CHARS_MAX = BODY_CHARS_MAX - 64  # room for the marker, which is 55 characters with its blank line
PAGE_SIZE = 100
PAGES_MAX = 30
CLOCK_SKEW = timedelta(minutes=2)


class GitHubPosts:
    """Speaks in GitHub threads. Raises the errors of `vendor_errors`."""

    def __init__(self, github: GitHubClient) -> None:
        self._github = github

    async def post(self, thread: GitHubThread, thread_post_id: str, text: str) -> Posted:
        """Post once. After VendorUnavailable it may be there or not: look before posting again."""
        body = f"{text}\n\n{marker(thread_post_id)}"
        path = _comments(thread)
        if thread.review_comment_id:
            path += f"/{thread.review_comment_id}/replies"
        answer = await self._github.request(thread.installation_id, "POST", path, json={"body": body})
        return _posted(answer)

    async def find(
        self, thread: GitHubThread, thread_post_id: str, *, since: datetime | None
    ) -> Posted | None:
        """Look for a post by its marker among the comments since a time (None: all).

        The id in a marker is ours and unguessable: whoever quotes it had read the post.
        """
        params: dict[str, str | int] = {"per_page": PAGE_SIZE}
        if since is not None:
            params["since"] = (since - CLOCK_SKEW).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if thread.review_comment_id:
            params |= {"sort": "created", "direction": "asc"}
        for page in range(1, PAGES_MAX + 1):
            comments = await self._github.request(
                thread.installation_id, "GET", _comments(thread), params={**params, "page": page}
            )
            for comment in comments:
                if marker(thread_post_id) in (comment.get("body") or ""):
                    return _posted(comment)
            if len(comments) < PAGE_SIZE:
                return None
        raise VendorUnavailable("The thread is too long to be searched for an earlier post.")

    async def acknowledge(self, thread: GitHubThread) -> None:
        """React with eyes to what the person wrote; GitHub keeps one such reaction."""
        comments = {GIT_HUB_ITEM_KIND_ISSUE_COMMENT: "issues", GIT_HUB_ITEM_KIND_REVIEW_COMMENT: "pulls"}
        kind = comments.get(thread.item_kind)
        item = f"{kind}/comments/{thread.item_id}" if kind else f"issues/{thread.number}"
        path = f"/repos/{thread.repository}/{item}/reactions"
        await self._github.request(thread.installation_id, "POST", path, json={"content": "eyes"})


def _comments(thread: GitHubThread) -> str:
    kind = "pulls" if thread.review_comment_id else "issues"
    return f"/repos/{thread.repository}/{kind}/{thread.number}/comments"


def _posted(comment: dict[str, object]) -> Posted:
    return Posted(external_id=str(comment["id"]), url=str(comment["html_url"]))
