"""GitHubService: the thirteen tools that read and change registered repositories on GitHub."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aucert.tools.v1 import github_service_pb2 as pb
from aucert.tools.v1.github_service_pb2_grpc import GitHubServiceServicer
from services.tools import github_reading as reading
from services.tools import github_threads as threads
from services.tools import github_writing as writing
from services.tools.effects import Effects
from services.tools.failures import told_as_errors
from services.tools.github_access import GitHubAccess, GitHubRepository
from services.tools.github_opening import pull_request_opening

if TYPE_CHECKING:
    from services.common.door import Context


class GitHubServicer(GitHubServiceServicer):
    """Opens the repository of each call; what is written goes through the ledger."""

    def __init__(self, access: GitHubAccess, effects: Effects) -> None:
        self._access = access
        self._effects = effects

    @asynccontextmanager
    async def _opened(self, name: str) -> AsyncIterator[GitHubRepository]:
        """The repository of a call; a tool's failures leave the block as errors of the door."""
        with told_as_errors():
            yield await self._access.open(name)

    async def GetRepository(
        self, request: pb.GetRepositoryRequest, context: Context
    ) -> pb.GetRepositoryResponse:
        """Describe a repository."""
        del context
        async with self._opened(request.repository) as repository:
            return await reading.get_repository(repository)

    async def GetFile(self, request: pb.GetFileRequest, context: Context) -> pb.GetFileResponse:
        """Read a file or list a folder."""
        del context
        async with self._opened(request.repository) as repository:
            return await reading.get_file(repository, request.path, request.ref, request.continuation)

    async def SearchCode(self, request: pb.SearchCodeRequest, context: Context) -> pb.SearchCodeResponse:
        """Search code."""
        del context
        async with self._opened(request.repository) as repository:
            return await reading.search_code(repository, request.query, request.continuation)

    async def GetIssue(self, request: pb.GetIssueRequest, context: Context) -> pb.GetIssueResponse:
        """Read an issue with its comments."""
        del context
        async with self._opened(request.repository) as repository:
            return await threads.get_issue(repository, request.number, request.continuation)

    async def SearchIssues(
        self, request: pb.SearchIssuesRequest, context: Context
    ) -> pb.SearchIssuesResponse:
        """Search issues or pull requests."""
        del context
        async with self._opened(request.repository) as repository:
            return await reading.search_issues(repository, request.query, request.kind, request.continuation)

    async def CreateIssue(self, request: pb.CreateIssueRequest, context: Context) -> pb.CreateIssueResponse:
        """Open an issue."""
        del context
        async with self._opened(request.repository) as repository:
            change = writing.issue_creation(repository, request)
            return await self._effects.once("github_create_issue", request, repository.run, change)

    async def UpdateIssue(self, request: pb.UpdateIssueRequest, context: Context) -> pb.UpdateIssueResponse:
        """Change an issue."""
        del context
        async with self._opened(request.repository) as repository:
            change = writing.issue_update(repository, request)
            return await self._effects.once("github_update_issue", request, repository.run, change)

    async def CommentOnIssue(
        self, request: pb.CommentOnIssueRequest, context: Context
    ) -> pb.CommentOnIssueResponse:
        """Comment in a conversation."""
        del context
        async with self._opened(request.repository) as repository:
            change = writing.issue_comment(repository, request)
            return await self._effects.once("github_comment_on_issue", request, repository.run, change)

    async def GetPullRequest(
        self, request: pb.GetPullRequestRequest, context: Context
    ) -> pb.GetPullRequestResponse:
        """Describe a pull request."""
        del context
        async with self._opened(request.repository) as repository:
            return await threads.get_pull_request(repository, request.number, request.continuation)

    async def ListPullRequestFiles(
        self, request: pb.ListPullRequestFilesRequest, context: Context
    ) -> pb.ListPullRequestFilesResponse:
        """Show what a pull request changes."""
        del context
        async with self._opened(request.repository) as repository:
            return await threads.list_pull_request_files(repository, request.number, request.continuation)

    async def ListReviewComments(
        self, request: pb.ListReviewCommentsRequest, context: Context
    ) -> pb.ListReviewCommentsResponse:
        """Read the comments on a diff."""
        del context
        async with self._opened(request.repository) as repository:
            return await threads.list_review_comments(repository, request.number, request.continuation)

    async def ReplyToReviewComment(
        self, request: pb.ReplyToReviewCommentRequest, context: Context
    ) -> pb.ReplyToReviewCommentResponse:
        """Answer a comment on a diff."""
        del context
        async with self._opened(request.repository) as repository:
            change = writing.review_reply(repository, request)
            return await self._effects.once("github_reply_to_review_comment", request, repository.run, change)

    async def OpenPullRequest(
        self, request: pb.OpenPullRequestRequest, context: Context
    ) -> pb.OpenPullRequestResponse:
        """Open a pull request."""
        del context
        async with self._opened(request.repository) as repository:
            change = pull_request_opening(repository, request)
            return await self._effects.once("github_open_pull_request", request, repository.run, change)
