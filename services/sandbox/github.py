"""GitHub's REST API, as much of it as we call: `GithubRoutes.table` is the whole of it.

Handlers find, act and answer. Errors, headers and credentials are `github_http`'s, the shape of every
answer `github_wire`'s and `github_wire_threads`'.
"""

from __future__ import annotations

from datetime import datetime

from aiohttp import web
from aiohttp.typedefs import Middleware
from pydantic import BaseModel, Field, ValidationError

from services.sandbox.github_auth import UngrantedError
from services.sandbox.github_domain import (
    Comment,
    CommentKind,
    NoSuchThingError,
    ReactionContent,
    RefusedError,
    Repository,
    Thread,
)
from services.sandbox.github_hooks import delivery_detail, delivery_item
from services.sandbox.github_http import (
    GRANT,
    GithubError,
    authenticate,
    comment_body,
    json_object,
    manners,
    number,
    page_size,
    paged,
    unprocessable,
)
from services.sandbox.github_world import GithubWorld
from services.sandbox.webhooks import Delivery

TOKEN_REPOSITORIES_MAX = 500
"""GitHub's limit on how many repositories a token can name."""


def build_github_app(world: GithubWorld, faults: Middleware) -> web.Application:
    """To be mounted under `API_PREFIX`. Faults strike before credentials are looked at."""
    app = web.Application(middlewares=[manners(world.limit), faults, authenticate(world.auth)])
    app.add_routes(GithubRoutes(world).table())
    return app


class TokenRequest(BaseModel):
    """Repositories by name, without owner, or by id."""

    repositories: list[str] | None = Field(default=None, max_length=TOKEN_REPOSITORIES_MAX)
    repository_ids: list[int] | None = Field(default=None, max_length=TOKEN_REPOSITORIES_MAX)
    permissions: dict[str, str] | None = Field(default=None, max_length=100)


