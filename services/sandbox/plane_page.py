"""Shows Plane's work items on the sandbox's page, and lets a person comment there as in Plane."""

from __future__ import annotations

import re

from aiohttp import web

from services.sandbox.page import Post, ThreadPage, Typed, VendorPage
from services.sandbox.plane_domain import Comment, RefusedError, Standing, WorkItem
from services.sandbox.plane_hooks import VENDOR
from services.sandbox.plane_world import PlaneWorld

COMMENT = "comment"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,38}")


def plane_page(world: PlaneWorld) -> VendorPage:
    """What the page needs to know of Plane."""
    shelf = _Shelf(world)
    return VendorPage(VENDOR, "maria", list(Standing), shelf.threads, shelf.thread, shelf.say)


class _Shelf:
    def __init__(self, world: PlaneWorld) -> None:
        self._world = world
        self._state = world.state

    def threads(self) -> list[ThreadPage]:
        return [self._shown(item) for item in self._state.items()]

    def thread(self, path: str) -> ThreadPage | None:
        item = self._find(path)
        return item and self._shown(item)

    async def say(self, request: web.Request, path: str, typed: Typed) -> None:
        """The webhooks go out behind the person's back, as in Plane: the page does not wait for them."""
        del request
        item = self._find(path)
        if item is None:
            raise RefusedError("this work item is gone")
        if not _NAME.fullmatch(typed.author):
            raise RefusedError("a name has small letters, digits, dots and hyphens only")
        by = self._state.person(typed.author, Standing(typed.standing))
        markup = self._world.typed(typed.body.replace("\r\n", "\n"))
        comment = self._state.add_comment(item, by, markup)
        self._world.hooks.deliver_later(self._world.hooks.comment_created(comment))

    def _find(self, path: str) -> WorkItem | None:
        return next(
            (each for each in self._state.items() if self._world.path(each) == path.rstrip("/")), None
        )

    def _shown(self, item: WorkItem) -> ThreadPage:
        comments = self._state.comments(item)
        opening = Post("description", item.by.name, False, item.created_at, "", self._text(item), [])
        return ThreadPage(
            path=f"{self._world.path(item)}/",
            title=f"{item.identifier} {item.name}",
            posts=[opening, *(self._post(each) for each in comments)],
            places=[(COMMENT, "the work item")],
        )

    def _text(self, item: WorkItem) -> str:
        return self._world.readable(item.html) or item.name

    def _post(self, comment: Comment) -> Post:
        by = comment.by
        return Post(
            anchor=f"comment-{comment.id}",
            author=by.name if by else "Plane",
            is_bot=by is None or by.is_bot or by.id == self._state.bot.id,
            written_at=comment.created_at,
            where="",
            body=self._world.readable(comment.html),
            reactions=[],
        )
