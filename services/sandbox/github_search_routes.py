"""GitHub's search, as far as it takes: words, and the qualifiers repo, is and label."""

from __future__ import annotations

import re
from collections.abc import Sequence

from aiohttp import web

from services.sandbox.github_domain import NoSuchThingError, Repository, Thread
from services.sandbox.github_git import Tree, blob_sha
from services.sandbox.github_http import GRANT, page_size, unprocessable
from services.sandbox.github_paths import GithubPaths, need
from services.sandbox.github_wire import GithubWire, JsonObject

_TERM = re.compile(r'(?P<name>[a-z-]+):(?P<value>"[^"]*"|\S+)|(?P<word>\S+)')


class GithubSearchRoutes(GithubPaths):
    """One handler an endpoint of GitHub's documentation."""

    def table(self) -> list[web.RouteDef]:
        """Paths that answer."""
        return [
            web.get("/search/issues", self.search_issues),
            web.get("/search/code", self.search_code),
        ]

    async def search_issues(self, request: web.Request) -> web.Response:
        """Search issues and pull requests by words and a few qualifiers."""
        terms = _terms(request)
        wire = self._world.threads_wire(request)
        found = [
            {**wire.issue(each), "score": 1.0}
            for each in self._state.threads()
            if request[GRANT].reaches(each.repository.id) and _is_meant(each, terms)
        ]
        return _searched(request, found, search_type="lexical")

    async def search_code(self, request: web.Request) -> web.Response:
        """Search the default branches by words."""
        need(request, "read", "contents")
        terms, wire = _terms(request), self._world.wire(request)
        found: list[JsonObject] = []
        for repository in self._state.repositories():
            wanted = _is_named(repository, terms) and request[GRANT].reaches(repository.id)
            files = self._files(repository) if wanted else {}
            found += [
                _hit(wire, repository, path, text, terms["word"][0])
                for path, text in sorted(files.items())
                if terms["word"] and all(word in text.lower() for word in terms["word"])
            ]
        return _searched(request, found)

    def _files(self, repository: Repository) -> Tree:
        try:
            return self._world.git.files(repository, repository.default_branch)
        except NoSuchThingError:
            return {}


def _terms(request: web.Request) -> dict[str, list[str]]:
    """The query's words, and its qualifiers by name."""
    query = request.query.get("q", "")
    if not query:
        raise unprocessable("Search", "q is missing", field="q")
    terms: dict[str, list[str]] = {"word": []}
    for term in _TERM.finditer(query):
        value = (term["word"] or term["value"]).strip('"').lower()
        terms.setdefault(term["name"] or "word", []).append(value)
    return terms


def _is_named(repository: Repository, terms: dict[str, list[str]]) -> bool:
    return repository.full_name.lower() in terms.get("repo", [repository.full_name.lower()])


def _is_meant(thread: Thread, terms: dict[str, list[str]]) -> bool:
    kind = "pull-request" if thread.is_pull_request else "issue"
    known = {kind, "open" if thread.open else "closed"}
    text = f"{thread.title} {thread.body}".lower()
    return (
        _is_named(thread.repository, terms)
        and set(terms.get("is", ())) <= known
        and set(terms.get("label", ())) <= {name.lower() for name in thread.labels}
        and all(word in text for word in terms["word"])
    )


def _searched(request: web.Request, found: Sequence[JsonObject], **more: object) -> web.Response:
    size, page = page_size(request), int(request.query.get("page", "1"))
    items = found[(page - 1) * size : page * size]
    answer = {"total_count": len(found), "incomplete_results": False, "items": items, **more}
    return web.json_response(answer)


def _hit(wire: GithubWire, repository: Repository, path: str, text: str, word: str) -> JsonObject:
    url = f"{wire.api}/repos/{repository.full_name}/contents/{path}"
    line = next(each for each in text.splitlines() if word in each.lower())
    return {
        "name": path.rpartition("/")[2],
        "path": path,
        "sha": blob_sha(text),
        "url": url,
        "git_url": f"{wire.api}/repos/{repository.full_name}/git/blobs/{blob_sha(text)}",
        "html_url": f"{wire.web}/{repository.full_name}/blob/{repository.default_branch}/{path}",
        "repository": wire.repository(repository),
        "score": 1.0,
        "text_matches": [
            {
                "object_url": url,
                "object_type": "FileContent",
                "property": "content",
                "fragment": line,
                "matches": [{"text": word, "indices": [0, len(word)]}],
            }
        ],
    }
