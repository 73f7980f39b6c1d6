"""Brave's web search over the few pages it is told of: parameters, limits and answers as Brave has them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

from aiohttp import web

from services.sandbox.calls import Calls
from services.sandbox.faults import Action, Faults, middleware
from services.sandbox.settings import BraveSettings

PATH = "/res/v1/web/search"
QUERY_CHARS_MAX, QUERY_WORDS_MAX, COUNT_MAX, OFFSET_MAX = 400, 50, 20, 9
COUNT = 20
MONTH_SECONDS = 2_592_000
_FILTERS = ("country", "search_lang", "ui_lang", "safesearch", "freshness", "result_filter", "goggles")
_FORMS = ("units", "spellcheck", "text_decorations", "extra_snippets", "summary")
PARAMETERS = frozenset(("q", "count", "offset", *_FILTERS, *_FORMS))
_FRESHNESS = re.compile(r"pd|pw|pm|py|\d{4}-\d\d-\d\dto\d{4}-\d\d-\d\d")
_MARKUP = re.compile(r"<[^>]*>")
Json: TypeAlias = dict[str, object]


def build_brave_app(settings: BraveSettings, faults: Faults, calls: Calls) -> web.Application:
    """To be mounted under `/brave`."""
    app = web.Application(middlewares=[middleware(faults, calls, _problem)])
    app.add_routes([web.get(PATH, _Search(settings).answer)])
    return app


class _Search:
    """Only searches that succeed count towards the month."""

    def __init__(self, settings: BraveSettings) -> None:
        self._settings = settings
        self._left = settings.left_this_month

    async def answer(self, request: web.Request) -> web.Response:
        """A page of results; a search that finds none has no section `web`."""
        if request.headers.get("X-Subscription-Token") != self._settings.api_key:
            return _refused(422, "SUBSCRIPTION_TOKEN_INVALID", "The provided subscription token is invalid.")
        if wrong := _wrong(request.query):
            return _refused(422, "VALIDATION", f"Unable to validate request parameter(s): {wrong}")
        if not self._left:
            return _refused(429, "RATE_LIMITED", "Request rate limit exceeded for plan", self._limits())
        self._left -= 1
        query, count = request.query["q"], int(request.query.get("count", COUNT))
        found = [each for each in self._settings.pages if _matches(each, query)]
        begin = int(request.query.get("offset", 0)) * count
        shown = [self._result(each, request.query) for each in found[begin : begin + count]]
        told: Json = {
            "type": "search",
            "query": {"original": query, "more_results_available": begin + count < len(found)},
        }
        told |= {"web": {"type": "search", "results": shown, "family_friendly": True}} if shown else {}
        return web.json_response(told, headers=self._limits())

    def _result(self, page: tuple[str, str, str], query: Mapping[str, str]) -> Json:
        url, title, words = page
        plain = query.get("text_decorations") == "false"
        return {
            "type": "search_result",
            "title": title,
            "url": url,
            "description": _MARKUP.sub("", words) if plain else words,
            "language": "en",
            "age": "2 weeks ago",
            "meta_url": {"scheme": "https", "hostname": url.split("/")[2]},
        }

    def _limits(self) -> dict[str, str]:
        """One entry a window: a second, and a month."""
        return {
            "X-RateLimit-Limit": f"1, {self._settings.left_this_month}",
            "X-RateLimit-Policy": f"1;w=1, {self._settings.left_this_month};w={MONTH_SECONDS}",
            "X-RateLimit-Remaining": f"1, {self._left}",
            "X-RateLimit-Reset": "1, 389223",
        }


def _matches(page: tuple[str, str, str], query: str) -> bool:
    words = " ".join(page).lower()
    return any(each in words for each in query.lower().split())


def _wrong(query: Mapping[str, str]) -> str:
    """The parameter that Brave would not take. Empty: none."""
    words = query.get("q", "")
    limits = {"count": (1, COUNT_MAX), "offset": (0, OFFSET_MAX)}
    if unknown := query.keys() - PARAMETERS:
        return min(unknown)
    if not 1 <= len(words) <= QUERY_CHARS_MAX or len(words.split()) > QUERY_WORDS_MAX:
        return "q"
    for name, (low, high) in limits.items():
        told = query.get(name, str(low))
        if not (told.isascii() and told.isdecimal() and low <= int(told) <= high):
            return name
    return "freshness" if not _FRESHNESS.fullmatch(query.get("freshness", "pd")) else ""


def _refused(status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> web.Response:
    told = {"type": "ErrorResponse", "error": {"code": code, "detail": detail, "status": status}}
    return web.json_response(told, status=status, headers=headers)


def _problem(action: Action) -> Mapping[str, object]:
    code = "RATE_LIMITED" if action is Action.RATE_LIMIT else "INTERNAL"
    return {"type": "ErrorResponse", "error": {"code": code, "detail": "Something went wrong."}}
