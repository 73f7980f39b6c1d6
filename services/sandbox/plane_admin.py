"""The Plane half of the admin API, under `/_sandbox/plane/`: act as a person, read what came of it.

Whatever a person does here sends the webhooks Plane would send; the answer says how first attempts went.
"""

from __future__ import annotations

from typing import Annotated, Literal

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import StringConstraints

from services.sandbox.admin import AdminBody, delivery_json, parsed
from services.sandbox.plane_domain import (
    HTML_CHARS_MAX,
    Comment,
    ExternalIdTakenError,
    NoSuchThingError,
    Person,
    RefusedError,
    Standing,
    WorkItem,
)
from services.sandbox.plane_hooks import Notice
from services.sandbox.plane_world import PlaneWorld

Name = Annotated[str, StringConstraints(pattern=r"^\w[\w./ -]{0,199}$")]
Author = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,38}$")]
Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-f-]{36}$")]
Text = Annotated[str, StringConstraints(max_length=HTML_CHARS_MAX)]


class ProjectBody(AdminBody):
    """A project by name."""

    name: Name


class ActBody(AdminBody):
    """What everything a person does has. `deliver` false: its webhooks are lost on their way."""

    author: Author = "maria"
    standing: Standing = Standing.MEMBER
    is_bot: bool = False
    deliver: bool = True


class ItemBody(ActBody):
    """A new work item. In every text `@atlas` becomes the bot's mention, as in Plane's own editor."""

    project: Name
    name: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    text: Text = ""


class ItemChangeBody(ActBody):
    """A new description."""

    work_item: Id
    text: Text


class CommentBody(ActBody):
    """What is said. `html` instead of `text`: the comment's own HTML. `by_plane`: nobody wrote it."""

    work_item: Id
    text: Text = ""
    html: Text = ""
    access: Literal["INTERNAL", "EXTERNAL"] = "INTERNAL"
    external_source: Author | None = None
    by_plane: bool = False


class CommentChangeBody(ActBody):
    """An edit; empty text deletes."""

    work_item: Id
    comment: Id
    text: Text = ""


class WebhookBody(AdminBody):
    """An empty address: nothing is delivered. An empty version: as it was."""

    url: Annotated[str, StringConstraints(max_length=2_000)]
    version: Literal["", "v1", "v2"] = ""


@web.middleware
async def readable_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What Plane refuses is answered with 422 and its words."""
    try:
        return await handler(request)
    except (RefusedError, NoSuchThingError, ExternalIdTakenError) as error:
        return web.json_response({"message": str(error)}, status=422)


class PlaneAdminRoutes:
    """`table` is the whole of it."""

    def __init__(self, world: PlaneWorld) -> None:
        self._world = world
        self._state = world.state

    def table(self) -> list[web.RouteDef]:
        """Paths below `/_sandbox/plane`."""
        return [
            web.post("/projects", self.add_project),
            web.post("/work-items", self.add_item),
            web.put("/work-items", self.change_item),
            web.post("/comments", self.add_comment),
            web.put("/comments", self.change_comment),
            web.get("/threads/{item}", self.read_thread),
            web.get("/work-items", self.list_items),
            web.put("/webhook", self.set_webhook),
        ]

    async def add_project(self, request: web.Request) -> web.Response:
        """201 with its id and whether webhooks lead anywhere; the same name again changes nothing."""
        project = self._state.add_project((await parsed(request, ProjectBody)).name)
        return web.json_response({"id": project.id, "wired": bool(self._world.hooks.url)}, status=201)

    async def add_item(self, request: web.Request) -> web.Response:
        """201 with its id, address and deliveries."""
        body = await parsed(request, ItemBody)
        project = self._state.add_project(body.project)
        item = self._state.add_item(project, self._by(body), body.name, self._world.typed(body.text))
        return await self._done(request, item, None, self._world.hooks.item_created(item), body)

    async def change_item(self, request: web.Request) -> web.Response:
        """201 like `add_item`."""
        body = await parsed(request, ItemChangeBody)
        before = self._state.item(body.work_item)
        after = self._state.change_item(before, html=self._world.typed(body.text))
        notices = self._world.hooks.item_changed(before, after, self._by(body))
        return await self._done(request, after, None, notices, body)

    async def add_comment(self, request: web.Request) -> web.Response:
        """201 with its id, address and deliveries."""
        body = await parsed(request, CommentBody)
        item = self._state.item(body.work_item)
        comment = self._state.add_comment(
            item,
            None if body.by_plane else self._by(body),
            body.html or self._world.typed(body.text),
            access=body.access,
            external_source=body.external_source,
        )
        return await self._done(request, item, comment, self._world.hooks.comment_created(comment), body)

    async def change_comment(self, request: web.Request) -> web.Response:
        """201 like `add_comment`."""
        body = await parsed(request, CommentChangeBody)
        item = self._state.item(body.work_item)
        before = self._state.comment(item, body.comment)
        after = self._state.edit(before, self._world.typed(body.text)) if body.text else None
        if after is None:
            self._state.delete(before)
        return await self._done(request, item, before, self._world.hooks.comment_changed(before, after), body)

    async def read_thread(self, request: web.Request) -> web.Response:
        """A work item's comments, oldest first."""
        item = self._state.item(request.match_info["item"])
        origin = str(request.url.origin())
        comments = [self._read(each, origin) for each in self._state.comments(item)]
        return web.json_response({"comments": comments})

    async def list_items(self, request: web.Request) -> web.Response:
        """Every work item, in the order they were filed."""
        del request
        return web.json_response({"work_items": [self._read_item(each) for each in self._state.items()]})

    async def set_webhook(self, request: web.Request) -> web.Response:
        """Where later webhooks go: a composer learns its gateway's port only after the sandbox runs."""
        body = await parsed(request, WebhookBody)
        self._world.hooks.direct_to(body.url)
        self._world.hooks.version = body.version or self._world.hooks.version
        return web.Response(status=204)

    def _by(self, body: ActBody) -> Person:
        return self._state.person(body.author, body.standing, is_bot=body.is_bot)

    async def _done(
        self,
        request: web.Request,
        item: WorkItem,
        comment: Comment | None,
        notices: list[Notice],
        body: ActBody,
    ) -> web.Response:
        deliveries = await self._world.hooks.deliver(notices) if body.deliver else []
        answer = {
            "project": item.project.id,
            "work_item": item.id,
            "comment": comment.id if comment else "",
            "permalink": self._world.link(str(request.url.origin()), item, comment),
            "deliveries": [delivery_json(each) for each in deliveries],
        }
        return web.json_response(answer, status=201)

    def _read_item(self, item: WorkItem) -> dict[str, object]:
        return {
            "work_item": item.id,
            "identifier": item.identifier,
            "name": item.name,
            "html": item.html,
            "state": item.state.name,
            "priority": item.priority,
            "by_app": item.by.id == self._state.bot.id,
        }

    def _read(self, comment: Comment, origin: str) -> dict[str, object]:
        return {
            "id": comment.id,
            "author": comment.by.name if comment.by else "",
            "by_app": comment.by is not None and comment.by.id == self._state.bot.id,
            "html": comment.html,
            "text": self._world.readable(comment.html),
            "external_source": comment.external_source,
            "external_id": comment.external_id,
            "permalink": self._world.link(origin, comment.item, comment),
        }
