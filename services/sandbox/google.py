"""Google Drive's API v3, as much of it as we call: `DriveMethods.table` is the whole of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware

from services.sandbox.google_docs import DocsMethods
from services.sandbox.google_document import body_of
from services.sandbox.google_domain import Action, File, RefusedError
from services.sandbox.google_methods import Call, Method, routes_of, worded
from services.sandbox.google_query import query
from services.sandbox.google_wire import JsonObject
from services.sandbox.google_world import GoogleWorld

CHANNEL_ID_CHARS_MAX, TOKEN_CHARS_MAX = 64, 256
EPOCH = "1970-01-01T00:00:00Z"


def build_google_app(world: GoogleWorld, faults: Middleware) -> web.Application:
    """To be mounted under `/google-drive`. Faults strike before credentials are looked at."""
    app = web.Application(middlewares=[faults, worded])
    app.add_routes(world.auth.routes())
    app.add_routes(routes_of(world, DriveMethods(world).table() | DocsMethods(world).table()))
    return app


class DriveMethods:
    """One function a method of Google's description."""

    def __init__(self, world: GoogleWorld) -> None:
        self._world = world
        self._state = world.state

    def table(self) -> dict[str, Method]:
        """Every method that answers, by its name in Google's description."""
        return {
            "drive.about.get": self.about,
            "drive.changes.getStartPageToken": self.start_page_token,
            "drive.changes.list": self.changes,
            "drive.changes.watch": self.watch_changes,
            "drive.channels.stop": self.stop_channel,
            "drive.comments.create": self.create_comment,
            "drive.comments.get": self.comment,
            "drive.comments.list": self.comments,
            "drive.files.create": self.create_file,
            "drive.files.get": self.file,
            "drive.files.list": self.files,
            "drive.files.watch": self.watch_file,
            "drive.replies.create": self.reply,
            "drive.replies.list": self.replies,
        }

    def about(self, call: Call) -> JsonObject:
        """Whose token it is."""
        return call.wire.about()

    def file(self, call: Call) -> JsonObject:
        """A file; one of a shared drive is there only for those who say they know such drives."""
        return call.wire.file(self._seen(call))

    def files(self, call: Call) -> JsonObject:
        """Files by a query, of which `google_query` knows as much as we ask."""
        wanted = query(call.get("q"), self._state.words)
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

    def create_file(self, call: Call) -> JsonObject:
        """A new file; of a document the content is read from the Markdown that comes with it."""
        told = call.body
        parents: list[str] = told.get("parents") or []
        drive_id = self._state.file(parents[0]).drive_id if parents else ""
        if drive_id and not call.flag("supportsAllDrives"):
            raise RefusedError(404, "notFound", f"File not found: {parents[0]}.")
        file = self._state.create_file(
            str(told.get("name") or "Untitled"),
            mime_type=str(told.get("mimeType") or "text/plain"),
            parents=parents,
            properties=told.get("appProperties") or {},
            body=body_of(call.media),
        )
        return call.wire.file(file)

    def create_comment(self, call: Call) -> JsonObject:
        """Comment as the account."""
        file = self._state.file(call.get("fileId"))
        content = str(call.body.get("content", ""))
        comment = self._state.add_comment(file, self._state.account, content)
        self._world.told(comment, None)
        return call.wire.comment(comment)

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
