"""Slack's Web API, as much of it as we call: `SlackMethods.table` is the whole of it.

Slack answers 200 to nearly everything and says in `ok` whether it worked. Arguments come as JSON, as a form
or in the query; booleans in a query are "1" and "0".
"""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

from aiohttp import web
from aiohttp.typedefs import Middleware

from services.sandbox.slack_domain import Channel, Message, RefusedError
from services.sandbox.slack_signatures import ArgumentsError, check
from services.sandbox.slack_wire import JsonObject, SlackWire
from services.sandbox.slack_world import SlackWorld

PAGE_SIZE, PAGE_SIZE_MAX = 100, 1_000
KINDS = {"public_channel": "channel", "private_channel": "group", "im": "im"}
Arguments: TypeAlias = Mapping[str, Any]
Method: TypeAlias = Callable[[Arguments, SlackWire], JsonObject]
log = logging.getLogger(__name__)


def build_slack_app(world: SlackWorld, faults: Middleware) -> web.Application:
    """To be mounted under `/slack`. Faults strike before credentials are looked at."""
    app = web.Application(middlewares=[faults])
    app.router.add_route("*", "/api/{method}", SlackMethods(world).answer)
    return app


class SlackMethods:
    """One function a method of Slack's documentation."""

    def __init__(self, world: SlackWorld) -> None:
        self._world = world
        self._state = world.state

    def table(self) -> Mapping[str, Method]:
        """Every method that answers."""
        return {
            "auth.test": self.test_auth,
            "chat.postMessage": self.post_message,
            "conversations.history": self.history,
            "conversations.replies": self.replies,
            "reactions.add": self.react,
            "users.conversations": self.conversations,
            "users.info": self.user,
        }

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one call as Slack would."""
        method = request.match_info["method"]
        try:
            self._authenticate(request)
            known = self.table().get(method)
            if known is None:
                raise RefusedError("unknown_method")
            arguments = await _arguments(request)
            check(method, arguments)
            return web.json_response({"ok": True, **known(arguments, self._world.wire(request))})
        except ArgumentsError as error:
            told = {"messages": [error.problem]}
            return web.json_response({"ok": False, "error": str(error), "response_metadata": told})
        except RefusedError as error:
            return web.json_response({"ok": False, "error": str(error)})
        except ConnectionError:  # the caller hung up: there is nobody to tell
            raise
        except Exception:
            log.exception("the Slack stand-in failed on %s", method)
            return web.json_response({"ok": False, "error": "fatal_error"}, status=500)

    def test_auth(self, arguments: Arguments, wire: SlackWire) -> JsonObject:
        """Who the token speaks for."""
        del arguments
        bot = self._state.bot
        return {
            "url": wire.web,
            "team": "Sandbox",
            "user": bot.name,
            "team_id": bot.team_id,
            "user_id": bot.id,
            "bot_id": bot.bot_id,
            "is_enterprise_install": False,
        }

    def post_message(self, arguments: Arguments, wire: SlackWire) -> JsonObject:
        """Write as the app's bot, and tell the app of it, as Slack does."""
        metadata = arguments.get("metadata")
        if metadata is not None and not _is_metadata(metadata):
            raise RefusedError("invalid_metadata_format")
        message = self._state.add_message(
            self._channel(arguments),
            self._state.bot,
            str(arguments.get("text") or ""),
            thread_ts=str(arguments.get("thread_ts") or ""),
            metadata=metadata,
        )
        self._world.send_later(self._world.hooks.said(message, wire))
        shown = wire.message(message, metadata=True)
        return {"channel": message.channel.id, "ts": message.ts, "message": shown}

    def history(self, arguments: Arguments, wire: SlackWire) -> JsonObject:
        """A channel's own messages, newest first."""
        messages = _within(self._state.history(self._channel(arguments)), arguments)
        return _page(list(reversed(messages)), arguments, wire)

    def replies(self, arguments: Arguments, wire: SlackWire) -> JsonObject:
        """A thread, oldest first; its first message comes whatever the times asked for."""
        first, *rest = self._state.replies(self._channel(arguments), str(arguments["ts"]))
        return _page([first, *_within(rest, arguments)], arguments, wire)

    def react(self, arguments: Arguments, wire: SlackWire) -> JsonObject:
        """React as the app's bot."""
        del wire
        message = self._state.message(self._channel(arguments), str(arguments["timestamp"]))
        self._state.react(message, self._state.bot, str(arguments["name"]))
        return {}

    def conversations(self, arguments: Arguments, wire: SlackWire) -> JsonObject:
        """The channels the bot is in."""
        asked = {KINDS.get(each) for each in str(arguments.get("types") or "public_channel").split(",")}
        found = [wire.channel(each) for each in self._state.channels() if each.joined and each.kind in asked]
        shown, following = _cut(found, arguments)
        return {"channels": shown, "response_metadata": {"next_cursor": following}}

    def user(self, arguments: Arguments, wire: SlackWire) -> JsonObject:
        """One person."""
        return {"user": wire.user(self._state.find_person(str(arguments["user"])))}

    def _authenticate(self, request: web.Request) -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise RefusedError("not_authed")
        if not hmac.compare_digest(token.encode(), self._world.settings.bot_token.encode()):
            raise RefusedError("invalid_auth")

    def _channel(self, arguments: Arguments) -> Channel:
        channel = self._state.channel(str(arguments["channel"]))
        if not channel.joined:
            raise RefusedError("not_in_channel")
        return channel


async def _arguments(request: web.Request) -> Arguments:
    if request.content_type != "application/json":
        return {**request.query, **await request.post()}
    text = await request.text()
    try:
        told: object = json.loads(text) if text else {}
    except ValueError:
        raise RefusedError("invalid_json") from None
    if not isinstance(told, dict):
        raise RefusedError("json_not_object")
    return {**request.query, **cast("JsonObject", told)}


def _is_metadata(metadata: object) -> bool:
    if not isinstance(metadata, dict):
        return False
    told = cast("JsonObject", metadata)
    return told.keys() == {"event_type", "event_payload"} and isinstance(told["event_payload"], dict)


def _within(messages: Sequence[Message], arguments: Arguments) -> list[Message]:
    """Between `oldest` and `latest`, which count themselves only when `inclusive`."""
    oldest, latest = float(arguments.get("oldest") or 0), float(arguments.get("latest") or "inf")
    if _flag(arguments, "inclusive"):
        return [each for each in messages if oldest <= float(each.ts) <= latest]
    return [each for each in messages if oldest < float(each.ts) < latest]


def _page(messages: Sequence[Message], arguments: Arguments, wire: SlackWire) -> JsonObject:
    metadata = _flag(arguments, "include_all_metadata")
    shown, following = _cut([wire.message(each, metadata=metadata) for each in messages], arguments)
    return {"messages": shown, "has_more": bool(following), "response_metadata": {"next_cursor": following}}


def _cut(items: list[JsonObject], arguments: Arguments) -> tuple[list[JsonObject], str]:
    """One page and the cursor of the next; empty: there is none."""
    try:
        begin, limit = int(arguments.get("cursor") or 0), int(arguments.get("limit") or PAGE_SIZE)
    except ValueError:
        raise RefusedError("invalid_cursor") from None
    end = begin + max(1, min(limit, PAGE_SIZE_MAX))
    return items[begin:end], str(end) if end < len(items) else ""


def _flag(arguments: Arguments, name: str) -> bool:
    return str(arguments.get(name, "0")).lower() in ("1", "true")
