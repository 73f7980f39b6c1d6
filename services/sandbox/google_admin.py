"""The Google half of the admin API, under `/_sandbox/google-drive/`: act as a person, read what came of it.

Whatever a person does here is told as Google would tell it; the answer says how the first attempts went.
"""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import StringConstraints

from services.sandbox.admin import AdminBody, delivery_json, parsed
from services.sandbox.google_document import body_of, text_of
from services.sandbox.google_domain import (
    CONTENT_CHARS_MAX,
    DOCUMENT,
    Action,
    Comment,
    LinkRole,
    RefusedError,
    Reply,
)
from services.sandbox.google_wire import GoogleWire
from services.sandbox.google_world import GoogleWorld
from services.sandbox.webhooks import Letter

DOCUMENT_CHARS_MAX = 500_000
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Id = Annotated[str, StringConstraints(pattern=r"^[\w-]{1,128}$")]
OptionalId = Annotated[str, StringConstraints(pattern=r"^[\w-]{0,128}$")]
Author = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,38}$")]
Text = Annotated[str, StringConstraints(max_length=CONTENT_CHARS_MAX)]


class FileBody(AdminBody):
    """A document, or with another `mime_type` a folder; `link_role`: what anybody with the link may do.

    `read_only`: the account may not change it.
    """

    name: Name
    mime_type: str = DOCUMENT
    parent: OptionalId = ""
    drive_id: OptionalId = ""
    link_role: LinkRole = LinkRole.NONE
    read_only: bool = False


class DocumentBody(AdminBody):
    """All that shall stand in a document, in Markdown."""

    file_id: Id
    text: Annotated[str, StringConstraints(max_length=DOCUMENT_CHARS_MAX)]


class ActBody(AdminBody):
    """What everything a person does has. `deliver` false: nothing tells of it."""

    file_id: Id
    author: Author = "maria"
    deliver: bool = True


class CommentBody(ActBody):
    """A comment, on a passage if one is quoted."""

    content: Text
    quoted: Text = ""


class ReplyBody(ActBody):
    """A reply; with an action it may be without words."""

    comment_id: Id
    content: Text = ""
    action: Action = Action.NONE


class EditBody(ActBody):
    """An edit of a comment or a reply; empty content deletes."""

    comment_id: Id
    reply_id: OptionalId = ""
    content: Text = ""


class WebhookBody(AdminBody):
    """Where Pub/Sub pushes events to. Empty: nowhere."""

    url: Annotated[str, StringConstraints(max_length=2_000)]


