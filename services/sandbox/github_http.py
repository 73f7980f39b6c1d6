"""GitHub's manners over HTTP: error bodies, request ids, rate-limit headers, credentials, pages."""

from __future__ import annotations

import json
import logging
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar, cast

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from services.sandbox.github_auth import BadCredentialsError, GithubAuth, Grant
from services.sandbox.github_domain import BODY_CHARS_MAX, NoSuchThingError, WorldFullError
from services.sandbox.github_wire import API_PREFIX, JsonObject

DOCUMENTATION = "https://docs.github.com/rest"
PAGE_SIZE = 30
PAGE_SIZE_MAX = 100
WINDOW_SECONDS = 3_600
GRANT = web.RequestKey("grant", Grant)
_APP_PATH = re.compile(rf"{API_PREFIX}/(app(/.*)?|repos/[^/]+/[^/]+/installation)")
_Item = TypeVar("_Item")
log = logging.getLogger(__name__)


class GithubError(Exception):
    """An error answer; the message is GitHub's wording where it is known."""

    def __init__(self, status: int, message: str, *errors: Mapping[str, str]) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors


class PrimaryLimit:
    """So many calls an hour for the installation, counted in fixed windows."""

    def __init__(self, per_hour: int, clock: Callable[[], datetime]) -> None:
        self._per_hour = per_hour
        self._clock = clock
        self._reset = 0
        self._used = 0

    def spend(self) -> bool:
        """Count one call; False if it was one too many."""
        now = int(self._clock().timestamp())
        if now >= self._reset:
            self._reset, self._used = now + WINDOW_SECONDS, 0
        self._used += 1
        return self._used <= self._per_hour

    def headers(self) -> dict[str, str]:
        """What GitHub tells about the limit in each answer."""
        return {
            "X-RateLimit-Limit": str(self._per_hour),
            "X-RateLimit-Remaining": str(max(0, self._per_hour - self._used)),
            "X-RateLimit-Reset": str(self._reset),
            "X-RateLimit-Used": str(self._used),
            "X-RateLimit-Resource": "core",
        }


def manners(limit: PrimaryLimit) -> Middleware:
    """Outermost: whatever happens below is answered as GitHub would answer it."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        if limit.spend():
            response = await _caught(request, handler)
        else:
            response = _error(GithubError(403, "API rate limit exceeded for installation."))
        response.headers.update(limit.headers())
        response.headers["X-GitHub-Request-Id"] = secrets.token_hex(10).upper()
        response.headers["X-GitHub-Media-Type"] = "github.v3; format=json"
        return response

    return answer


async def _caught(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except GithubError as error:
        return _error(error)
    except (BadCredentialsError, WorldFullError) as error:
        return _error(GithubError(401 if isinstance(error, BadCredentialsError) else 403, str(error)))
    except (NoSuchThingError, web.HTTPNotFound, web.HTTPMethodNotAllowed):
        return _error(GithubError(404, "Not Found"))
    except web.HTTPException as error:
        return _error(GithubError(error.status, error.reason))
    except ConnectionError:  # the caller hung up: there is nobody to tell
        raise
    except Exception:
        log.exception("the GitHub stand-in failed on %s %s", request.method, request.path)
        return _error(GithubError(500, "Server Error"))


def _error(error: GithubError) -> web.Response:
    body: JsonObject = {
        "message": error.message,
        "documentation_url": DOCUMENTATION,
        "status": str(error.status),
    }
    if error.errors:
        body["errors"] = [dict(each) for each in error.errors]
    return web.json_response(body, status=error.status)


def authenticate(auth: GithubAuth) -> Middleware:
    """A JWT for the App's own paths, an installation token for all others."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        authorization = request.headers.get("Authorization", "")
        if _APP_PATH.fullmatch(request.path):
            auth.check_jwt(authorization)
        else:
            request[GRANT] = auth.check_token(authorization)
        return await handler(request)

    return check


async def json_object(request: web.Request) -> JsonObject:
    """The request's JSON object; an empty body is an empty one."""
    text = await request.text()
    try:
        value: object = json.loads(text) if text else {}
    except ValueError:
        raise GithubError(400, "Problems parsing JSON") from None
    if not isinstance(value, dict):
        raise GithubError(400, "Body should be a JSON object")
    return cast("JsonObject", value)


async def comment_body(request: web.Request, resource: str) -> str:
    """The `body` of a new comment, within GitHub's limit."""
    body = (await json_object(request)).get("body")
    if not isinstance(body, str):
        raise GithubError(422, 'Invalid request.\n\n"body" wasn\'t supplied.')
    if len(body) > BODY_CHARS_MAX:
        raise unprocessable(resource, f"Body is too long (maximum is {BODY_CHARS_MAX} characters)")
    return body


def unprocessable(resource: str, reason: str, field: str = "data") -> GithubError:
    """The 422 with which GitHub refuses one field."""
    error = {"resource": resource, "code": "unprocessable", "field": field, "message": reason}
    return GithubError(422, "Validation Failed", error)


def number(request: web.Request, name: str) -> int:
    """A number from the path; anything else is a path GitHub does not have."""
    text = request.match_info[name]
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise NoSuchThingError(name)
    return int(text)


def page_size(request: web.Request) -> int:
    """`per_page`, at most PAGE_SIZE_MAX."""
    return min(_positive(request, "per_page", PAGE_SIZE), PAGE_SIZE_MAX)


def paged(request: web.Request, items: Sequence[_Item], wire: Callable[[_Item], JsonObject]) -> web.Response:
    """One page of a list, with the `Link` header that leads to the others."""
    size, page = page_size(request), _positive(request, "page", 1)
    last = max(1, -(-len(items) // size))
    leads: dict[str, int] = {}
    if page > 1:
        leads |= {"prev": page - 1, "first": 1}
    if page < last:
        leads |= {"next": page + 1, "last": last}
    links = [f'<{request.url.update_query(page=lead)}>; rel="{rel}"' for rel, lead in leads.items()]
    headers = {"Link": ", ".join(links)} if links else {}
    return web.json_response([wire(i) for i in items[(page - 1) * size : page * size]], headers=headers)


def _positive(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, "")
    return (
        int(text) if text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text) > 0 else default
    )
