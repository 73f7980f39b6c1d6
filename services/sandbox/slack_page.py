"""Shows Slack's channels and threads on the sandbox's page, and lets a person write there as in Slack."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from aiohttp import web

from services.sandbox.page import Post, ThreadPage, Typed, VendorPage
from services.sandbox.slack_domain import Channel, Message, RefusedError, Standing
from services.sandbox.slack_hooks import VENDOR
from services.sandbox.slack_world import SlackWorld

HERE, BELOW = "channel", "thread"
_PATH = re.compile(
    r"archives/(?P<channel>[A-Z0-9]{1,32})(?:/p(?P<seconds>\d{1,15})(?P<micros>\d{6}))?", re.ASCII
)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,38}")
_EMOJI = {"eyes": "👀", "white_check_mark": "✅", "octagonal_sign": "🛑"}


def slack_page(world: SlackWorld) -> VendorPage:
    """What the page needs to know of Slack."""
    shelf = _Shelf(world)
    return VendorPage(VENDOR, "maria", list(Standing), shelf.threads, shelf.thread, shelf.say)


class _Shelf:
    """A channel is a page of its own messages; each of them is a page with what was said below it."""

    def __init__(self, world: SlackWorld) -> None:
        self._world = world
        self._state = world.state

    def threads(self) -> list[ThreadPage]:
        pages: list[ThreadPage] = []
        for channel in self._state.channels():
            roots = self._state.history(channel)
            pages += [self._channel(channel), *(self._thread(root) for root in roots)]
        return pages

    def thread(self, path: str) -> ThreadPage | None:
        channel, root = self._find(path)
        if root is not None:
            return self._thread(root)
        return channel and self._channel(channel)

    async def say(self, request: web.Request, path: str, typed: Typed) -> None:
        """The events go out behind the person's back, as in Slack: the page does not wait for them."""
        channel, root = self._find(path)
        if channel is None:
            raise RefusedError("this channel is gone")
        if not _NAME.fullmatch(typed.author):
            raise RefusedError("a name has small letters, digits, dots and hyphens only")
        by = self._state.person(typed.author, Standing(typed.standing))
        below = root.ts if root and typed.place == BELOW else ""
        message = self._world.say(channel.name, by, typed.body.replace("\r\n", "\n"), thread_ts=below)
        self._world.send_later(self._world.hooks.said(message, self._world.wire(request)))

    def _find(self, path: str) -> tuple[Channel | None, Message | None]:
        """A reply's own address leads to its thread, as permalinks do."""
        parts = _PATH.fullmatch(path)
        if parts is None:
            return None, None
        try:
            channel = self._state.channel(parts["channel"])
            if not parts["seconds"]:
                return channel, None
            message = self._state.message(channel, f"{parts['seconds']}.{parts['micros']}")
            return channel, self._state.message(channel, message.root_ts)
        except RefusedError:
            return None, None

    def _channel(self, channel: Channel) -> ThreadPage:
        """Each thread opened out, unlike Slack's own: who asks here shall see the answer arrive."""
        name = channel.name if channel.kind == "im" else f"#{channel.name}"
        posts = [
            self._post(each, where="in the thread" if each.thread_ts else "")
            for root in self._state.history(channel)
            for each in self._state.replies(channel, root.ts)
        ]
        return ThreadPage(f"archives/{channel.id}", name, posts, [(HERE, name)])

    def _thread(self, root: Message) -> ThreadPage:
        messages = self._state.replies(root.channel, root.ts)
        path = f"archives/{root.channel.id}/p{root.ts.replace('.', '')}"
        title = f"{root.text[:60]} · {root.channel.name}"
        return ThreadPage(path, title, [self._post(each) for each in messages], [(BELOW, "the thread")])

    def _post(self, message: Message, where: str = "") -> Post:
        reactions = self._state.reactions(message)
        return Post(
            anchor=f"p{message.ts.replace('.', '')}",
            author=message.by.name,
            is_bot=bool(message.by.bot_id),
            written_at=datetime.fromtimestamp(float(message.ts), UTC),
            where=where,
            body=message.text,
            reactions=[
                f"{_EMOJI.get(name, f':{name}:')} {self._state.find_person(each).name}"
                for name, people in reactions.items()
                for each in people
            ],
        )
