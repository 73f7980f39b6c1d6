"""Shows Drive's documents with their comments on the sandbox's page, and lets a person comment as in Docs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from aiohttp import web

from services.sandbox.google_domain import FOLDER, Action, Comment, File, RefusedError, Reply
from services.sandbox.google_hooks import VENDOR
from services.sandbox.google_world import GoogleWorld
from services.sandbox.page import Post, ThreadPage, Typed, VendorPage

NEW = "new"
RESOLVE = "resolve:"
_PATH = re.compile(r"document/d/(?P<file>[\w-]{1,128})/edit")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,38}")
EXCERPT_CHARS = 60


def google_page(world: GoogleWorld) -> VendorPage:
    """What the page needs to know of Drive."""
    shelf = _Shelf(world)
    return VendorPage(VENDOR, "maria", ["commenter"], shelf.threads, shelf.thread, shelf.say)


class _Shelf:
    """A document is a page of all its comments, each followed by its replies."""

    def __init__(self, world: GoogleWorld) -> None:
        self._world = world
        self._state = world.state

    def threads(self) -> list[ThreadPage]:
        return [self._page(each) for each in self._state.files() if each.mime_type != FOLDER]

    def thread(self, path: str) -> ThreadPage | None:
        parts = _PATH.fullmatch(path)
        try:
            return self._page(self._state.file(parts["file"])) if parts else None
        except RefusedError:
            return None

    async def say(self, request: web.Request, path: str, typed: Typed) -> None:
        """Google tells of it behind the person's back: the page does not wait for it."""
        del request
        parts = _PATH.fullmatch(path)
        if parts is None or not _NAME.fullmatch(typed.author):
            raise RefusedError(400, "invalid", "a name has small letters, digits, dots and hyphens only")
        file, by = self._state.file(parts["file"]), self._state.person(typed.author)
        body = typed.body.replace("\r\n", "\n")
        if typed.place == NEW:
            self._world.told(self._state.add_comment(file, by, body), None)
            return
        resolves = typed.place.startswith(RESOLVE)
        comment = self._state.comment(file.id, typed.place.removeprefix(RESOLVE))
        action = Action.RESOLVE if resolves else Action.NONE
        self._world.told(comment, self._state.add_reply(comment, by, body, action))

    def _page(self, file: File) -> ThreadPage:
        comments = sorted(self._state.comments(file.id), key=lambda each: each.created)
        places = [(NEW, "a new comment")]
        for each in comments:
            about = each.content[:EXCERPT_CHARS]
            places += [
                (each.id, f"reply to: {about}"),
                (f"{RESOLVE}{each.id}", f"reply and resolve: {about}"),
            ]
        posts = [self._about(file), *(post for each in comments for post in self._posts(each))]
        return ThreadPage(f"document/d/{file.id}/edit", file.name, posts, places)

    def _about(self, file: File) -> Post:
        shared = f"A document, shared with {self._state.account.email}."
        return Post("document", file.name, False, file.created, "document", shared, [])

    def _posts(self, comment: Comment) -> Iterator[Post]:
        where = f"on “{comment.quoted[:EXCERPT_CHARS]}”" if comment.quoted else "comment"
        yield self._post(comment, f"{where}, resolved" if comment.resolved else where)
        for each in comment.replies:
            yield self._post(each, f"reply, {each.action}" if each.action else "reply")

    def _post(self, item: Comment | Reply, where: str) -> Post:
        return Post(
            anchor=item.id,
            author=item.author.name,
            is_bot=item.author.email == self._state.account.email,
            written_at=item.created,
            where=where,
            body="(deleted)" if item.deleted else item.content,
            reactions=[],
        )
