"""GitHub's GraphQL API, as much of it as we send: two operations, and nothing that only looks like them.

Names and types are those of GitHub's public schema. A document is compared by its tokens, so layout is free;
any other is answered as GitHub answers what it cannot read, with 200 and `errors`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from aiohttp import web

from services.sandbox.github_domain import Comment, CommentKind, NoSuchThingError
from services.sandbox.github_http import GRANT, json_object
from services.sandbox.github_paths import GithubPaths
from services.sandbox.github_wire import JsonObject, node_id

PAGE_MAX = 100
_TOKEN = re.compile(r"[A-Za-z_]\w*|\d+|[$!:(){}]")
_IGNORED = re.compile(r"[\s,]+")
_THREADS = """
query($owner:String! $name:String! $number:Int! $first:Int! $after:String){
repository(owner:$owner name:$name){pullRequest(number:$number){reviewThreads(first:$first after:$after){
pageInfo{hasNextPage endCursor}nodes{id isResolved comments(first:1){nodes{fullDatabaseId}}}}}}}
"""
_RESOLVE = "mutation($threadId:ID!){resolveReviewThread(input:{threadId:$threadId}){thread{id isResolved}}}"


class _GraphqlError(Exception):
    """An entry of `errors`; `type` empty: none, as for what cannot be read."""

    def __init__(self, type_: str, message: str, *path: str) -> None:
        super().__init__(message)
        self.entry: JsonObject = {"path": list(path), "message": message}
        if type_:
            self.entry = {"type": type_, **self.entry}


class GithubGraphqlRoutes(GithubPaths):
    """One endpoint for all operations."""

    def table(self) -> list[web.RouteDef]:
        """It takes an installation token."""
        return [web.post("/graphql", self.answer)]

    async def answer(self, request: web.Request) -> web.Response:
        """Run an operation; what goes wrong with it is in `errors`."""
        asked = await json_object(request)
        variables = asked.get("variables") or {}
        operations = {tokens(_THREADS): self._review_threads, tokens(_RESOLVE): self._resolve}
        try:
            run = operations.get(tokens(asked.get("query")))
            if run is None or not isinstance(variables, dict):
                raise _GraphqlError("", "Parse error on a document this stand-in does not know")
            return web.json_response({"data": run(request, variables)})
        except _GraphqlError as error:
            return web.json_response({"data": None, "errors": [error.entry]})

    def _review_threads(self, request: web.Request, variables: Mapping[str, object]) -> JsonObject:
        owner, name = _text(variables, "owner"), _text(variables, "name")
        number, first = _number(variables, "number"), _number(variables, "first")
        after = variables.get("after") or "0"
        if not (0 < first <= PAGE_MAX and isinstance(after, str) and after.isdecimal()):
            raise _GraphqlError("", "A page that is none was asked for")
        self._check(request, "read", "pull_requests", path="repository")
        try:
            repository = self._state.repository(f"{owner}/{name}")
            if not request[GRANT].reaches(repository.id):
                raise NoSuchThingError("repository")
            thread = self._state.pull_request(repository.full_name, number)
        except NoSuchThingError:
            raise _GraphqlError("NOT_FOUND", "Could not resolve to such a node.", "repository") from None
        comments = self._state.comments(thread, CommentKind.REVIEW)
        tops = [each for each in comments if each.place and not each.place.top_id]
        begin = int(after)
        page, end = tops[begin : begin + first], begin + first
        info = {"hasNextPage": end < len(tops), "endCursor": str(end) if page else None}
        threads = {"pageInfo": info, "nodes": [self._shown(each) for each in page]}
        return {"repository": {"pullRequest": {"reviewThreads": threads}}}

    def _resolve(self, request: web.Request, variables: Mapping[str, object]) -> JsonObject:
        wanted = _text(variables, "threadId")
        found = next((each for each in self._state.review_tops() if thread_node_id(each) == wanted), None)
        if found is None or not request[GRANT].reaches(found.thread.repository.id):
            raise _GraphqlError("NOT_FOUND", "Could not resolve to a node.", "resolveReviewThread")
        # Not by pull requests alone, as the name of the thing would have it.
        self._check(request, "write", "pull_requests", "contents", path="resolveReviewThread")
        if self._state.resolve_review(found):
            self._world.send_later(self._world.review_letter(found, self._world.bot.account, request))
        return {"resolveReviewThread": {"thread": {"id": wanted, "isResolved": True}}}

    def _check(self, request: web.Request, level: str, *permissions: str, path: str) -> None:
        if not all(request[GRANT].allows(level, each) for each in permissions):
            raise _GraphqlError("FORBIDDEN", "Resource not accessible by integration", path)

    def _shown(self, top: Comment) -> JsonObject:
        first = {"nodes": [{"fullDatabaseId": str(top.id)}]}
        return {"id": thread_node_id(top), "isResolved": self._state.is_resolved(top), "comments": first}


def thread_node_id(top: Comment) -> str:
    """GraphQL's id of the thread that a review comment opened."""
    return node_id("PRRT", top.id)


def tokens(document: object) -> tuple[str, ...] | None:
    """The document without its layout; None: it is none, or holds what neither operation has."""
    if not isinstance(document, str) or _IGNORED.sub("", _TOKEN.sub("", document)):
        return None
    return tuple(_TOKEN.findall(document))


def _text(variables: Mapping[str, object], name: str) -> str:
    value = variables.get(name)
    if not isinstance(value, str):
        raise _GraphqlError("", f"Variable ${name} was provided an invalid value")
    return value


def _number(variables: Mapping[str, object], name: str) -> int:
    value = variables.get(name)
    if type(value) is not int:
        raise _GraphqlError("", f"Variable ${name} was provided an invalid value")
    return value
