"""The GitHub half of the admin API, under `/_sandbox/github/`: act as a person, read what came of it.

Whatever a person does here sends the webhook GitHub would send; the answer says how its one delivery went.
"""

from __future__ import annotations

from typing import Annotated, Literal

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import Field, StringConstraints

from services.sandbox.admin import AdminBody, delivery_json, parsed
from services.sandbox.github_domain import (
    BODY_CHARS_MAX,
    Account,
    AccountType,
    Association,
    Byline,
    Comment,
    CommentKind,
    NoSuchThingError,
    RefusedError,
    Thread,
    WorldFullError,
)
from services.sandbox.github_wire_threads import GithubThreadWire
from services.sandbox.github_world import GithubWorld
from services.sandbox.webhooks import Letter

RepositoryName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}$")
]
Login = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,38}(\[bot\])?$")]
Body = Annotated[str, StringConstraints(max_length=BODY_CHARS_MAX)]
Ref = Annotated[str, StringConstraints(max_length=250)]
Sha = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{40})?$")]


class RepositoryBody(AdminBody):
    """A repository the App's installation covers."""

    repository: RepositoryName
    owner_type: AccountType = AccountType.ORGANIZATION
    private: bool = False
    description: Annotated[str, StringConstraints(max_length=350)] = ""
    default_branch: Annotated[str, StringConstraints(min_length=1, max_length=250)] = "main"
    clone_url: Annotated[str, StringConstraints(max_length=2_000)] = ""


class FilesBody(AdminBody):
    """Texts by path, committed on a branch; empty: the default one."""

    repository: RepositoryName
    branch: Ref = ""
    files: Annotated[dict[str, Body], Field(min_length=1, max_length=1_000)]


class PostBody(AdminBody):
    """What everything a person writes has. `deliver` false: the webhook is lost on its way."""

    repository: RepositoryName
    body: Body = ""
    author: Login = "octocat"
    author_type: AccountType = AccountType.USER
    association: Association = Association.MEMBER
    deliver: bool = True

    def by(self) -> Byline:
        """Who writes, with which standing."""
        return Byline(Account(self.author, self.author_type), self.association)


class IssueBody(PostBody):
    """An issue to open."""

    title: Annotated[str, StringConstraints(min_length=1, max_length=256)]


class PullRequestBody(IssueBody):
    """A pull request to open; empty names and commits are made up."""

    head_ref: Ref = ""
    head_sha: Sha = ""
    base_sha: Sha = ""


class CommentBody(PostBody):
    """`kind` review: on `path` and `line`, or as an answer to the review comment `in_reply_to`."""

    number: int = Field(ge=1)
    kind: Literal["issue", "pull_request", "review"] = "issue"
    in_reply_to: int | None = None
    path: Annotated[str, StringConstraints(min_length=1, max_length=1_000)] = "README.md"
    line: int = Field(default=1, ge=1, le=1_000_000)


class ResolutionBody(AdminBody):
    """A person resolves the review thread that a comment opened."""

    repository: RepositoryName
    comment: int
    author: Login = "octocat"
    deliver: bool = True


class WebhookBody(AdminBody):
    """Empty: nothing is delivered."""

    url: Annotated[str, StringConstraints(max_length=2_000)]


