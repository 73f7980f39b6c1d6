"""Resolves the thread of a pull request's review, which only GraphQL can.

We know a thread by its first comment, GraphQL by an id of its own, so the pull request's threads are looked
through. One that is resolved already is left alone, so that asking again after an unclear failure changes
nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from aucert.common.v1.thread_pb2 import GitHubThread
from services.tools.github_client import GitHubClient, Reach
from services.tools.github_graphql import ask
from services.tools.vendor_errors import VendorTooLong

THREADS_A_PAGE = 100
PAGES_MAX = 30
THREADS = """\
query ($owner: String!, $name: String!, $number: Int!, $first: Int!, $after: String) {
  repository(owner: $owner, name: $name) {
    pullRequest(number: $number) {
      reviewThreads(first: $first, after: $after) {
        pageInfo { hasNextPage endCursor }
        nodes { id isResolved comments(first: 1) { nodes { fullDatabaseId } } }
      }
    }
  }
}"""
RESOLVE = """\
mutation ($threadId: ID!) {
  resolveReviewThread(input: {threadId: $threadId}) { thread { id isResolved } }
}"""
READ = (("pull_requests", "read"),)
WRITE = (("contents", "write"), ("pull_requests", "write"))
"""GitHub lets an App resolve a thread only where it may also write contents."""
Json = dict[str, Any]


class GitHubReviews:
    """Raises the errors of `vendor_errors`."""

    def __init__(self, github: GitHubClient) -> None:
        self._github = github

    async def resolve(self, thread: GitHubThread) -> bool:
        """Resolve the thread that the review comment opened. False: it is gone.

        Raises VendorTooLong where the pull request has more than PAGES_MAX pages of threads.
        """
        async for found in self._threads(thread):
            if _opened_by(found) == thread.review_comment_id:
                if not found["isResolved"]:
                    await self._ask(thread, RESOLVE, WRITE, threadId=found["id"])
                return True
        return False

    async def _threads(self, thread: GitHubThread) -> AsyncIterator[Json]:
        owner, _, name = thread.repository.partition("/")
        place = {"owner": owner, "name": name, "number": thread.number, "first": THREADS_A_PAGE}
        after: str | None = None
        for _ in range(PAGES_MAX):
            data = await self._ask(thread, THREADS, READ, **place, after=after)
            page = data["repository"]["pullRequest"]["reviewThreads"]
            for each in page["nodes"]:
                yield each
            if not page["pageInfo"]["hasNextPage"]:
                return
            after = page["pageInfo"]["endCursor"]
        raise VendorTooLong("The pull request has too many review threads to look through.")

    async def _ask(
        self, thread: GitHubThread, document: str, rights: tuple[tuple[str, str], ...], **variables: object
    ) -> Json:
        reach = Reach(thread.repository, rights)
        return await ask(self._github, thread.installation_id, document, variables, reach)


def _opened_by(found: Json) -> int:
    """The REST id of a thread's first comment, which outgrew GraphQL's `databaseId`; 0: it has none."""
    comments = found["comments"]["nodes"]
    return int(comments[0]["fullDatabaseId"]) if comments else 0
