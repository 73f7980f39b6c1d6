"""The Slack half of the admin API, under `/_sandbox/slack/`: act as a person, read what came of it.

Whatever a person does here sends the events Slack would send; the answer says how their first attempts went.
"""

from __future__ import annotations

from typing import Annotated, Literal

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import StringConstraints

from services.sandbox.admin import AdminBody, delivery_json, parsed
from services.sandbox.slack_domain import TEXT_CHARS_MAX, Message, Person, RefusedError, Standing
from services.sandbox.slack_wire import SlackWire
from services.sandbox.slack_world import SlackWorld
from services.sandbox.webhooks import Letter

Name = Annotated[str, StringConstraints(pattern=r"^@?[a-z0-9][a-z0-9._-]{0,79}$")]
Author = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,38}$")]
Ts = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,15}\.[0-9]{6}$")]
Text = Annotated[str, StringConstraints(max_length=TEXT_CHARS_MAX)]


class ChannelBody(AdminBody):
    """A channel by name; `@name`: direct messages with somebody. What is left out stays as it is."""

    name: Name
    topic: Annotated[str, StringConstraints(max_length=250)] = ""
    is_private: bool = False
    joined: bool = True


class ActBody(AdminBody):
    """What everything a person does has. `deliver` false: its events are lost on their way."""

    channel: Name
    author: Author = "maria"
    standing: Standing = Standing.MEMBER
    deliver: bool = True


class MessageBody(ActBody):
    """What is said. `@atlas` becomes the bot's mention, as in Slack's own composer."""

    text: Text
    thread_ts: Ts | Literal[""] = ""
    subtype: Literal["", "file_share", "thread_broadcast", "channel_join"] = ""


class ChangeBody(ActBody):
    """An edit; empty text deletes."""

    ts: Ts
    text: Text = ""


class ReactionBody(ActBody):
    """A reaction, its name without colons."""

    ts: Ts
    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_+-]{1,100}$")]


class WebhookBody(AdminBody):
    """Empty: nothing is delivered."""

    url: Annotated[str, StringConstraints(max_length=2_000)]


@web.middleware
async def readable_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What Slack refuses is answered with 422 and its code."""
    try:
        return await handler(request)
    except RefusedError as error:
        return web.json_response({"message": str(error)}, status=422)


class SlackAdminRoutes:
    """`table` is the whole of it."""

    def __init__(self, world: SlackWorld) -> None:
        self._world = world
        self._state = world.state

    def table(self) -> list[web.RouteDef]:
        """Paths below `/_sandbox/slack`."""
        return [
            web.post("/channels", self.add_channel),
            web.post("/messages", self.add_message),
            web.put("/messages", self.change_message),
            web.post("/reactions", self.add_reaction),
            web.get("/threads/{channel}/{ts}", self.read_thread),
            web.post("/challenge", self.challenge),
            web.put("/webhook", self.set_webhook),
        ]

    async def add_channel(self, request: web.Request) -> web.Response:
        """201 with its id and whether events lead anywhere; the same name again changes nothing."""
        body = await parsed(request, ChannelBody)
        channel = self._state.add_channel(body.name)
        if body.model_fields_set - {"name"}:
            about = body.model_dump(exclude={"name"})
            channel = self._state.describe(channel, **about)
        answer = {"id": channel.id, "wired": bool(self._world.hooks.url)}
        return web.json_response(answer, status=201)

    async def add_message(self, request: web.Request) -> web.Response:
        """201 with its timestamp, address and deliveries."""
        body, wire = await parsed(request, MessageBody), self._world.wire(request)
        message = self._world.say(
            body.channel, self._by(body), body.text, thread_ts=body.thread_ts, subtype=body.subtype
        )
        return await self._done(message, self._world.hooks.said(message, wire), body, wire)

    async def change_message(self, request: web.Request) -> web.Response:
        """201 like `add_message`."""
        body, wire = await parsed(request, ChangeBody), self._world.wire(request)
        before = self._message(body.channel, body.ts)
        after = self._state.edit(before, body.text) if body.text else None
        if after is None:
            self._state.delete(before)
        return await self._done(before, self._world.hooks.changed(before, after, wire), body, wire)

    async def add_reaction(self, request: web.Request) -> web.Response:
        """201 like `add_message`."""
        body, wire = await parsed(request, ReactionBody), self._world.wire(request)
        message, by = self._message(body.channel, body.ts), self._by(body)
        self._state.react(message, by, body.name)
        return await self._done(message, self._world.hooks.reacted(message, by, body.name, wire), body, wire)

    async def read_thread(self, request: web.Request) -> web.Response:
        """A thread by its channel's id and its first message, oldest first."""
        path, wire = request.match_info, self._world.wire(request)
        messages = self._state.replies(self._state.channel(path["channel"]), path["ts"])
        return web.json_response({"messages": [self._read(each, wire) for each in messages]})

    async def challenge(self, request: web.Request) -> web.Response:
        """Send what Slack sends when the address is set; says whether the challenge came back."""
        del request
        letter = self._world.hooks.challenge()
        answers = [(each.ok, each.response_body) for each in await self._world.send([letter])]
        return web.json_response({"verified": answers == [(True, letter.guid)]})

    async def set_webhook(self, request: web.Request) -> web.Response:
        """Where later events go: a composer learns its gateway's port only after the sandbox runs."""
        self._world.hooks.url = (await parsed(request, WebhookBody)).url
        return web.Response(status=204)

    def _by(self, body: ActBody) -> Person:
        return self._state.person(body.author, body.standing)

    def _message(self, channel: str, ts: str) -> Message:
        return self._state.message(self._state.add_channel(channel), ts)

    async def _done(
        self, message: Message, letters: list[Letter], body: ActBody, wire: SlackWire
    ) -> web.Response:
        deliveries = await self._world.send(letters) if body.deliver else []
        answer = {
            "channel": message.channel.id,
            "ts": message.ts,
            "permalink": wire.permalink(message),
            "deliveries": [delivery_json(each) for each in deliveries],
        }
        return web.json_response(answer, status=201)

    def _read(self, message: Message, wire: SlackWire) -> dict[str, object]:
        return {
            "ts": message.ts,
            "thread_ts": message.thread_ts,
            "author": message.by.name,
            "by_app": bool(message.by.bot_id),
            "text": message.text,
            "metadata": dict(message.metadata),
            "permalink": wire.permalink(message),
            "reactions": {
                name: [self._state.find_person(each).name for each in people]
                for name, people in self._state.reactions(message).items()
            },
        }
