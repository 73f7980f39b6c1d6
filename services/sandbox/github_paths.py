"""What the paths of GitHub's API name, and whether a token may have it: for every table of routes."""

from __future__ import annotations

from aiohttp import web

from services.sandbox.github_domain import Comment, CommentKind, NoSuchThingError, Repository, Thread
from services.sandbox.github_http import GRANT, GithubError, number
from services.sandbox.github_world import GithubWorld


class GithubPaths:
    """Base of the tables of routes that an installation token opens."""

    def __init__(self, world: GithubWorld) -> None:
        self._world = world
        self._state = world.state

    def _repository(self, request: web.Request) -> Repository:
        path = request.match_info
        repository = self._state.repository(f"{path['owner']}/{path['repo']}")
        if not request[GRANT].reaches(repository.id):
            raise NoSuchThingError("repository within this token's reach")
        return repository

    def _thread(self, request: web.Request) -> Thread:
        return self._state.thread(self._repository(request).full_name, number(request, "number"))

    def _pull_request(self, request: web.Request) -> Thread:
        return self._state.pull_request(self._repository(request).full_name, number(request, "number"))

    def _comment(self, request: web.Request, kind: CommentKind) -> Comment:
        full_name = self._repository(request).full_name
        return self._state.comment(full_name, number(request, "comment"), kind)

    def _need(self, request: web.Request, level: str, thread: Thread, *, review: bool = False) -> None:
        """A pull request's conversation opens to either permission, its review comments to one."""
        any_of = ("pull_requests",) if review else ("issues", "pull_requests")[: 1 + thread.is_pull_request]
        need(request, level, *any_of)


def need(request: web.Request, level: str, *any_of: str) -> None:
    """Refuse a token that has none of the permissions at this level."""
    if not request[GRANT].allows(level, *any_of):
        raise GithubError(403, "Resource not accessible by integration")
