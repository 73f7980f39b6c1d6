"""What Bedrock refuses: its own service model, as botocore ships it, and the rules only its answers tell.

The service model gives shapes, required members, unions, limits and patterns. The rest is from public reports
of ValidationException: speakers by turns, no blank text, calls answered in the next message, tools declared,
inference profiles, cache points only where a model takes them.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import botocore.session
from botocore.validate import ParamValidator

Json = dict[str, Any]
CACHE_POINTS_MAX = 4
_CACHING_VENDORS = ("anthropic.", "amazon.")
_PROFILE_NEEDED = re.compile(r"anthropic\..*")
_GEOGRAPHY = re.compile(r"^(us|eu|apac|jp|au|global)\.")


class BedrockRefusal(Exception):
    """The request is refused; the text is that of a ValidationException."""


@cache
def input_shape(operation: str = "ConverseStream") -> Any:
    """The input of an operation in Bedrock's service model."""
    service = botocore.session.Session().get_service_model("bedrock-runtime")
    return service.operation_model(operation).input_shape


def check(model_id: str, body: Json) -> Json:
    """The request of a conversation as Bedrock understands it. Raises BedrockRefusal."""
    request = _shaped(model_id, body, input_shape())
    for problem in (*_profile(model_id), *_rules(request)):
        raise BedrockRefusal(problem)
    return request


def check_count(model_id: str, body: Json) -> Json:
    """The same for CountTokens, which goes by the foundation model's own id."""
    request = _shaped(model_id, body, input_shape("CountTokens"))
    if _GEOGRAPHY.match(model_id):
        raise BedrockRefusal("The provided model doesn't support counting tokens.")
    return request


def _shaped(model_id: str, body: Json, shape: Any) -> Json:
    request = _understood({**body, "modelId": model_id}, shape)
    report = ParamValidator().validate(request, shape)
    if report.has_errors():
        raise BedrockRefusal(report.generate_report())
    for problem in _patterns(request, shape, ""):
        raise BedrockRefusal(problem)
    return request


def _understood(value: Any, shape: Any) -> Any:
    """JSON as the service model's values: blobs are bytes. Shapes make their members up as they are asked."""
    if _is_structure(shape) and isinstance(value, dict):
        return {
            name: _understood(each, shape.members[name]) if name in shape.members else each
            for name, each in value.items()
        }
    if shape.type_name == "list" and isinstance(value, list):
        return [_understood(each, shape.member) for each in value]
    if shape.type_name == "blob" and isinstance(value, str):
        return base64.b64decode(value)
    return value


def _patterns(value: Any, shape: Any, path: str) -> Iterator[str]:
    """Texts that break the pattern of their shape, which botocore leaves to the server."""
    if _is_structure(shape):
        for name, each in value.items():
            yield from _patterns(each, shape.members[name], f"{path}.{name}")
    elif shape.type_name == "list":
        for place, each in enumerate(value):
            yield from _patterns(each, shape.member, f"{path}[{place}]")
    elif shape.type_name == "string":
        pattern = shape.metadata.get("pattern")
        if pattern and not re.fullmatch(pattern, value):
            yield f"Value at '{path}' failed to satisfy constraint: {pattern}"


def _is_structure(shape: Any) -> bool:
    """Whether its members are told; a document is whatever JSON it is."""
    return shape.type_name == "structure" and not shape.is_document_type


def _profile(model_id: str) -> Iterator[str]:
    if _PROFILE_NEEDED.fullmatch(model_id):
        yield (
            f"Invocation of model ID {model_id} with on-demand throughput isn't supported. Retry your "
            "request with the ID or ARN of an inference profile that contains this model."
        )


def _rules(request: Json) -> Iterator[str]:
    messages: list[Json] = request["messages"]
    roles = [message["role"] for message in messages]
    if roles[:1] != ["user"]:
        yield "A conversation must start with a user message."
    if any(first == second for first, second in pairwise(roles)):
        yield "A conversation must alternate between user and assistant roles."
    blocks = [block for message in messages for block in message["content"]]
    if any(not message["content"] for message in messages):
        yield "The content field in the Message object is empty."
    if any("text" in block and not block["text"].strip() for block in blocks):
        yield "The text field in the ContentBlock object is blank."
    if not request.get("toolConfig") and any("toolUse" in block or "toolResult" in block for block in blocks):
        yield "The toolConfig field must be defined when using toolUse and toolResult content blocks."
    yield from _unanswered(messages)
    yield from _cache_points(request, blocks)


def _unanswered(messages: Sequence[Json]) -> Iterator[str]:
    for message, following in zip(messages, [*messages[1:], {"content": []}], strict=True):
        asked = {block["toolUse"]["toolUseId"] for block in message["content"] if "toolUse" in block}
        told = {block["toolResult"]["toolUseId"] for block in following["content"] if "toolResult" in block}
        if asked - told:
            yield f"Expected toolResult blocks at the next turn for the following Ids: {sorted(asked - told)}"
        if told - asked:
            yield "The number of toolResult blocks exceeds the number of toolUse blocks of previous turn."


def _cache_points(request: Json, blocks: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    tools = request.get("toolConfig", {}).get("tools", [])
    points = sum("cachePoint" in block for block in (*blocks, *request.get("system", []), *tools))
    model = _GEOGRAPHY.sub("", request["modelId"])
    if points and not model.startswith(_CACHING_VENDORS):
        yield "You invoked an unsupported model or your request did not allow prompt caching."
    if points > CACHE_POINTS_MAX:
        yield f"A maximum of {CACHE_POINTS_MAX} cache points can be provided. Found {points}."
