"""What Anthropic's Messages API refuses: what its SDK's own types do not allow, and what only answers tell.

The SDK describes a request as TypedDicts, which refuse wrong values; a field they do not know is lost in
them, so what comes out is compared with what went in. The rest is documented: text that is not blank, calls
answered in the next message, at most four cache points.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

from anthropic.types.message_create_params import MessageCreateParamsStreaming
from pydantic import TypeAdapter, ValidationError

Json = dict[str, Any]
CACHE_POINTS_MAX = 4


class AnthropicRefusal(Exception):
    """The request is refused; the text is that of an invalid_request_error."""


@cache
def _parameters() -> TypeAdapter[Any]:
    return TypeAdapter(MessageCreateParamsStreaming)


def check(body: bytes) -> Json:
    """The request as Anthropic understands it. Raises AnthropicRefusal."""
    try:
        request = json.loads(body)
        known = _whole(_parameters().validate_python(request))
    except (ValueError, ValidationError) as error:
        raise AnthropicRefusal(str(error)) from None
    if known != request:
        raise AnthropicRefusal("Extra inputs are not permitted")
    for problem in _rules(request):
        raise AnthropicRefusal(problem)
    return request


def _whole(value: Any) -> Any:
    """A value with the lists that are checked only as they are read."""
    if isinstance(value, dict):
        return {name: _whole(each) for name, each in value.items()}
    if isinstance(value, str) or not isinstance(value, Iterable):
        return value
    return [_whole(each) for each in value]


def _rules(request: Json) -> Iterator[str]:
    messages: list[Json] = request["messages"]
    if not messages or messages[0]["role"] != "user":
        yield "messages: first message must use the user role"
    for number, message in enumerate(messages):
        if not message["content"]:
            yield f"messages.{number}: all messages must have non-empty content"
    blocks = [block for message in messages for block in message["content"]]
    if any(block["type"] == "text" and not block["text"].strip() for block in blocks):
        yield "messages: text content blocks must contain non-whitespace text"
    if not request.get("tools") and any(block["type"] in ("tool_use", "tool_result") for block in blocks):
        yield "Requests which include `tool_use` or `tool_result` blocks must define tools"
    yield from _unanswered(messages)
    marked = [*request.get("tools", []), *request.get("system", []), *blocks]
    points = sum("cache_control" in block for block in marked)
    if points > CACHE_POINTS_MAX:
        yield f"A maximum of {CACHE_POINTS_MAX} blocks with cache_control may be provided. Found {points}."


def _unanswered(messages: Sequence[Json]) -> Iterator[str]:
    for number, message in enumerate(messages):
        following = messages[number + 1]["content"] if number + 1 < len(messages) else []
        asked = {block["id"] for block in message["content"] if block["type"] == "tool_use"}
        told = {block["tool_use_id"] for block in following if block["type"] == "tool_result"}
        if asked - told:
            yield f"messages.{number}: `tool_use` ids were found without `tool_result` blocks: {asked - told}"
        if told - asked:
            yield f"messages.{number + 1}: unexpected `tool_use_id` in `tool_result` blocks: {told - asked}"
