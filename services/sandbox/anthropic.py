"""Anthropic's Messages API, as much of it as we call: POST /v1/messages, streamed, with its prompt cache.

Requests are checked by `anthropic_rules`; what is answered comes from a `ModelWorld`. Point
ANTHROPIC_BASE_URL here.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from services.sandbox.anthropic_rules import AnthropicRefusal, check
from services.sandbox.model_world import Json, ModelWorld, Reply, Trouble, pieces
from services.sandbox.prompt_cache import BYTES_PER_TOKEN, Block, PromptUsage

_VERSION = re.compile(r"\d{4}-\d\d-\d\d")
STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
REQUEST_BYTES_MAX = 32 * 1024 * 1024


def build_anthropic_app(world: ModelWorld) -> web.Application:
    """An endpoint of its own."""
    app = web.Application(client_max_size=REQUEST_BYTES_MAX)
    routes = AnthropicRoutes(world)
    app.router.add_post("/v1/messages", routes.create_message)
    app.router.add_post("/v1/messages/count_tokens", routes.count_tokens)
    return app


class AnthropicRoutes:
    """One handler an endpoint."""

    def __init__(self, world: ModelWorld) -> None:
        self._world = world

    async def create_message(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/messages."""
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not (bearer or request.headers.get("x-api-key")):
            return _refused("authentication_error", "Authentication header is required")
        if not _VERSION.fullmatch(request.headers.get("anthropic-version", "")):
            return _refused("invalid_request_error", "anthropic-version: header is required")
        try:
            understood = check(await request.read())
        except AnthropicRefusal as refusal:
            return _refused("invalid_request_error", str(refusal))
        reply = self._world.next_reply(understood)
        if reply.refused:
            name, _, text = reply.refused.partition(":")
            return _refused(name, text or "Told to.", reply.retry_after_seconds)
        usage = self._world.cache.use(understood["model"], _prompt(understood))
        return await self._stream(request, reply, usage)

    async def count_tokens(self, request: web.Request) -> web.Response:
        """POST /v1/messages/count_tokens."""
        body = await request.json()
        try:
            understood = check(json.dumps({**body, "max_tokens": 1, "stream": True}).encode())
        except AnthropicRefusal as refusal:
            return _refused("invalid_request_error", str(refusal))
        size = sum(len(str(block.content)) for block in _prompt(understood))
        return web.json_response({"input_tokens": -(-size // BYTES_PER_TOKEN)})

    async def _stream(self, request: web.Request, reply: Reply, usage: PromptUsage) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        try:
            for number, event in enumerate(_events(reply, usage)):
                await response.write(_frame(event))
                await asyncio.sleep(0)
                if number < 3:  # the start, the start of the first block, a ping, and the first piece
                    continue
                if reply.error:
                    await response.write(_frame(_error(reply.error, "Told to.")))
                    return response
                if reply.trouble == Trouble.STALL:
                    await asyncio.Event().wait()
                if reply.trouble == Trouble.CUT and request.transport is not None:
                    request.transport.abort()
                    return response
        except (asyncio.CancelledError, ConnectionError):  # the caller hung up
            self._world.calls_ended_early += 1
            raise
        return response


def _error(name: str, text: str) -> Json:
    return {"type": "error", "error": {"type": name, "message": text}, "request_id": "req_sandbox"}


def _refused(name: str, text: str, retry_after_seconds: int | None = None) -> web.Response:
    headers = {} if retry_after_seconds is None else {"retry-after": str(retry_after_seconds)}
    return web.json_response(_error(name, text), status=STATUS[name], headers=headers)


def _frame(event: Json) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def _events(reply: Reply, usage: PromptUsage) -> Iterator[Json]:
    counted = {
        "input_tokens": usage.fresh,
        "cache_read_input_tokens": usage.read,
        "cache_creation_input_tokens": usage.written,
    }
    message = {
        "id": "msg_sandbox",
        "type": "message",
        "role": "assistant",
        "model": "sandbox",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**counted, "output_tokens": 1},
    }
    yield {"type": "message_start", "message": message}
    written = 0
    for index, (block, deltas) in enumerate(_blocks(reply)):
        yield {"type": "content_block_start", "index": index, "content_block": block}
        yield {"type": "ping"}
        for delta in deltas:
            written += len(str(delta))
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    fitting = "tool_use" if reply.tool_uses else "end_turn"
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": reply.stop_reason or fitting, "stop_sequence": None},
        "usage": {"output_tokens": -(-written // BYTES_PER_TOKEN)},
    }
    yield {"type": "message_stop"}


def _blocks(reply: Reply) -> Iterator[tuple[Json, list[Json]]]:
    """Each block as it starts, and the deltas that fill it."""
    if reply.reasoning:
        thoughts: list[Json] = [
            {"type": "thinking_delta", "thinking": each} for each in pieces(reply.reasoning)
        ]
        signed: list[Json] = [{"type": "signature_delta", "signature": reply.signature}]
        yield {"type": "thinking", "thinking": "", "signature": ""}, [*thoughts, *signed]
    if reply.redacted:
        yield {"type": "redacted_thinking", "data": base64.b64encode(reply.redacted).decode()}, []
    if reply.text:
        texts: list[Json] = [{"type": "text_delta", "text": each} for each in pieces(reply.text)]
        yield {"type": "text", "text": ""}, texts
    for number, use in enumerate(reply.tool_uses):
        inputs: list[Json] = [
            {"type": "input_json_delta", "partial_json": each} for each in pieces(use.arguments)
        ]
        yield {"type": "tool_use", "id": f"toolu_{number}", "name": use.name, "input": {}}, inputs


def _prompt(request: Json) -> list[Block]:
    """The request as the row of blocks a prompt cache sees: tools, system, messages."""
    row: list[Any] = [*request.get("tools", []), *request.get("system", [])]
    for message in request["messages"]:
        row.extend({"role": message["role"], **block} for block in message["content"])
    return [
        Block(
            {name: value for name, value in each.items() if name != "cache_control"}, "cache_control" in each
        )
        for each in row
    ]
