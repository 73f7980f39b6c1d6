"""Shows GitHub's threads on the sandbox's page, and lets a person comment there as on github.com."""

from __future__ import annotations

import re

from aiohttp import web

from services.sandbox.github_domain import (
    Account,
    AccountType,
    Association,
    Byline,
    Comment,
    CommentKind,
    NoSuchThingError,
    Reaction,
    ReactionContent,
    RefusedError,
    Thread,
    WorldFullError,
)
from services.sandbox.github_hooks import VENDOR
from services.sandbox.github_world import GithubWorld
from services.sandbox.page import Post, ThreadPage, Typed, VendorPage

CONVERSATION = "conversation"
_PATH = re.compile(r"(?P<repository>[^/]+/[^/]+)/(?P<kind>issues|pull)/(?P<number>\d{1,9})", re.ASCII)
_LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}")
_EMOJI = {
    ReactionContent.PLUS_ONE: "👍",
    ReactionContent.MINUS_ONE: "👎",
    ReactionContent.LAUGH: "😄",
    ReactionContent.CONFUSED: "😕",
    ReactionContent.HEART: "❤️",
    ReactionContent.HOORAY: "🎉",
    ReactionContent.ROCKET: "🚀",
    ReactionContent.EYES: "👀",
}


def github_page(world: GithubWorld) -> VendorPage:
    """What the page needs to know of GitHub."""
    shelf = _Shelf(world)
    standings = [Association.MEMBER, *(each for each in Association if each is not Association.MEMBER)]
    return VendorPage(VENDOR, "octocat", standings, shelf.threads, shelf.thread, shelf.say)


class _Shelf:
    def __init__(self, world: GithubWorld) -> None:
        self._world = world
        self._state = world.state

    def threads(self) -> list[ThreadPage]:
        return [self._shown(thread) for thread in self._state.threads()]

    def thread(self, path: str) -> ThreadPage | None:
        thread = self._find(path)
        return thread and self._shown(thread)

    async def say(self, request: web.Request, path: str, typed: Typed) -> None:
        """The webhook goes out behind the person's back, as on github.com: the page does not wait for it."""
        thread = self._find(path)
        if thread is None:
            raise RefusedError("this thread is gone")
        if not _LOGIN.fullmatch(typed.author):
            raise RefusedError("a login has letters, digits and hyphens only")
        comment = self._added(thread, typed, Association(typed.standing))
        self._world.send_later(self._world.comment_letter(comment, request))

    def _added(self, thread: Thread, typed: Typed, standing: Association) -> Comment:
        by, body = Byline(Account(typed.author), standing), typed.body.replace("\r\n", "\n")
        try:
            if typed.place == CONVERSATION:
                return self._state.add_comment(thread, body, by)
            top_id = int(typed.place) if typed.place.isdecimal() else 0
            top = self._state.comment(thread.repository.full_name, top_id, CommentKind.REVIEW)
            return self._state.reply_to_review(top, body, by)
        except (NoSuchThingError, WorldFullError) as error:
            raise RefusedError(f"this cannot be written: {error}") from None

    def _find(self, path: str) -> Thread | None:
        parts = _PATH.fullmatch(path)
        if parts is None:
            return None
        try:
            thread = self._state.thread(parts["repository"], int(parts["number"]))
        except NoSuchThingError:
            return None
        return thread if thread.is_pull_request == (parts["kind"] == "pull") else None

    def _shown(self, thread: Thread) -> ThreadPage:
        kind = "pull" if thread.is_pull_request else "issues"
        comments = self._state.comments(thread)
        opening = Post(
            anchor="top",
            author=thread.by.account.login,
            is_bot=thread.by.account.type is AccountType.BOT,
            written_at=thread.created_at,
            where="",
            body=thread.body,
            reactions=_emoji(self._state.reactions(thread.id)),
        )
        tops = [(each, each.place) for each in comments if each.place and not each.place.top_id]
        return ThreadPage(
            path=f"{thread.repository.full_name}/{kind}/{thread.number}",
            title=f"{thread.title} · {thread.repository.full_name}#{thread.number}",
            posts=[opening, *map(self._post, comments)],
            places=[
                (CONVERSATION, "the conversation"),
                *((str(top.id), f"the review of {at.path}:{at.line}") for top, at in tops),
            ],
        )

    def _post(self, comment: Comment) -> Post:
        place = comment.place
        return Post(
            anchor=f"discussion_r{comment.id}" if place else f"issuecomment-{comment.id}",
            author=comment.by.account.login,
            is_bot=comment.by.account.type is AccountType.BOT,
            written_at=comment.created_at,
            where=f"{place.path}:{place.line}" if place else "",
            body=comment.body,
            reactions=_emoji(self._state.reactions(comment.id)),
        )


def _emoji(reactions: list[Reaction]) -> list[str]:
    return [f"{_EMOJI[each.content]} {each.author.login}" for each in reactions]