class GithubRoutes:
    """One handler an endpoint of GitHub's documentation."""

    def __init__(self, world: GithubWorld) -> None:
        self._world = world
        self._state = world.state

    def table(self) -> list[web.RouteDef]:
        """Every path below `API_PREFIX` that answers."""
        repo, hook = "/repos/{owner}/{repo}", "/app/hook/deliveries"
        routes = [
            web.get("/app", self.get_app),
            web.post("/app/installations/{installation}/access_tokens", self.create_token),
            web.get(hook, self.list_deliveries),
            web.get(hook + "/{delivery}", self.get_delivery),
            web.post(hook + "/{delivery}/attempts", self.redeliver),
            web.get(repo, self.get_repository),
            web.get(repo + "/issues/{number}", self.get_issue),
            web.get(repo + "/issues/{number}/comments", self.list_comments),
            web.post(repo + "/issues/{number}/comments", self.create_comment),
            web.get(repo + "/pulls/{number}", self.get_pull_request),
            web.get(repo + "/pulls/{number}/comments", self.list_review_comments),
            web.post(repo + "/pulls/{number}/comments/{comment}/replies", self.reply_to_review),
        ]
        for subject in ("/issues/{number}", "/issues/comments/{comment}", "/pulls/comments/{comment}"):
            routes += [
                web.get(f"{repo}{subject}/reactions", self.list_reactions),
                web.post(f"{repo}{subject}/reactions", self.react),
            ]
        return routes

    # The App itself

    async def get_app(self, request: web.Request) -> web.Response:
        """Get the authenticated app."""
        return web.json_response(self._world.wire(request).app())

    async def create_token(self, request: web.Request) -> web.Response:
        """Create an installation access token for an app."""
        if number(request, "installation") != self._world.settings.installation_id:
            raise NoSuchThingError("installation")
        try:
            asked = TokenRequest.model_validate(await json_object(request))
            repositories = self._named_repositories(asked)
            ids = None if repositories is None else frozenset(each.id for each in repositories)
            grant = self._world.auth.mint(asked.permissions or {}, ids)
        except (ValidationError, UngrantedError) as error:
            raise GithubError(422, str(error)) from None
        return web.json_response(self._world.wire(request).grant(grant, repositories or []), status=201)

    async def list_deliveries(self, request: web.Request) -> web.Response:
        """Newest first; `cursor` is the id of the last delivery of the page before."""
        log, cursor, size = self._world.courier.log(), request.query.get("cursor", ""), page_size(request)
        mine = [each for each in log if not cursor.isdecimal() or each.id < int(cursor)]
        headers: dict[str, str] = {}
        if len(mine) > size:
            following = request.url.update_query(cursor=mine[size - 1].id)
            headers["Link"] = f'<{following}>; rel="next"'
        return web.json_response([delivery_item(each) for each in mine[:size]], headers=headers)

    async def get_delivery(self, request: web.Request) -> web.Response:
        """Get a delivery for an app webhook."""
        return web.json_response(delivery_detail(self._delivery(request)))

    async def redeliver(self, request: web.Request) -> web.Response:
        """Redeliver a delivery for an app webhook: accepted now, sent right after."""
        self._world.send_later(self._world.hooks.again(self._delivery(request)))
        return web.json_response({}, status=202)

    # Repositories, issues, pull requests

    async def get_repository(self, request: web.Request) -> web.Response:
        """Get a repository."""
        return web.json_response(self._world.wire(request).repository(self._repository(request)))

    async def get_issue(self, request: web.Request) -> web.Response:
        """Get an issue; pull requests are found here too."""
        thread = self._thread(request)
        self._need(request, "read", thread)
        return web.json_response(self._world.threads_wire(request).issue(thread))

    async def get_pull_request(self, request: web.Request) -> web.Response:
        """Get a pull request."""
        thread = self._pull_request(request)
        self._need(request, "read", thread, review=True)
        if thread.commits is None:
            raise NoSuchThingError("pull request")
        return web.json_response(self._world.threads_wire(request).pull_request(thread, thread.commits))

    # Comments

    async def list_comments(self, request: web.Request) -> web.Response:
        """List issue comments: `since`, `per_page`, `page`."""
        thread = self._thread(request)
        self._need(request, "read", thread)
        return self._listed(request, thread, CommentKind.CONVERSATION)

    async def list_review_comments(self, request: web.Request) -> web.Response:
        """List review comments on a pull request; also `sort` with `direction`."""
        thread = self._pull_request(request)
        self._need(request, "read", thread, review=True)
        return self._listed(request, thread, CommentKind.REVIEW)

    async def create_comment(self, request: web.Request) -> web.Response:
        """Create an issue comment, as the App's bot."""
        thread = self._thread(request)
        self._need(request, "write", thread)
        body = await comment_body(request, "IssueComment")
        try:
            comment = self._state.add_comment(thread, body, self._world.bot)
        except RefusedError as error:
            raise unprocessable("IssueComment", str(error)) from None
        return self._created(request, comment)

    async def reply_to_review(self, request: web.Request) -> web.Response:
        """Create a reply for a review comment, as the App's bot."""
        thread = self._pull_request(request)
        self._need(request, "write", thread, review=True)
        top = self._comment(request, CommentKind.REVIEW)
        if top.thread != thread:
            raise NoSuchThingError("comment of this pull request")
        body = await comment_body(request, "PullRequestReviewComment")
        try:
            comment = self._state.reply_to_review(top, body, self._world.bot)
        except RefusedError as error:
            raise unprocessable("PullRequestReviewComment", str(error)) from None
        return self._created(request, comment)

    # Reactions

    async def list_reactions(self, request: web.Request) -> web.Response:
        """List reactions for an issue, an issue comment or a review comment."""
        reactions = self._state.reactions(self._reaction_subject(request, "read"))
        return paged(request, reactions, self._world.threads_wire(request).reaction)

    async def react(self, request: web.Request) -> web.Response:
        """Create a reaction: 201, or 200 if the bot already reacted so."""
        subject = self._reaction_subject(request, "write")
        content = (await json_object(request)).get("content")
        if not isinstance(content, str) or content not in {known.value for known in ReactionContent}:
            raise unprocessable("Reaction", f"{content!r} is not a reaction", field="content")
        reaction, created = self._state.react(subject, self._world.bot.account, ReactionContent(content))
        wire = self._world.threads_wire(request)
        return web.json_response(wire.reaction(reaction), status=201 if created else 200)

    # What the path names

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

    def _delivery(self, request: web.Request) -> Delivery:
        delivery = self._world.courier.find(number(request, "delivery"))
        if delivery is None:
            raise NoSuchThingError("delivery")
        return delivery

    def _reaction_subject(self, request: web.Request, level: str) -> int:
        """The id of the thread or comment the path names, once the token may see or change it."""
        if "number" in request.match_info:
            thread = self._thread(request)
            self._need(request, level, thread)
            return thread.id
        review = "/pulls/comments/" in request.path
        comment = self._comment(request, CommentKind.REVIEW if review else CommentKind.CONVERSATION)
        self._need(request, level, comment.thread, review=review)
        return comment.id

    def _named_repositories(self, asked: TokenRequest) -> list[Repository] | None:
        """The repositories a token is asked for; None: all."""
        if asked.repositories is None and asked.repository_ids is None:
            return None
        wanted: set[str | int] = {*(asked.repositories or ()), *(asked.repository_ids or ())}
        found = [each for each in self._state.repositories() if wanted & {each.name, each.id}]
        if wanted - {value for each in found for value in (each.name, each.id)}:
            raise GithubError(
                422, "There is at least one repository that does not exist or is not accessible."
            )
        return found

    # What follows from it

    def _need(self, request: web.Request, level: str, thread: Thread, *, review: bool = False) -> None:
        """A pull request's conversation opens to either permission, its review comments to one."""
        any_of = ("pull_requests",) if review else ("issues", "pull_requests")[: 1 + thread.is_pull_request]
        if not request[GRANT].allows(level, *any_of):
            raise GithubError(403, "Resource not accessible by integration")

    def _listed(self, request: web.Request, thread: Thread, kind: CommentKind) -> web.Response:
        comments = self._state.comments(thread, kind)
        if since := request.query.get("since"):
            after = _instant(since)
            comments = [each for each in comments if each.created_at.replace(microsecond=0) >= after]
        # Only review comments can be turned round, and only together with a sort, as GitHub documents.
        if (
            kind is CommentKind.REVIEW
            and "sort" in request.query
            and request.query.get("direction") == "desc"
        ):
            comments.reverse()
        return paged(request, comments, self._world.threads_wire(request).comment)

    def _created(self, request: web.Request, comment: Comment) -> web.Response:
        """Answer, and tell the App of its own comment, as GitHub does."""
        self._world.send_later(self._world.comment_letter(comment, request))
        return web.json_response(self._world.threads_wire(request).comment(comment), status=201)


def _instant(text: str) -> datetime:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise GithubError(422, "since: it is not an ISO 8601 time") from None
    if when.tzinfo is None:
        raise GithubError(422, "since: it has no time zone")
    return when
