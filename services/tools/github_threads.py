"""Read what people discuss on GitHub: issues, pull requests, their comments and diffs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from aucert.tools.v1 import github_service_pb2 as pb
from services.tools.github_access import GitHubRepository, Permission
from services.tools.github_items import (
    changed_file_lines,
    changed_file_of,
    comment_lines,
    issue_lines,
    issue_of,
    pull_request_lines,
    pull_request_of,
    review_comment_lines,
    review_comment_of,
)
from services.tools.repo_pages import Place
from services.tools.vendor_pages import PAGE_SIZE, Entry, Part, Shown, show

Json = dict[str, Any]


async def get_issue(repository: GitHubRepository, number: int, continuation: str) -> pb.GetIssueResponse:
    """An issue or a pull request's conversation. Raises ContinuationInvalid."""
    issue: Json = await repository.get(f"/issues/{number}", "issues")

    async def fetch(page: int) -> Part[None]:
        found = await _page(repository, f"/issues/{number}/comments", "issues", page)
        own = [Entry(None, issue_lines(issue))] if page == 1 else []
        return Part([*own, *(Entry(None, comment_lines(each)) for each in found)], len(found) < PAGE_SIZE)

    place = Place("", "github_get_issue", (repository.container, number))
    shown = await show(place, continuation, fetch)
    head = f"{repository.name}#{number}, {issue.get('comments', 0)} comments"
    return pb.GetIssueResponse(text=shown.text(head), issue=issue_of(issue), continuation=shown.continuation)


async def get_pull_request(
    repository: GitHubRepository, number: int, continuation: str
) -> pb.GetPullRequestResponse:
    """A pull request without its conversation and diff. Raises ContinuationInvalid."""
    found: Json = await repository.get(f"/pulls/{number}", "pull_requests")

    async def fetch(page: int) -> Part[None]:
        return Part([Entry(None, pull_request_lines(found))] if page == 1 else [], last=True)

    place = Place("", "github_get_pull_request", (repository.container, number))
    shown = await show(place, continuation, fetch)
    return pb.GetPullRequestResponse(
        text=shown.text(f"{repository.name}#{number}"),
        pull_request=pull_request_of(found),
        continuation=shown.continuation,
    )


async def list_pull_request_files(
    repository: GitHubRepository, number: int, continuation: str
) -> pb.ListPullRequestFilesResponse:
    """The files a pull request changes. Raises ContinuationInvalid."""
    shown = await _listed(
        repository,
        ("github_list_pull_request_files", f"/pulls/{number}/files"),
        continuation,
        lambda each: Entry(changed_file_of(each), changed_file_lines(each)),
    )
    return pb.ListPullRequestFilesResponse(
        text=shown.text(f"Changes of {repository.name}#{number}:", empty="(none)"),
        files=shown.items,
        continuation=shown.continuation,
    )


async def list_review_comments(
    repository: GitHubRepository, number: int, continuation: str
) -> pb.ListReviewCommentsResponse:
    """The comments on a pull request's diff, oldest first. Raises ContinuationInvalid."""
    shown = await _listed(
        repository,
        ("github_list_review_comments", f"/pulls/{number}/comments"),
        continuation,
        lambda each: Entry(review_comment_of(each), review_comment_lines(each)),
    )
    return pb.ListReviewCommentsResponse(
        text=shown.text(f"Comments on the diff of {repository.name}#{number}:", empty="(none)"),
        comments=shown.items,
        continuation=shown.continuation,
    )


async def _listed(
    repository: GitHubRepository,
    what: tuple[str, str],
    continuation: str,
    entry: Callable[[Json], Entry[Any]],
) -> Shown[Any]:
    """A list of a pull request; `what` is the tool and the path of the list."""
    tool, path = what

    async def fetch(page: int) -> Part[Message]:
        found = await _page(repository, path, "pull_requests", page)
        return Part([entry(each) for each in found], len(found) < PAGE_SIZE)

    return await show(Place("", tool, (repository.container, path)), continuation, fetch)


async def _page(repository: GitHubRepository, path: str, permission: Permission, page: int) -> list[Json]:
    return await repository.get(path, permission, per_page=PAGE_SIZE, page=page)
