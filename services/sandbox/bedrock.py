"""Bedrock's runtime, as much of it as we call: ConverseStream with its real frames, embeddings.

Requests are checked by `bedrock_rules`; what is answered comes from a `ModelWorld`. Point
AWS_ENDPOINT_URL_BEDROCK_RUNTIME here. Not Bedrock: signatures are looked at, not verified.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from services.sandbox import bedrock_embeddings
from services.sandbox import bedrock_frames as frames
from services.sandbox.bedrock_rules import BedrockRefusal, check, check_count
from services.sandbox.model_world import Json, ModelWorld, Reply, Trouble, pieces
from services.sandbox.prompt_cache import BYTES_PER_TOKEN, Block, PromptUsage

STATUS = {
    "ValidationException": 400,
    "AccessDeniedException": 403,
    "ResourceNotFoundException": 404,
    "ModelTimeoutException": 408,
    "ModelErrorException": 424,
    "ModelNotReadyException": 429,
    "ThrottlingException": 429,
    "InternalServerException": 500,
    "ServiceUnavailableException": 503,
}
REQUEST_BYTES_MAX = 32 * 1024 * 1024


def build_bedrock_app(world: ModelWorld) -> web.Application:
    """An endpoint of its own."""
    app = web.Application(client_max_size=REQUEST_BYTES_MAX)
    routes = BedrockRoutes(world)
    app.router.add_post("/model/{model_id}/converse-stream", routes.converse_stream)
    app.router.add_post("/model/{model_id}/count-tokens", routes.count_tokens)
    app.router.add_post("/model/{model_id}/invoke", routes.invoke)
    return app


class BedrockRoutes:
    """One handler an operation."""

    def __init__(self, world: ModelWorld) -> None:
        self._world = world

    async def converse_stream(self, request: web.Request) -> web.StreamResponse:
        """POST /model/{modelId}/converse-stream."""
        if not request.headers.get("Authorization", "").startswith(("AWS4-HMAC-SHA256 ", "Bearer ")):
            return _refused("AccessDeniedException", "Missing Authentication Token")
        try:
            understood = check(request.match_info["model_id"], await request.json())
        except BedrockRefusal as refusal:
            return _refused("ValidationException", str(refusal))
        reply = self._world.next_reply(understood)
        if reply.refused:
            name, _, text = reply.refused.partition(":")
            return _refused(name, text or "Told to.", reply.retry_after_seconds)
        usage = self._world.cache.use(understood["modelId"], _prompt(understood))
        return await self._stream(request, reply, usage)

    async def count_tokens(self, request: web.Request) -> web.Response:
        """POST /model/{modelId}/count-tokens; by the id of a foundation model, as its reference says."""
        body = await request.json()
        try:
            understood = check_count(request.match_info["model_id"], body)
        except BedrockRefusal as refusal:
            return _refused("ValidationException", str(refusal))
        size = sum(len(block.content) for block in _prompt(understood["input"]["converse"]))
        return web.json_response({"inputTokens": -(-size // BYTES_PER_TOKEN)})

    async def invoke(self, request: web.Request) -> web.Response:
        """POST /model/{modelId}/invoke, of embedding models. A reply that refuses is taken first."""
        if not request.headers.get("Authorization", "").startswith(("AWS4-HMAC-SHA256 ", "Bearer ")):
            return _refused("AccessDeniedException", "Missing Authentication Token")
        if self._world.replies and self._world.replies[0].refused:
            return _refused(self._world.replies.popleft().refused, "Told to.")
        try:
            told, headers = bedrock_embeddings.invoke(request.match_info["model_id"], await request.read())
        except BedrockRefusal as refusal:
            return _refused("ValidationException", str(refusal))
        return web.json_response(told, headers=headers)

    async def _stream(self, request: web.Request, reply: Reply, usage: PromptUsage) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/vnd.amazon.eventstream"})
        await response.prepare(request)
        try:
            for number, frame in enumerate(_frames(reply, usage)):
                await response.write(frame)
                await asyncio.sleep(0)
                if number < 1:  # the start
                    continue
                if reply.error:
                    await response.write(frames.exception(reply.error, {"message": "Told to."}))
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


def _refused(name: str, text: str, retry_after_seconds: int | None = None) -> web.Response:
    headers = {"x-amzn-ErrorType": name}
    if retry_after_seconds is not None:
        headers["Retry-After"] = str(retry_after_seconds)
    return web.json_response({"message": text}, status=STATUS[name], headers=headers)


def _frames(reply: Reply, usage: PromptUsage) -> Iterator[bytes]:
    yield frames.event("messageStart", {"role": "assistant"})
    written = 0
    for place, block in enumerate(_blocks(reply)):
        for kind, payload in block:
            written += len(str(payload))
            yield frames.event(kind, {**payload, "contentBlockIndex": place})
        yield frames.event("contentBlockStop", {"contentBlockIndex": place})
    fitting = "tool_use" if reply.tool_uses else "end_turn"
    yield frames.event("messageStop", {"stopReason": reply.stop_reason or fitting})
    output = -(-written // BYTES_PER_TOKEN)
    counted = {
        "inputTokens": usage.fresh,
        "outputTokens": output,
        "totalTokens": usage.fresh + output,
        "cacheReadInputTokens": usage.read,
        "cacheWriteInputTokens": usage.written,
    }
    yield frames.event("metadata", {"usage": counted, "metrics": {"latencyMs": 1}})


def _blocks(reply: Reply) -> Iterator[list[tuple[str, Json]]]:
    """The answer's blocks as the events that tell them; text has no start, as at Bedrock."""

    def deltas(values: Any) -> list[tuple[str, Json]]:
        return [("contentBlockDelta", {"delta": value}) for value in values]

    if reply.reasoning:
        thoughts = [{"reasoningContent": {"text": piece}} for piece in pieces(reply.reasoning)]
        signed = [{"reasoningContent": {"signature": reply.signature}}] if reply.signature else []
        yield deltas([*thoughts, *signed])
    if reply.redacted:
        redacted = base64.b64encode(reply.redacted).decode()
        yield deltas([{"reasoningContent": {"redactedContent": redacted}}])
    if reply.text:
        yield deltas({"text": piece} for piece in pieces(reply.text))
    for number, use in enumerate(reply.tool_uses):
        start = {"toolUse": {"toolUseId": f"tooluse_{number}", "name": use.name}}
        inputs = deltas({"toolUse": {"input": piece}} for piece in pieces(use.arguments))
        yield [("contentBlockStart", {"start": start}), *inputs]


def _prompt(request: Json) -> list[Block]:
    """The request as the row of blocks a prompt cache sees: tools, system, messages."""
    row: list[Block] = []
    for blocks in (
        request.get("toolConfig", {}).get("tools", []),
        request.get("system", []),
        *(message["content"] for message in request["messages"]),
    ):
        for block in blocks:
            if "cachePoint" in block:
                row[-1] = Block(row[-1].content, point=True)
            else:
                row.append(Block(str(block)))
    return row
