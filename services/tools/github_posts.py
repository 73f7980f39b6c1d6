"""Comments and reactions in a GitHub thread: post one, find one of ours, show that something was seen."""

from __future__ import annotations

from datetime import UTC, timedelta

from aucert.astra.v1.thread_post_pb2 import ThreadPost
from aucert.common.v1.thread_pb2 import (
    GIT_HUB_ITEM_KIND_ISSUE_COMMENT,
    GIT_HUB_ITEM_KIND_REVIEW_COMMENT,
    GitHubThread,
    ThreadAddress,
)
from aucert.tools.v1.thread_service_pb2 import FetchThreadRequest, FetchThreadResponse
from services.tools.github_client import GitHubClient, Reach
from services.tools.github_reviews import GitHubReviews
from services.tools.github_talk import GitHubTalk
from services.tools.github_text import harmless
from services.tools.threads import Posted, marker, split_markdown
from services.tools.vendor_errors import VendorUnavailable

BODY_CHARS_MAX = 65_536
TEXT_CHARS_MAX = BODY_CHARS_MAX - 64  # room for the marker, which is 55 characters with its blank line
GROWING_CHARS_MAX = TEXT_CHARS_MAX * 2 // 3
"""A text of nothing but mentions grows by half when it is made harmless."""
PAGE_SIZE = 100
PAGES_MAX = 30
CLOCK_SKEW = timedelta(minutes=2)


class GitHubPosts:
    """Speaks in GitHub threads. Raises the errors of `vendor_errors`."""

    def __init__(self, github: GitHubClient, *, settle_seconds: float = 0.0) -> None:
        self.settle_seconds = settle_seconds
        self._github = github
        self._reviews = GitHubReviews(github)
        self._talk = GitHubTalk(github)

    def parts(self, text: str) -> list[str]:
        """GitHub reads Markdown as it is; nobody is mentioned, for a post does not tell who asked."""
        parts = _harmless_parts(text, TEXT_CHARS_MAX)
        fit = all(len(part) <= TEXT_CHARS_MAX for part in parts)
        return parts if fit else _harmless_parts(text, GROWING_CHARS_MAX)

    async def post(self, address: ThreadAddress, post: ThreadPost) -> Posted:
        """Post once. After VendorUnavailable it may be there or not: look before posting again."""
        thread = address.github
        body = f"{post.text}\n\n{marker(post.thread_post_id)}"
        path = _comments(thread)
        if thread.review_comment_id:
            path += f"/{thread.review_comment_id}/replies"
        answer = await self._github.request(
            thread.installation_id,
            "POST",
            path,
            json={"body": body},
            reach=_reach(thread, _kind(thread), "write"),
        )
        return _posted(answer)

    async def find(self, address: ThreadAddress, post: ThreadPost) -> Posted | None:
        """Look for a post by its marker among the comments since it was written down.

        The id in a marker is ours and unguessable: whoever quotes it had read the post.
        """
        thread = address.github
        params: dict[str, str | int] = {"per_page": PAGE_SIZE}
        if post.HasField("created_time"):
            since = post.created_time.ToDatetime(UTC) - CLOCK_SKEW
            params["since"] = since.strftime("%Y-%m-%dT%H:%M:%SZ")
        if thread.review_comment_id:
            params |= {"sort": "created", "direction": "asc"}
        for page in range(1, PAGES_MAX + 1):
            comments = await self._github.request(
                thread.installation_id,
                "GET",
                _comments(thread),
                params={**params, "page": page},
                reach=_reach(thread, _kind(thread), "read"),
            )
            for comment in comments:
                if marker(post.thread_post_id) in (comment.get("body") or ""):
                    return _posted(comment)
            if len(comments) < PAGE_SIZE:
                return None
        raise VendorUnavailable("The thread is too long to be searched for an earlier post.")

    async def acknowledge(self, address: ThreadAddress) -> None:
        """React with eyes to what the person wrote; GitHub keeps one such reaction."""
        thread = address.github
        comments = {GIT_HUB_ITEM_KIND_ISSUE_COMMENT: "issues", GIT_HUB_ITEM_KIND_REVIEW_COMMENT: "pulls"}
        kind = comments.get(thread.item_kind)
        item = f"{kind}/comments/{thread.item_id}" if kind else f"issues/{thread.number}"
        path = f"/repos/{thread.repository}/{item}/reactions"
        await self._github.request(
            thread.installation_id,
            "POST",
            path,
            json={"content": "eyes"},
            reach=_reach(thread, kind or "issues", "write"),
        )

    async def resolve(self, address: ThreadAddress) -> bool:
        """Resolve a review's thread; an issue's or pull request's state is not ours to touch."""
        return bool(address.github.review_comment_id) and await self._reviews.resolve(address.github)

    async def fetch(self, request: FetchThreadRequest) -> FetchThreadResponse:
        """Read a thread."""
        return await self._talk.fetch(request)


def _harmless_parts(text: str, chars_max: int) -> list[str]:
    return [harmless(part.text) for part in split_markdown(text, chars_max)]


def _comments(thread: GitHubThread) -> str:
    return f"/repos/{thread.repository}/{_kind(thread)}/{thread.number}/comments"


def _kind(thread: GitHubThread) -> str:
    return "pulls" if thread.review_comment_id else "issues"


def _reach(thread: GitHubThread, kind: str, level: str) -> Reach:
    """This repository, and of it issues or pulls, as paths name them."""
    return Reach(thread.repository, (("pull_requests" if kind == "pulls" else "issues", level),))


def _posted(comment: dict[str, object]) -> Posted:
    return Posted(external_id=str(comment["id"]), url=str(comment["html_url"]))
