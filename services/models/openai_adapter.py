"""The chat-completions dialect, both directions, as plain functions of values.

Written against what servers do rather than what the reference says: a first chunk may have no choices,
the last one has usage and no choices, a tool call's id and name come once and its arguments in pieces,
and a broken connection looks like a stream that just ends.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from openai.types.chat import ChatCompletionChunk
from openai.types.chat.chat_completion_chunk import Choice
from openai.types.completion_usage import CompletionUsage

from aucert.models.v1.message_pb2 import ROLE_ASSISTANT, ROLE_TOOL, Message
from aucert.models.v1.model_service_pb2 import (
    FINISH_REASON_CONTENT_FILTER,
    FINISH_REASON_LENGTH,
    FINISH_REASON_STOP,
    FINISH_REASON_TOOL_CALLS,
    TOOL_CHOICE_REQUIRED,
    GenerateRequest,
    ToolDefinition,
)
from services.models import dialogue, reasoning
from services.models.dialogue import Json
from services.models.domain import Capability, Dialect, ModelEntry, TokenCount
from services.models.draft import Draft
from services.models.provider import Delta, Generation

_FINISH_REASONS = {
    "stop": FINISH_REASON_STOP,
    "length": FINISH_REASON_LENGTH,
    "tool_calls": FINISH_REASON_TOOL_CALLS,
    "function_call": FINISH_REASON_TOOL_CALLS,
    "content_filter": FINISH_REASON_CONTENT_FILTER,
    "sensitive": FINISH_REASON_CONTENT_FILTER,  # Z.ai's word
}
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
        self._usage: CompletionUsage | None = None

    def add(self, chunk: ChatCompletionChunk) -> Sequence[Delta]:
        """Take in the next chunk. Raises ModelUnavailable when it makes no sense."""
        self._usage = chunk.usage or self._usage
        return [piece for choice in chunk.choices or () if choice.index == 0 for piece in self._add(choice)]

    def _add(self, choice: Choice) -> Iterator[Delta]:
        self._finish_reason = choice.finish_reason or self._finish_reason
        delta = choice.delta
        if not delta:  # pyright: ignore[reportUnnecessaryComparison] - the SDK checks nothing it parses
            return
        for name in _REASONING_FIELDS:
            thought = getattr(delta, name, None)
            if isinstance(thought, str) and thought:
                yield from self._draft.add_reasoning(_REASONING, text=thought)
                break
        yield from self._draft.add_text(_TEXT, delta.content or "")
        for call in delta.tool_calls or ():
            function = call.function
            yield from self._draft.add_call(
                call.index,
                name=(function and function.name) or "",
                arguments=(function and function.arguments) or "",
            )

    def finish(self, *, waited_seconds: float) -> Generation:
        """The whole message. Raises ModelUnavailable when the stream ended before the model did."""
        if not self._finish_reason:
            raise self._draft.cut_off()
        reason = _FINISH_REASONS.get(self._finish_reason, FINISH_REASON_STOP)
        tokens = _tokens(self._usage) if self._usage else None
        return self._draft.finish(reason, tokens, waited_seconds=waited_seconds)


def _tokens(usage: CompletionUsage) -> TokenCount:
    details = usage.prompt_tokens_details
    cached = min((details and details.cached_tokens) or 0, usage.prompt_tokens)
    return TokenCount(input=usage.prompt_tokens - cached, output=usage.completion_tokens, cache_read=cached)
