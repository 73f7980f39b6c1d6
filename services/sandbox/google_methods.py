"""One request of one of Google's APIs: signed in, checked with Google's description, answered in part.

Each request is checked with Google's own description of the method, and each answer holds only the fields
that were asked for, as Google's do. What the methods do is `google.py`'s and `google_docs.py`'s.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from aiohttp import BodyPartReader, web
from aiohttp.typedefs import Handler

from services.sandbox.google_discovery import check, description
from services.sandbox.google_domain import RefusedError
from services.sandbox.google_fields import partial
from services.sandbox.google_wire import GoogleWire, JsonObject
from services.sandbox.google_world import GoogleWorld

PREFIXES: Mapping[str, str] = {"drive": "/drive/v3/", "docs": "/"}
"""What stands before the paths in the description of each API."""
FIELDS_REQUIRED = frozenset(
    {"drive.about.get", "drive.comments.create", "drive.comments.get", "drive.comments.list"}
)
"""Google refuses these without `fields`, though its description does not say so."""
DEFAULT_FIELDS = {
    "drive.files.get": "kind,id,name,mimeType",
    "drive.files.create": "kind,id,name,mimeType",
    "drive.files.list": "kind,nextPageToken,files(id,name)",
}
"""Google's own choice where nothing is asked for; of files it is a few."""
_STATUSES = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}
log = logging.getLogger(__name__)


Json: TypeAlias = "dict[str, Any]"


class Call:
    """One request: parameters of path and query, the body, and what was uploaded with it."""

    def __init__(self, parameters: Mapping[str, str], body: Json, wire: GoogleWire, media: str = "") -> None:
        self.parameters = parameters
        self.body = body
        self.wire = wire
        self.media = media

    def get(self, name: str) -> str:
        """A parameter; empty: not given."""
        return self.parameters.get(name, "")

    def flag(self, name: str) -> bool:
        """Whether a parameter is true."""
        return self.get(name) == "true"


Method: TypeAlias = Callable[[Call], JsonObject | None]


@web.middleware
async def worded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Failures in Google's words."""
    try:
        return await handler(request)
    except RefusedError as error:
        return _failure(request, error.status, error.reason, str(error))
    except web.HTTPNotFound:
        return _failure(request, 404, "notFound", "Not Found")
    except ConnectionError:  # the caller hung up: there is nobody to tell
        raise
    except Exception:
        log.exception("the Google stand-in failed on %s", request.path)
        return _failure(request, 500, "internalError", "Internal Error")


def error_body(status: int, reason: str, message: str) -> JsonObject:
    """How Drive words a failure."""
    one = {"domain": "global", "reason": reason, "message": message}
    return {"error": {"code": status, "message": message, "errors": [one]}}


def routes_of(world: GoogleWorld, methods: Mapping[str, Method]) -> list[web.RouteDef]:
    """Paths and verbs as the descriptions have them; fixed ones before those with a name in them."""
    told = {name: description(_api(name))["methods"][name] for name in methods}
    ordered = sorted(told, key=lambda name: told[name]["path"].count("{"))
    routes: list[web.RouteDef] = []
    for name in ordered:
        facts, answer = told[name], _answering(world, name, methods[name])
        routes.append(web.route(facts["httpMethod"], PREFIXES[_api(name)] + facts["path"], answer))
        if "uploadPath" in facts:
            routes.append(web.post(facts["uploadPath"], answer))
    return routes


def _answering(
    world: GoogleWorld, name: str, method: Method
) -> Callable[[web.Request], Awaitable[web.Response]]:
    known = description(_api(name))
    response = known["methods"][name].get("response")

    async def answer(request: web.Request) -> web.Response:
        world.auth.check(request.headers.get("Authorization", ""))
        parameters, (body, media) = {**request.query, **request.match_info}, await _sent(request)
        uploaded = parameters.pop("uploadType", "")
        if uploaded != ("multipart" if request.content_type == "multipart/related" else ""):
            raise RefusedError(400, "badRequest", "The upload type is not that of the content.")
        check(name, parameters, body)
        fields = parameters.get("fields", "") or DEFAULT_FIELDS.get(name, "")
        if not fields and name in FIELDS_REQUIRED:
            raise RefusedError(400, "required", "The 'fields' parameter is required for this method.")
        told = method(Call(parameters, body or {}, world.wire(str(request.url.origin())), media))
        if told is None:
            return web.Response(status=204)
        if not fields:
            return web.json_response(told)
        return web.json_response(partial(told, fields, response, known["schemas"]))

    return answer


async def _sent(request: web.Request) -> tuple[Any, str]:
    """The body as JSON, and the text that came with it."""
    if request.content_type != "multipart/related":
        return _parsed(await request.text()), ""
    parts = [
        await part.text(encoding="utf-8")
        async for part in await request.multipart()
        if isinstance(part, BodyPartReader)
    ]
    if len(parts) != 2:
        raise RefusedError(400, "badContent", "An upload has two parts: what it is, and the content.")
    return _parsed(parts[0]), parts[1]


def _parsed(text: str) -> Any:
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        raise RefusedError(400, "parseError", "Parse Error") from None


def _failure(request: web.Request, status: int, reason: str, message: str) -> web.Response:
    if "/v1/documents" not in request.path:
        return web.json_response(error_body(status, reason, message), status=status)
    told = {"code": status, "message": message, "status": _STATUSES.get(status, "INTERNAL")}
    return web.json_response({"error": told}, status=status)


def _api(name: str) -> str:
    return name.partition(".")[0]