@web.middleware
async def readable_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What Google refuses is answered with 422 and its words."""
    try:
        return await handler(request)
    except RefusedError as error:
        return web.json_response({"message": str(error)}, status=422)


class GoogleAdminRoutes:
    """`table` is the whole of it."""

    def __init__(self, world: GoogleWorld) -> None:
        self._world = world
        self._state = world.state

    def table(self) -> list[web.RouteDef]:
        """Paths below `/_sandbox/google-drive`."""
        return [
            web.post("/files", self.add_file),
            web.put("/documents", self.write_document),
            web.get("/documents/{file_id}", self.read_document),
            web.post("/comments", self.add_comment),
            web.post("/replies", self.add_reply),
            web.put("/comments", self.edit),
            web.get("/threads/{file_id}/{comment_id}", self.read_thread),
            web.get("/channels", self.list_channels),
            web.delete("/channels", self.expire_channels),
            web.delete("/tokens", self.forget_tokens),
            web.put("/webhook", self.set_webhook),
        ]

    async def add_file(self, request: web.Request) -> web.Response:
        """201 with its id, link and whether anything is told of it; the same name again changes nothing."""
        body = await parsed(request, FileBody)
        file = self._state.add_file(
            body.name,
            mime_type=body.mime_type,
            parent=body.parent,
            drive_id=body.drive_id,
            link_role=body.link_role,
            read_only=body.read_only,
        )
        wired = bool(self._world.hooks.events_url or self._state.channels())
        answer = {"id": file.id, "url": self._wire(request).link(file), "wired": wired}
        return web.json_response(answer, status=201)

    async def write_document(self, request: web.Request) -> web.Response:
        """204; as if a person had written it."""
        body = await parsed(request, DocumentBody)
        before, written = self._state.document(body.file_id), body_of(body.text)
        written.revision = before.revision + 1
        self._state.set_document(self._state.file(body.file_id), written)
        return web.Response(status=204)

    async def read_document(self, request: web.Request) -> web.Response:
        """Its paragraphs in order, and the names of its ranges with the words they are on."""
        body = self._state.document(request.match_info["file_id"])
        ranges = [
            {"name": each.name, "text": text_of(body.units[each.begin : each.end])} for each in body.ranges
        ]
        shown = [
            {"text": words, "style": unit.style, "preset": unit.preset} for words, unit in body.paragraphs()
        ]
        return web.json_response({"paragraphs": shown, "ranges": ranges})

    async def add_comment(self, request: web.Request) -> web.Response:
        """201 with its id, link and deliveries."""
        body = await parsed(request, CommentBody)
        file, by = self._state.file(body.file_id), self._state.person(body.author)
        comment = self._state.add_comment(file, by, body.content, quoted=body.quoted)
        return await self._done(request, comment, None, self._world.hooks.told(comment, None), body)

    async def add_reply(self, request: web.Request) -> web.Response:
        """201 like `add_comment`."""
        body = await parsed(request, ReplyBody)
        comment = self._state.comment(body.file_id, body.comment_id)
        by = self._state.person(body.author)
        reply = self._state.add_reply(comment, by, body.content, body.action)
        return await self._done(request, comment, reply, self._world.hooks.told(comment, reply), body)

    async def edit(self, request: web.Request) -> web.Response:
        """201 like `add_comment`."""
        body = await parsed(request, EditBody)
        comment = self._state.comment(body.file_id, body.comment_id)
        self._state.edit(comment, body.reply_id, body.content)
        letters = self._world.hooks.changed(comment, body.reply_id, deleted=not body.content)
        return await self._done(request, comment, None, letters, body)

    async def read_thread(self, request: web.Request) -> web.Response:
        """A comment and its replies, oldest first."""
        comment = self._state.comment(request.match_info["file_id"], request.match_info["comment_id"])
        items: list[Comment | Reply] = [comment, *comment.replies]
        shown = [self._read(request, comment, each) for each in items]
        return web.json_response({"messages": shown, "resolved": comment.resolved})

    async def list_channels(self, request: web.Request) -> web.Response:
        """The channels that live, oldest first."""
        del request
        shown = [
            {"id": each.id, "file_id": each.file_id, "drive_id": each.drive_id, "address": each.address}
            for each in self._state.channels()
        ]
        return web.json_response({"channels": shown})

    async def expire_channels(self, request: web.Request) -> web.Response:
        """As if the time of all channels were over."""
        del request
        return web.json_response({"expired": self._state.expire_channels()})

    async def forget_tokens(self, request: web.Request) -> web.Response:
        """As if all access tokens had expired."""
        del request
        self._world.auth.forget_tokens()
        return web.Response(status=204)

    async def set_webhook(self, request: web.Request) -> web.Response:
        """Where later events go: a composer learns its gateway's port only after the sandbox runs."""
        self._world.hooks.events_url = (await parsed(request, WebhookBody)).url
        return web.Response(status=204)

    def _wire(self, request: web.Request) -> GoogleWire:
        return self._world.wire(str(request.url.origin()))

    async def _done(
        self,
        request: web.Request,
        comment: Comment,
        reply: Reply | None,
        letters: list[Letter],
        body: ActBody,
    ) -> web.Response:
        deliveries = await self._world.send(letters) if body.deliver else []
        reply_id = reply.id if reply else ""
        answer = {
            "file_id": comment.file.id,
            "comment_id": comment.id,
            "reply_id": reply_id,
            "link": self._wire(request).link(comment.file, comment.id, reply_id),
            "deliveries": [delivery_json(each) for each in deliveries],
        }
        return web.json_response(answer, status=201)

    def _read(self, request: web.Request, comment: Comment, item: Comment | Reply) -> dict[str, object]:
        reply_id = item.id if isinstance(item, Reply) else ""
        return {
            "id": item.id,
            "author": item.author.name,
            "by_account": item.author.email == self._state.account.email,
            "content": item.content,
            "action": str(item.action) if isinstance(item, Reply) else "",
            "link": self._wire(request).link(comment.file, comment.id, reply_id),
        }
