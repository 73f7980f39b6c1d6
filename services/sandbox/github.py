"""GitHub's API, as much of it as we call: the tables of routes in `build_github_app` are all of it.

Handlers find, act and answer. Errors, headers and credentials are `github_http`'s, the shape of every
answer `github_wire`'s and `github_wire_threads`'.
"""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Middleware

from services.sandbox.github_app import GithubAppRoutes
from services.sandbox.github_domain import (
    Comment,
    CommentKind,
    NoSuchThingError,
    ReactionContent,
    RefusedError,
    Thread,
)
from services.sandbox.github_git_routes import GithubGitRoutes
from services.sandbox.github_graphql import GithubGraphqlRoutes
from services.sandbox.github_history_routes import GithubHistoryRoutes
from services.sandbox.github_http import (
    authenticate,
    comment_body,
    json_object,
    manners,
    paged,
    unprocessable,
)
from services.sandbox.github_paths import GithubPaths
from services.sandbox.github_search_routes import GithubSearchRoutes
from services.sandbox.github_times import instant
from services.sandbox.github_work_routes import GithubWorkRoutes
from services.sandbox.github_world import GithubWorld


def build_github_app(world: GithubWorld, faults: Middleware) -> web.Application:
    """To be mounted under `API_PREFIX`. Faults strike before credentials are looked at."""
    app = web.Application(middlewares=[manners(world.limit), faults, authenticate(world.auth)])
    tables = (
        GithubAppRoutes,
        GithubHistoryRoutes,
        GithubRoutes,
        GithubGitRoutes,
        GithubGraphqlRoutes,
        GithubWorkRoutes,
        GithubSearchRoutes,
    )
    for routes in tables:
        app.add_routes(routes(world).table())
    return app


class GithubRoutes(GithubPaths):
    """What an installation token opens: one handler an endpoint of GitHub's documentation."""

    def table(self) -> list[web.RouteDef]:
        """Every path below `API_PREFIX` that answers."""
        repo = "/repos/{owner}/{repo}"
        routes = [
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
        if top.thread.id != thread.id:
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

    # What follows from it

    def _listed(self, request: web.Request, thread: Thread, kind: CommentKind) -> web.Response:
        comments = self._state.comments(thread, kind)
        if since := request.query.get("since"):
            after = instant(since)
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
