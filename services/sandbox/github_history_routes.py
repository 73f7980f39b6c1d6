"""GitHub's lists of a whole repository's comments: what an App reads that missed webhooks."""

from __future__ import annotations

from aiohttp import web

from services.sandbox.github_domain import Comment, CommentKind
from services.sandbox.github_http import paged
from services.sandbox.github_paths import GithubPaths, need
from services.sandbox.github_times import instant


class GithubHistoryRoutes(GithubPaths):
    """One handler an endpoint of GitHub's documentation."""

    def table(self) -> list[web.RouteDef]:
        """Paths that answer. They go before those with a number in the place of `comments`."""
        repo = "/repos/{owner}/{repo}"
        return [
            web.get(repo + "/issues/comments", self.list_issue_comments),
            web.get(repo + "/pulls/comments", self.list_review_comments),
        ]

    async def list_issue_comments(self, request: web.Request) -> web.Response:
        """List issue comments for a repository: `since`, `sort` with `direction`."""
        need(request, "read", "issues", "pull_requests")
        return self._listed(request, CommentKind.CONVERSATION)

    async def list_review_comments(self, request: web.Request) -> web.Response:
        """List review comments in a repository: `since`, `sort` with `direction`."""
        need(request, "read", "pull_requests")
        return self._listed(request, CommentKind.REVIEW)

    def _listed(self, request: web.Request, kind: CommentKind) -> web.Response:
        repository, query = self._repository(request), request.query
        comments: list[Comment] = [
            comment
            for thread in self._state.threads()
            if thread.repository.id == repository.id
            for comment in self._state.comments(thread, kind)
        ]
        if since := query.get("since"):
            after = instant(since)
            comments = [each for each in comments if each.created_at.replace(microsecond=0) >= after]
        # Comments are never changed here, so the order of their ids is that of each sort.
        turned = "sort" in query and query.get("direction") == "desc"
        comments.sort(key=lambda each: each.id, reverse=turned)
        return paged(request, comments, self._world.threads_wire(request).comment)
