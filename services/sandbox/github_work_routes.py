"""GitHub's endpoints for issues and pull requests as work: listed, opened, changed, with their diffs."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import cast

from aiohttp import web

from services.sandbox.github_domain import (
    CommentKind,
    Commits,
    NoSuchThingError,
    RefusedError,
    Repository,
    Thread,
)
from services.sandbox.github_git import Tree, blob_sha
from services.sandbox.github_http import GithubError, json_object, paged, unprocessable
from services.sandbox.github_paths import GithubPaths, need
from services.sandbox.github_times import instant
from services.sandbox.github_wire import GithubWire, JsonObject


class GithubWorkRoutes(GithubPaths):
    """One handler an endpoint of GitHub's documentation."""

    def table(self) -> list[web.RouteDef]:
        """Paths that answer."""
        repo = "/repos/{owner}/{repo}"
        return [
            web.get(repo + "/issues", self.list_issues),
            web.post(repo + "/issues", self.create_issue),
            web.patch(repo + "/issues/{number}", self.update_issue),
            web.get(repo + "/pulls", self.list_pull_requests),
            web.post(repo + "/pulls", self.create_pull_request),
            web.get(repo + "/pulls/{number}/files", self.list_files),
            web.get(repo + "/pulls/comments/{comment}", self.get_review_comment),
        ]

    async def list_issues(self, request: web.Request) -> web.Response:
        """List repository issues, pull requests among them: `state`, `since`, `sort`, `direction`."""
        repository = self._repository(request)
        need(request, "read", "issues")
        threads = [each for each in self._state.threads() if each.repository.id == repository.id]
        if request.query.get("state", "open") != "all":
            threads = [each for each in threads if each.open == (request.query.get("state") != "closed")]
        if since := request.query.get("since"):
            after = instant(since)
            threads = [each for each in threads if self._state.updated_at(each) >= after]
        by_change = request.query.get("sort") == "updated"
        threads.sort(
            key=lambda each: (self._state.updated_at(each) if by_change else each.created_at, each.id),
            reverse=request.query.get("direction") != "asc",
        )
        return paged(request, threads, self._world.threads_wire(request).issue)

    async def create_issue(self, request: web.Request) -> web.Response:
        """Create an issue, as the App's bot; the App is told of it."""
        repository = self._repository(request)
        need(request, "write", "issues")
        body = await json_object(request)
        if not str(body.get("title") or "").strip():
            raise unprocessable("Issue", "title is missing", field="title")
        names = cast("Sequence[str]", body.get("labels") or ())
        try:
            issue = self._state.add_issue(
                repository, str(body["title"]), str(body.get("body") or ""), self._world.bot, labels=names
            )
        except RefusedError as error:
            raise unprocessable("Issue", str(error)) from None
        self._world.send_later(self._world.hooks.thread_opened(issue, self._world.wire(request)))
        return web.json_response(self._world.threads_wire(request).issue(issue), status=201)

    async def update_issue(self, request: web.Request) -> web.Response:
        """Update an issue: title, body, state, state_reason, labels."""
        thread = self._thread(request)
        self._need(request, "write", thread)
        body = await json_object(request)
        changes: dict[str, object] = {name: str(body[name]) for name in ("title", "body") if name in body}
        if "labels" in body:
            changes["labels"] = tuple(cast("Sequence[str]", body["labels"]))
        if "state" in body:
            changes["open"] = body["state"] == "open"
            changes["state_reason"] = "" if changes["open"] else str(body.get("state_reason") or "completed")
        try:
            changed = self._state.change_thread(thread, **changes)
        except RefusedError as error:
            raise unprocessable("Issue", str(error)) from None
        return web.json_response(self._world.threads_wire(request).issue(changed))

    async def list_pull_requests(self, request: web.Request) -> web.Response:
        """List pull requests: `state`, `head` as owner:branch; newest first."""
        repository = self._repository(request)
        need(request, "read", "pull_requests")
        wire = self._world.threads_wire(request)
        state, head = request.query.get("state", "open"), request.query.get("head", "")
        found = [
            (each, each.commits)
            for each in self._state.threads()
            if each.repository.id == repository.id
            and each.commits is not None
            and (state == "all" or each.open == (state == "open"))
            and head in ("", f"{repository.owner.login}:{each.commits.head_ref}")
        ]
        return paged(request, found[::-1], lambda each: wire.pull_request(*each))

    async def create_pull_request(self, request: web.Request) -> web.Response:
        """Create a pull request, as the App's bot; the App is told of it."""
        repository = self._repository(request)
        need(request, "write", "pull_requests")
        body = await json_object(request)
        commits = self._wanted(repository, str(body.get("head")), str(body.get("base")))
        thread = self._state.add_pull_request(
            repository, str(body.get("title")), str(body.get("body") or ""), self._world.bot, **commits
        )
        assert thread.commits is not None
        self._world.send_later(self._world.hooks.thread_opened(thread, self._world.wire(request)))
        wire = self._world.threads_wire(request)
        return web.json_response(wire.pull_request(thread, thread.commits), status=201)

    def _wanted(self, repository: Repository, head: str, base: str) -> dict[str, str]:
        """What a new pull request is to merge; refused as GitHub refuses it."""
        shas: dict[str, str] = {}
        for field, branch in (("head", head), ("base", base)):
            try:
                shas[field] = self._world.git.branch(repository, branch)
            except NoSuchThingError:
                errors = {"resource": "PullRequest", "field": field, "code": "invalid"}
                raise GithubError(422, "Validation Failed", errors) from None
        for each in self._state.threads():
            same = each.commits is not None and (each.commits.head_ref, each.commits.base_ref) == (head, base)
            if same and each.open and each.repository.id == repository.id:
                text = f"A pull request already exists for {repository.owner.login}:{head}."
                errors = {"resource": "PullRequest", "code": "custom", "message": text}
                raise GithubError(422, "Validation Failed", errors)
        return {
            "head_ref": head,
            "head_sha": shas["head"],
            "base_ref": base,
            "base_sha": shas["base"],
        }

    async def list_files(self, request: web.Request) -> web.Response:
        """List pull requests files, with their patches."""
        thread = self._pull_request(request)
        self._need(request, "read", thread, review=True)
        assert thread.commits is not None
        wire = self._world.wire(request)
        files = self._changed(thread, thread.commits)
        return paged(request, files, lambda each: _file(wire, thread, *each))

    def _changed(self, thread: Thread, commits: Commits) -> list[tuple[str, str | None, str | None]]:
        """Each changed file with its text before and after; none where the commits are made up."""
        git = self._world.git
        try:
            before: Tree = git.files(thread.repository, commits.base_sha)
            after: Tree = git.files(thread.repository, commits.head_sha)
        except NoSuchThingError:
            return []
        names = sorted({*before, *after})
        return [
            (name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)
        ]

    async def get_review_comment(self, request: web.Request) -> web.Response:
        """Get a review comment for a pull request."""
        comment = self._comment(request, CommentKind.REVIEW)
        self._need(request, "read", comment.thread, review=True)
        return web.json_response(self._world.threads_wire(request).comment(comment))


def _file(wire: GithubWire, thread: Thread, path: str, before: str | None, after: str | None) -> JsonObject:
    lines = [*difflib.unified_diff((before or "").splitlines(), (after or "").splitlines(), lineterm="")][2:]
    added, removed = (sum(line.startswith(mark) for line in lines) for mark in "+-")
    status = "added" if before is None else "removed" if after is None else "modified"
    content = blob_sha(after if after is not None else before or "")
    repo = f"{wire.api}/repos/{thread.repository.full_name}"
    return {
        "sha": content,
        "filename": path,
        "status": status,
        "additions": added,
        "deletions": removed,
        "changes": added + removed,
        "blob_url": f"{wire.web}/{thread.repository.full_name}/blob/{content}/{path}",
        "raw_url": f"{wire.web}/{thread.repository.full_name}/raw/{content}/{path}",
        "contents_url": f"{repo}/contents/{path}",
        "patch": "\n".join(lines),
    }
