"""Google Drive's API v3, as much of it as we call: `DriveMethods.table` is the whole of it.

Each request is checked with Google's own description of the method, and each answer holds only the fields
that were asked for, as Google's do.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from services.sandbox.google_discovery import check, description
from services.sandbox.google_domain import Action, File, RefusedError
from services.sandbox.google_fields import partial
from services.sandbox.google_query import query
from services.sandbox.google_wire import GoogleWire, JsonObject
from services.sandbox.google_world import GoogleWorld

PREFIX = "/drive/v3"
CHANNEL_ID_CHARS_MAX, TOKEN_CHARS_MAX = 64, 256
FIELDS_REQUIRED = frozenset({"about.get", "comments.get", "comments.list"})
"""Google refuses these without `fields`, though its description does not say so."""
DEFAULT_FIELDS = {"files.get": "kind,id,name,mimeType", "files.list": "kind,nextPageToken,files(id,name)"}
"""Google's own choice where nothing is asked for; of files it is a few."""
EPOCH = "1970-01-01T00:00:00Z"
log = logging.getLogger(__name__)


class Call:
    """One request: parameters of path and query, and the body."""

    def __init__(self, parameters: Mapping[str, str], body: JsonObject, wire: GoogleWire) -> None:
        self.parameters = parameters
        self.body = body
        self.wire = wire

    def get(self, name: str) -> str:
        """A parameter; empty: not given."""
        return self.parameters.get(name, "")

    def flag(self, name: str) -> bool:
        """Whether a parameter is true."""
        return self.get(name) == "true"


Method: TypeAlias = Callable[[Call], JsonObject | None]


def build_google_app(world: GoogleWorld, faults: Middleware) -> web.Application:
    """To be mounted under `/google-drive`. Faults strike before credentials are looked at."""
    app = web.Application(middlewares=[faults, _worded])
    app.add_routes(world.auth.routes())
    app.add_routes(DriveMethods(world).routes())
    return app


@web.middleware
async def _worded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Failures in Google's words."""
    try:
        return await handler(request)
    except RefusedError as error:
        return web.json_response(error_body(error.status, error.reason, str(error)), status=error.status)
    except web.HTTPNotFound:
        return web.json_response(error_body(404, "notFound", "Not Found"), status=404)
    except Exception:
        log.exception("the Google stand-in failed on %s", request.path)
        return web.json_response(error_body(500, "internalError", "Internal Error"), status=500)


def error_body(status: int, reason: str, message: str) -> JsonObject:
    """How Google words a failure."""
    one = {"domain": "global", "reason": reason, "message": message}
    return {"error": {"code": status, "message": message, "errors": [one]}}


