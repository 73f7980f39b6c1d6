"""Plane's REST API, first version, as much of it as we call: `PlaneRoutes.table` is the whole of it.

Plane leaves out of account what it does not know in a body; here that is an error, so that a typing mistake
does not pass.
"""

from __future__ import annotations

import hmac
import logging
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from services.sandbox.plane_domain import ExternalIdTakenError, NoSuchThingError, RefusedError, WorkItem
from services.sandbox.plane_http import json_object, paged
from services.sandbox.plane_item_routes import PlaneItemRoutes
from services.sandbox.plane_world import PlaneWorld, utc_now

WINDOW_SECONDS = 60
COMMENT_FIELDS = frozenset(
    {"comment_html", "comment_json", "access", "external_source", "external_id", "parent"}
)
THROTTLED: Mapping[str, object] = {"error_code": 5900, "error_message": "RATE_LIMIT_EXCEEDED"}
BROKEN: Mapping[str, object] = {"error": "Something went wrong please try again later"}
log = logging.getLogger(__name__)


def build_plane_app(world: PlaneWorld, faults: Middleware) -> web.Application:
    """To be mounted under `/plane`. Faults strike before credentials are looked at."""
    known = door(world.settings.api_key, world.settings.rate_limit_per_minute)
    app = web.Application(middlewares=[faults, known, readable_errors])
    app.add_routes(PlaneRoutes(world).table())
    return app


@web.middleware
async def readable_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What Plane refuses, in its own words."""
    try:
        return await handler(request)
    except (NoSuchThingError, web.HTTPNotFound):
        return web.json_response({"error": "The requested resource does not exist."}, status=404)
    except ExternalIdTakenError as error:
        return web.json_response({"error": str(error), "id": error.holder_id}, status=409)
    except RefusedError as error:
        return web.json_response({"error": str(error)}, status=400)
    except ConnectionError:  # the caller hung up: there is nobody to tell
        raise
    except Exception:
        log.exception("the Plane stand-in failed on %s", request.path)
        return web.json_response(BROKEN, status=500)


def door(api_key: str, per_minute: int, clock: Callable[[], datetime] = utc_now) -> Middleware:
    """Knows the one key, and counts its calls over the last minute; a call that is refused is not counted."""
    calls: deque[float] = deque()

    @web.middleware
    async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not hmac.compare_digest(request.headers.get("X-Api-Key", "").encode(), api_key.encode()):
            return web.json_response({"detail": "Given API token is not valid"}, status=401)
        now = clock().timestamp()
        while calls and calls[0] <= now - WINDOW_SECONDS:
            calls.popleft()
        if len(calls) >= per_minute:
            wait = max(1, round(calls[0] + WINDOW_SECONDS - now))
            return web.json_response(THROTTLED, status=429, headers={"Retry-After": str(wait)})
        calls.append(now)
        answer = await handler(request)
        answer.headers["X-RateLimit-Remaining"] = str(per_minute - len(calls))
        answer.headers["X-RateLimit-Reset"] = str(int(now + WINDOW_SECONDS))
        return answer

    return admit


class PlaneRoutes:
    """Paths below `/plane`; the slash at their end is part of them."""

    def __init__(self, world: PlaneWorld) -> None:
        self._world = world
        self._state = world.state
        self._wire = world.wire

    def table(self) -> list[web.RouteDef]:
        """Every route that answers."""
        workspace = "/api/v1/workspaces/" + self._world.settings.workspace
        items = workspace + "/projects/{project}/work-items/"
        comments = items + "{item}/comments/"
        return [
            web.get("/api/v1/users/me/", self.me),
            web.get(workspace + "/members/", self.members),
            *PlaneItemRoutes(self._world).table(workspace),
            web.get(comments, self.list_comments),
            web.post(comments, self.add_comment),
            web.get(comments + "{comment}/", self.comment),
        ]

    async def me(self, request: web.Request) -> web.Response:
        """Whose key it is."""
        del request
        return web.json_response(self._wire.user(self._state.bot))

    async def members(self, request: web.Request) -> web.Response:
        """Everybody in the workspace, in one piece."""
        del request
        return web.json_response([self._wire.member(each) for each in self._state.members()])

    async def list_comments(self, request: web.Request) -> web.Response:
        """A work item's comments, the newest first."""
        comments = reversed(self._state.comments(self._item(request)))
        return paged(request, [self._wire.comment(each) for each in comments])

    async def comment(self, request: web.Request) -> web.Response:
        """One comment."""
        comment = self._state.comment(self._item(request), request.match_info["comment"])
        return web.json_response(self._wire.comment(comment))

    async def add_comment(self, request: web.Request) -> web.Response:
        """Write as the key's user, and tell the webhook of it, as Plane does."""
        told = await json_object(request)
        if unknown := told.keys() - COMMENT_FIELDS:
            raise RefusedError(f"unknown: {', '.join(sorted(unknown))}")
        if told.get("access", "INTERNAL") not in ("INTERNAL", "EXTERNAL"):
            raise RefusedError("access: not a valid choice.")
        comment = self._state.add_comment(
            self._item(request),
            self._state.bot,
            str(told.get("comment_html", "<p></p>")),
            access=told.get("access", "INTERNAL"),
            external_source=told.get("external_source"),
            external_id=told.get("external_id"),
        )
        self._world.hooks.deliver_later(self._world.hooks.comment_created(comment))
        return web.json_response(self._wire.comment(comment), status=201)

    def _item(self, request: web.Request) -> WorkItem:
        path = request.match_info
        return self._state.item(path["item"], self._state.project(path["project"]).id)