@web.middleware
async def readable_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What GitHub refuses is answered with 404 or 422 and the reason."""
    try:
        return await handler(request)
    except NoSuchThingError as error:
        return web.json_response({"message": f"there is no {error}"}, status=404)
    except (RefusedError, WorldFullError) as error:
        return web.json_response({"message": str(error)}, status=422)


class GithubAdminRoutes:
    """`table` is the whole of it."""

    def __init__(self, world: GithubWorld) -> None:
        self._world = world
        self._state = world.state

    def table(self) -> list[web.RouteDef]:
        """Paths below `/_sandbox/github`."""
        return [
            web.post("/repositories", self.add_repository),
            web.post("/files", self.add_files),
            web.post("/issues", self.add_issue),
            web.post("/pulls", self.add_pull_request),
            web.post("/comments", self.add_comment),
            web.post("/resolutions", self.resolve),
            web.get("/threads/{owner}/{repo}/{number:[0-9]{1,9}}", self.read_thread),
            web.post("/ping", self.ping),
            web.put("/webhook", self.set_webhook),
            web.delete("/tokens", self.revoke_tokens),
        ]

    async def add_repository(self, request: web.Request) -> web.Response:
        """201 with the repository as REST shows it; the same name again changes nothing."""
        body = await parsed(request, RepositoryBody)
        repository = self._state.add_repository(
            body.repository,
            owner_type=body.owner_type,
            private=body.private,
            description=body.description,
            default_branch=body.default_branch,
            clone_url=body.clone_url,
        )
        return web.json_response(self._world.wire(request).repository(repository), status=201)

    async def add_files(self, request: web.Request) -> web.Response:
        """201 with the commit."""
        body = await parsed(request, FilesBody)
        repository = self._state.repository(body.repository)
        commit = self._world.git.add_files(repository, body.branch or repository.default_branch, body.files)
        return web.json_response({"commit": commit.sha}, status=201)

    async def add_issue(self, request: web.Request) -> web.Response:
        """201 with number, address and delivery."""
        body = await parsed(request, IssueBody)
        repository = self._state.repository(body.repository)
        issue = self._state.add_issue(repository, body.title, body.body, body.by())
        return await self._opened(request, issue, body)

    async def add_pull_request(self, request: web.Request) -> web.Response:
        """201 with number, address and delivery."""
        body = await parsed(request, PullRequestBody)
        pull_request = self._state.add_pull_request(
            self._state.repository(body.repository),
            body.title,
            body.body,
            body.by(),
            head_ref=body.head_ref,
            head_sha=body.head_sha,
            base_sha=body.base_sha,
        )
        return await self._opened(request, pull_request, body)

    async def add_comment(self, request: web.Request) -> web.Response:
        """201 with id, address and delivery."""
        body = await parsed(request, CommentBody)
        comment = self._comment(body)
        delivery = await self._delivered(self._world.comment_letter(comment, request), body)
        wire = self._world.threads_wire(request)
        answer = {"id": comment.id, "html_url": wire.comment_page(comment), "delivery": delivery}
        return web.json_response(answer, status=201)

    def _comment(self, body: CommentBody) -> Comment:
        thread, by = self._state.thread(body.repository, body.number), body.by()
        if body.kind == "pull_request" and not thread.is_pull_request:
            raise RefusedError(f"{body.repository}#{body.number} is an issue")
        if body.kind != "review":
            return self._state.add_comment(thread, body.body, by)
        if body.in_reply_to is None:
            return self._state.add_review_comment(thread, body.body, by, path=body.path, line=body.line)
        top = self._state.comment(body.repository, body.in_reply_to, CommentKind.REVIEW)
        return self._state.reply_to_review(top, body.body, by)

    async def resolve(self, request: web.Request) -> web.Response:
        """201 with the delivery; a thread that is resolved already sends none."""
        body = await parsed(request, ResolutionBody)
        top = self._state.comment(body.repository, body.comment, CommentKind.REVIEW)
        if not self._state.resolve_review(top):
            return web.json_response({"delivery": None}, status=201)
        letter = self._world.review_letter(top, Account(body.author), request)
        return web.json_response({"delivery": await self._delivered(letter, body)}, status=201)

    async def read_thread(self, request: web.Request) -> web.Response:
        """A thread with its comments of both kinds and their reactions, oldest first."""
        path = request.match_info
        thread = self._state.thread(f"{path['owner']}/{path['repo']}", int(path["number"]))
        wire = self._world.threads_wire(request)
        answer = {
            "repository": thread.repository.full_name,
            "number": thread.number,
            "kind": "pull_request" if thread.is_pull_request else "issue",
            "title": thread.title,
            "body": thread.body,
            "state": "open" if thread.open else "closed",
            "labels": list(thread.labels),
            "reactions": self._reactions(thread.id),
            "comments": [self._read_comment(each, wire) for each in self._state.comments(thread)],
        }
        return web.json_response(answer)

    async def ping(self, request: web.Request) -> web.Response:
        """Send the `ping` GitHub sends when a hook is made."""
        delivery = await self._world.send(self._world.hooks.ping())
        del request
        return web.json_response({"delivery": delivery and delivery_json(delivery)})

    async def set_webhook(self, request: web.Request) -> web.Response:
        """Where later deliveries go: a composer learns its gateway's port only after the sandbox runs."""
        self._world.hooks.url = (await parsed(request, WebhookBody)).url
        return web.Response(status=204)

    async def revoke_tokens(self, request: web.Request) -> web.Response:
        """As if every installation token had expired."""
        del request
        self._world.auth.revoke_all()
        return web.Response(status=204)

    async def _opened(self, request: web.Request, thread: Thread, body: PostBody) -> web.Response:
        wire = self._world.wire(request)
        delivery = await self._delivered(self._world.hooks.thread_opened(thread, wire), body)
        page = GithubThreadWire(wire, self._state).thread_page(thread)
        answer = {"number": thread.number, "id": thread.id, "html_url": page, "delivery": delivery}
        return web.json_response(answer, status=201)

    async def _delivered(self, letter: Letter, body: PostBody | ResolutionBody) -> dict[str, object] | None:
        """How the delivery went; None if there was none."""
        delivery = await self._world.send(letter) if body.deliver else None
        return delivery and delivery_json(delivery)

    def _read_comment(self, comment: Comment, wire: GithubThreadWire) -> dict[str, object]:
        place = comment.place
        return {
            "id": comment.id,
            "kind": comment.kind.value,
            "body": comment.body,
            "author": comment.by.account.login,
            "author_type": comment.by.account.type.value,
            "association": comment.by.association.value,
            "via_app": comment.by.via_app,
            "created_at": comment.created_at.isoformat(),
            "html_url": wire.comment_page(comment),
            "path": place and place.path,
            "line": place and place.line,
            "in_reply_to": (place and place.top_id) or None,
            "resolved": self._state.is_resolved(comment),
            "reactions": self._reactions(comment.id),
        }

    def _reactions(self, subject_id: int) -> list[dict[str, str]]:
        return [
            {"content": each.content.value, "author": each.author.login}
            for each in self._state.reactions(subject_id)
        ]