class DriveMethods:
    """One function a method of Google's description."""

    def __init__(self, world: GoogleWorld) -> None:
        self._world = world
        self._state = world.state

    def table(self) -> Mapping[str, Method]:
        """Every method that answers, by its name in Google's description."""
        return {
            "about.get": self.about,
            "changes.getStartPageToken": self.start_page_token,
            "changes.list": self.changes,
            "changes.watch": self.watch_changes,
            "channels.stop": self.stop_channel,
            "comments.get": self.comment,
            "comments.list": self.comments,
            "files.get": self.file,
            "files.list": self.files,
            "files.watch": self.watch_file,
            "replies.create": self.reply,
            "replies.list": self.replies,
        }

    def routes(self) -> list[web.RouteDef]:
        """Paths and verbs as the description has them; fixed ones before those with a name in them."""
        told = {name: description()["methods"][f"drive.{name}"] for name in self.table()}
        ordered = sorted(told, key=lambda name: told[name]["path"].count("{"))
        return [
            web.route(told[name]["httpMethod"], f"{PREFIX}/{told[name]['path']}", self._answer(name))
            for name in ordered
        ]

    def _answer(self, name: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        method, response = self.table()[name], description()["methods"][f"drive.{name}"].get("response")

        async def answer(request: web.Request) -> web.Response:
            self._world.auth.check(request.headers.get("Authorization", ""))
            parameters, body = {**request.query, **request.match_info}, await _body(request)
            check(name, parameters, body)
            fields = parameters.get("fields", "") or DEFAULT_FIELDS.get(name, "")
            if not fields and name in FIELDS_REQUIRED:
                raise RefusedError(400, "required", "The 'fields' parameter is required for this method.")
            told = method(Call(parameters, body or {}, self._world.wire(str(request.url.origin()))))
            if told is None:
                return web.Response(status=204)
            if not fields:
                return web.json_response(told)
            return web.json_response(partial(told, fields, response, description()["schemas"]))

        return answer

    def about(self, call: Call) -> JsonObject:
        """Whose token it is."""
        return call.wire.about()

    def file(self, call: Call) -> JsonObject:
        """A file; one of a shared drive is there only for those who say they know such drives."""
        return call.wire.file(self._seen(call))

    def files(self, call: Call) -> JsonObject:
        """Files by a query: `'<id>' in parents`, `mimeType`, `trashed`, joined by and / or."""
        wanted = query(call.get("q"))
        found = [
            each
            for each in self._state.files()
            if wanted(each)
            and (not each.drive_id or call.flag("includeItemsFromAllDrives"))
            and (not call.get("driveId") or each.drive_id == call.get("driveId"))
        ]
        page, following = _page(found, call, 100)
        return {
            "kind": "drive#fileList",
            "files": [call.wire.file(each) for each in page],
            "incompleteSearch": False,
            **following,
        }

    def comment(self, call: Call) -> JsonObject:
        """One comment; a deleted one is gone for those who do not ask for such."""
        comment = self._state.comment(call.get("fileId"), call.get("commentId"))
        if comment.deleted and not call.flag("includeDeleted"):
            raise RefusedError(404, "notFound", f"Comment not found: {comment.id}.")
        return call.wire.comment(comment)

    def comments(self, call: Call) -> JsonObject:
        """A file's comments; `startModifiedTime` counts itself."""
        since = _moment(call.get("startModifiedTime") or EPOCH)
        found = [
            each
            for each in self._state.comments(call.get("fileId"))
            if each.modified >= since and (not each.deleted or call.flag("includeDeleted"))
        ]
        page, following = _page(found, call, 20)
        comments = [call.wire.comment(each) for each in page]
        return {"kind": "drive#commentList", "comments": comments, **following}

    def reply(self, call: Call) -> JsonObject:
        """Reply as the account."""
        comment = self._state.comment(call.get("fileId"), call.get("commentId"))
        if comment.deleted:
            raise RefusedError(404, "notFound", f"Comment not found: {comment.id}.")
        action = str(call.body.get("action", ""))
        if action not in set(Action):
            raise RefusedError(400, "invalid", f"Invalid value for action: {action[:40]}")
        content = str(call.body.get("content", ""))
        reply = self._state.add_reply(comment, self._state.account, content, Action(action))
        self._world.told(comment, reply)
        return call.wire.reply(reply)

    def replies(self, call: Call) -> JsonObject:
        """The replies to a comment."""
        comment = self._state.comment(call.get("fileId"), call.get("commentId"))
        found = [each for each in comment.replies if not each.deleted or call.flag("includeDeleted")]
        page, following = _page(found, call, 20)
        return {
            "kind": "drive#replyList",
            "replies": [call.wire.reply(each) for each in page],
            **following,
        }

    def start_page_token(self, call: Call) -> JsonObject:
        """Where the log of changes ends now."""
        del call
        token = str(len(self._state.log) + 1)
        return {"kind": "drive#startPageToken", "startPageToken": token}

    def changes(self, call: Call) -> JsonObject:
        """The log from a token on."""
        token = call.get("pageToken")
        if not (token.isascii() and token.isdecimal()):
            raise RefusedError(400, "invalid", f"Invalid Value: pageToken {token[:40]}")
        begin, limit = max(0, int(token) - 1), int(call.get("pageSize") or 100)
        end = min(len(self._state.log), begin + limit)
        shown = [
            {
                "kind": "drive#change",
                "changeType": "file",
                "fileId": file.id,
                "removed": False,
                "time": call.wire.file(file)["createdTime"],
                "file": call.wire.file(file),
            }
            for file, _ in self._state.log[begin:end]
            if file.drive_id == call.get("driveId")
        ]
        whole = end >= len(self._state.log)
        following = {"newStartPageToken" if whole else "nextPageToken": str(end + 1)}
        return {"kind": "drive#changeList", "changes": shown, **following}

    def watch_file(self, call: Call) -> JsonObject:
        """Tell somebody of changes of a file."""
        return self._watch(call, self._seen(call).id)

    def watch_changes(self, call: Call) -> JsonObject:
        """Tell somebody of all changes."""
        return self._watch(call, "")

    def stop_channel(self, call: Call) -> None:
        """Tell them no more."""
        self._state.close_channel(str(call.body.get("id", "")), str(call.body.get("resourceId", "")))

    def _seen(self, call: Call) -> File:
        file = self._state.file(call.get("fileId"))
        if file.drive_id and not call.flag("supportsAllDrives"):
            raise RefusedError(404, "notFound", f"File not found: {file.id}.")
        return file

    def _watch(self, call: Call, file_id: str) -> JsonObject:
        told = {name: str(value) for name, value in call.body.items()}
        channel_id, address, token = (told.get(name, "") for name in ("id", "address", "token"))
        if not 1 <= len(channel_id) <= CHANNEL_ID_CHARS_MAX or len(token) > TOKEN_CHARS_MAX:
            raise RefusedError(400, "channelIdInvalid", "The channel's id or token is missing or too long.")
        if told.get("type") not in ("web_hook", "webhook"):
            raise RefusedError(400, "unknownChannelType", "The channel's type is not known.")
        # Google wants HTTPS; here a receiver on this machine will do.
        if not re.match(r"https://|http://(127\.0\.0\.1|localhost)[:/]", address):
            raise RefusedError(400, "push.webhookUrlNotHttps", "WebHook callback must be HTTPS")
        millis = told.get("expiration", "")
        wanted = datetime.fromtimestamp(int(millis) / 1000, UTC) if millis.isdecimal() else None
        opened = self._state.open_channel(
            channel_id,
            file_id=file_id,
            drive_id=call.get("driveId"),
            address=address,
            token=token,
            wanted=wanted,
        )
        self._world.hooks.sync(opened)
        return call.wire.channel(opened)


async def _body(request: web.Request) -> Any:
    text = await request.text()
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        raise RefusedError(400, "parseError", "Parse Error") from None


def _page(found: Sequence[Any], call: Call, default: int) -> tuple[Sequence[Any], JsonObject]:
    token = call.get("pageToken") or "0"
    if not (token.isascii() and token.isdecimal()):
        raise RefusedError(400, "invalid", "Invalid Value: pageToken")
    begin = int(token)
    end = begin + int(call.get("pageSize") or default)
    return found[begin:end], {"nextPageToken": str(end)} if end < len(found) else {}


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise RefusedError(400, "invalid", f"Invalid value for startModifiedTime: {text[:40]}") from None
