"""The chat-completions dialect, both directions, as plain functions of values.

Written against what servers do rather than what the reference says: a first chunk may have no choices,
the last one has usage and no choices, a tool call's id and name come once and its arguments in pieces,
and a broken connection looks like a stream that just ends. Chunks are read as the JSON they are: making the
SDK's objects of them took more than half of a call's time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from aucert.models.v1.generation_pb2 import (
    FINISH_REASON_CONTENT_FILTER,
    FINISH_REASON_LENGTH,
    FINISH_REASON_STOP,
    FINISH_REASON_TOOL_CALLS,
)
from aucert.models.v1.message_pb2 import ROLE_ASSISTANT, ROLE_TOOL, Message
from aucert.models.v1.model_service_pb2 import TOOL_CHOICE_REQUIRED, GenerateRequest, ToolDefinition
from services.models import dialogue, reasoning
from services.models.dialogue import Json
from services.models.domain import Capability, Dialect, ModelEntry, TokenCount
from services.models.draft import Draft
from services.models.provider import Delta, Generation
from services.models.tokens import counted

_FINISH_REASONS = {
    "stop": FINISH_REASON_STOP,
    "length": FINISH_REASON_LENGTH,
    "tool_calls": FINISH_REASON_TOOL_CALLS,
    "function_call": FINISH_REASON_TOOL_CALLS,
    "content_filter": FINISH_REASON_CONTENT_FILTER,
    "sensitive": FINISH_REASON_CONTENT_FILTER,  # Z.ai's word
}
Object: TypeAlias = Mapping[str, Any]
"""A part of a chunk; what is in it nobody has checked."""
_REASONING_FIELDS = ("reasoning_content", "reasoning")
"""Vendors' extensions, not in the SDK's types: that of Kimi, GLM, DeepSeek and llama.cpp, then Ollama's."""
_REASONING, _TEXT = -2, -1  # before the calls, whose places are their indexes


def to_request(request: GenerateRequest, entry: ModelEntry, dialect: Dialect) -> Json:
    """Render a call as the body of POST /chat/completions."""
    messages: list[Json] = [{"role": "system", "content": request.system}] if request.system else []
    for message in request.messages:
        messages.extend(_messages(message, entry, dialect))
    body: Json = {
        "model": entry.provider_model_id,
        "messages": messages,
        dialect.output_limit_field: entry.output_tokens(request.output_tokens_max),
        "stream": True,
    }
    if dialect.usage_in_stream:
        body["stream_options"] = {"include_usage": True}
    if request.tools and entry.can(Capability.TOOLS):
        body["tools"] = [_tool(tool) for tool in request.tools]
        if request.tool_choice == TOOL_CHOICE_REQUIRED and entry.can(Capability.FORCED_TOOLS):
            body["tool_choice"] = "required"
    return body


def _messages(message: Message, entry: ModelEntry, dialect: Dialect) -> Iterator[Json]:
    text = "\n\n".join(part.text for part in message.parts if part.HasField("text"))
    if message.role == ROLE_TOOL:
        for part in message.parts:
            if part.HasField("tool_result"):
                result = part.tool_result
                yield {"role": "tool", "tool_call_id": result.call_id, "content": result.text}
    elif message.role == ROLE_ASSISTANT:
        yield _assistant(message, text, entry, dialect)
    else:
        yield {"role": "user", "content": text}


def _assistant(message: Message, text: str, entry: ModelEntry, dialect: Dialect) -> Json:
    calls = [part.tool_call for part in message.parts if part.HasField("tool_call")]
    said: Json = {"role": "assistant", "content": text or (None if calls else "")}
    if calls:
        said["tool_calls"] = [
            {
                "id": call.call_id,
                "type": "function",
                # Servers refuse a transcript whose arguments are no JSON, and the model once wrote such.
                "function": {"name": call.tool_name, "arguments": _json_or_empty(call.arguments_json)},
            }
            for call in calls
        ]
    kept = [reasoning.from_part(part, entry) for part in message.parts if part.HasField("reasoning")]
    own = "".join(block.text for block in kept if block)
    if own and dialect.reasoning_sent_back:
        said["reasoning_content"] = own
    return said


def _json_or_empty(arguments: str) -> str:
    try:
        json.loads(arguments)
    except ValueError:
        return "{}"
    return arguments


def _tool(tool: ToolDefinition) -> Json:
    function = {"name": tool.name, "description": tool.description, "parameters": dialogue.schema(tool)}
    return {"type": "function", "function": function}


class StreamFold:
    """Folds a stream's chunks into one message. `add` returns what to pass on, often nothing."""

    def __init__(self, request: GenerateRequest, entry: ModelEntry) -> None:
        self._draft = Draft(request, entry)
        self._finish_reason = ""
        self._tokens: TokenCount | None = None
        self._begun: dict[int, tuple[int, str]] = {}
        """Place and id of the call last begun at each index."""
        self._taken: set[int] = set()

    def add(self, chunk: Object) -> Sequence[Delta]:
        """Take in the next chunk. Raises ModelUnavailable when it makes no sense."""
        with self._draft.making_sense():
            self._tokens = _tokens(chunk.get("usage")) or self._tokens
            choices = chunk.get("choices") or ()
            return [piece for choice in choices if choice["index"] == 0 for piece in self._add(choice)]

    def _add(self, choice: Object) -> Iterator[Delta]:
        self._finish_reason = choice.get("finish_reason") or self._finish_reason
        delta = choice.get("delta")
        if not delta:
            return
        for name in _REASONING_FIELDS:
            thought = delta.get(name)
            if isinstance(thought, str) and thought:
                yield from self._draft.add_reasoning(_REASONING, text=thought)
                break
        yield from self._draft.add_text(_TEXT, delta.get("content") or "")
        for call in delta.get("tool_calls") or ():
            function = call.get("function") or {}
            yield from self._draft.add_call(
                self._place(call),
                name=function.get("name") or "",
                arguments=function.get("arguments") or "",
            )

    def _place(self, call: Object) -> int:
        """A call's index, unless the server began another call there: some number all of them 0, or none."""
        index, told = call.get("index") or 0, call.get("id") or ""
        place, begun = self._begun.get(index, (index, ""))
        # An id alone begins nothing: some servers make up a new one for each piece.
        another = told and begun and told != begun and (call.get("function") or {}).get("name")
        if another or index not in self._begun:
            place = index if index not in self._taken else max(self._taken) + 1
            self._taken.add(place)
            begun = ""
        self._begun[index] = place, begun or told
        return place

    def finish(self, *, waited_seconds: float) -> Generation:
        """The whole message. Raises ModelUnavailable when the stream ended before the model did."""
        if not self._finish_reason:
            raise self._draft.cut_off()
        with self._draft.making_sense():
            reason = _FINISH_REASONS.get(self._finish_reason, FINISH_REASON_STOP)
            return self._draft.finish(reason, self._tokens, waited_seconds=waited_seconds)


def _tokens(usage: Object | None) -> TokenCount | None:
    if not usage:
        return None
    read, written = counted(usage.get("prompt_tokens")), counted(usage.get("completion_tokens"))
    if read is None or written is None:
        return None
    details = usage.get("prompt_tokens_details") or {}
    cached = min(counted(details.get("cached_tokens")) or 0, read)
    return TokenCount(input=read - cached, output=written, cache_read=cached)
