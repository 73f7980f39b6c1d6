"""A transcript as providers with two speakers want it: person and model by turns, no blank text.

Bedrock's Converse and Anthropic's Messages share this form, and where their prompt caches are told to stop.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from aucert.models.v1.message_pb2 import ROLE_ASSISTANT, Message, Part
from aucert.models.v1.model_service_pb2 import GenerateRequest, ToolDefinition
from services.models.domain import Capability, ModelEntry

Json = dict[str, Any]
CACHED_SPEECHES = 2
"""The end of this request and the end of the one before, whose cached prefix this one reads."""


@dataclass(frozen=True, slots=True)
class Speech:
    """What one side says until the other one speaks. `cached`: a prompt cache should reach to its end."""

    by_model: bool
    parts: tuple[Part, ...]
    cached: bool


def speeches(request: GenerateRequest, entry: ModelEntry) -> list[Speech]:
    """The conversation by turns, without blank text; tool results speak for the person."""
    sides: list[tuple[bool, list[Part]]] = []
    for message in request.messages:
        by_model = message.role == ROLE_ASSISTANT
        said = [part for part in message.parts if not part.HasField("text") or part.text.strip()]
        if said and sides and sides[-1][0] == by_model:
            sides[-1][1].extend(said)
        elif said:
            sides.append((by_model, said))
    asked = [place for place, (by_model, _) in enumerate(sides) if not by_model]
    cached = frozenset(asked[-CACHED_SPEECHES:] if entry.can(Capability.CACHE_POINTS) else ())
    return [Speech(by_model, tuple(parts), place in cached) for place, (by_model, parts) in enumerate(sides)]


def tools(request: GenerateRequest, entry: ModelEntry) -> Sequence[ToolDefinition]:
    """The tools to declare. A transcript with calls is refused without any, so then those it names."""
    if request.tools:
        return request.tools if entry.can(Capability.TOOLS) else ()
    names = dict.fromkeys(call.tool_name for message in request.messages for call in _calls(message))
    return [ToolDefinition(name=name, description="No longer offered.") for name in names]


def schema(tool: ToolDefinition) -> Json:
    """The JSON Schema of a tool's arguments."""
    return json.loads(tool.parameters_json) if tool.parameters_json else {"type": "object"}


def arguments(written: str) -> Json:
    """Arguments as an object; an empty one where a model wrote none, since providers refuse others."""
    try:
        value = json.loads(written)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _calls(message: Message) -> Iterator[Any]:
    return (part.tool_call for part in message.parts if part.HasField("tool_call"))
