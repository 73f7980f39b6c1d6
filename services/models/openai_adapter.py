"""The chat-completions dialect, both directions, as plain functions of values.

Written against what servers do rather than what the reference says: a first chunk may have no choices,
the last one has usage and no choices, a tool call's id and name come once and its arguments in pieces,
and a broken connection looks like a stream that just ends.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from openai.types.chat import ChatCompletionChunk
from openai.types.chat.chat_completion_chunk import Choice, ChoiceDeltaToolCall
from openai.types.completion_usage import CompletionUsage

from aucert.models.v1.message_pb2 import (
    ROLE_ASSISTANT,
    ROLE_TOOL,
    Message,
    OpaqueReasoning,
    Part,
    ToolCall,
)
from aucert.models.v1.model_service_pb2 import (
    FINISH_REASON_CONTENT_FILTER,
    FINISH_REASON_LENGTH,
    FINISH_REASON_STOP,
    FINISH_REASON_TOOL_CALLS,
    FinishReason,
    GenerateRequest,
    ToolDefinition,
)
from services.models.domain import ModelEntry, TokenCount
from services.models.errors import ModelUnavailable
from services.models.provider import Generation, call_id, turn_number
from services.models.tokens import estimate

PROVIDER = "openai"
TOOL_CALLS_MAX = 128
_FINISH_REASONS = {
    "stop": FINISH_REASON_STOP,
    "length": FINISH_REASON_LENGTH,
    "tool_calls": FINISH_REASON_TOOL_CALLS,
    "function_call": FINISH_REASON_TOOL_CALLS,
    "content_filter": FINISH_REASON_CONTENT_FILTER,
}
Json = dict[str, Any]


def to_request(request: GenerateRequest, entry: ModelEntry) -> Json:
    """Render a call as the body of POST /chat/completions."""
    messages: list[Json] = [{"role": "system", "content": request.system}] if request.system else []
    for message in request.messages:
        messages.extend(_messages(message))
    body: Json = {
        "model": entry.provider_model_id,
        "messages": messages,
        "max_tokens": min(request.output_tokens_max or entry.output_tokens_max, entry.output_tokens_max),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    return body


def _messages(message: Message) -> Iterator[Json]:
    text = "\n\n".join(part.text for part in message.parts if part.HasField("text"))
    if message.role == ROLE_TOOL:
        for part in message.parts:
            if part.HasField("tool_result"):
                result = part.tool_result
                yield {"role": "tool", "tool_call_id": result.call_id, "content": result.text}
    elif message.role == ROLE_ASSISTANT:
        yield _assistant(message, text)
    else:
        yield {"role": "user", "content": text}


def _assistant(message: Message, text: str) -> Json:
    said: Json = {"role": "assistant", "content": text or None}
    calls = [part.tool_call for part in message.parts if part.HasField("tool_call")]
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
    # Servers that send reasoning want it back with the calls it led to; others never sent any.
    kept = [part.reasoning for part in message.parts if part.HasField("reasoning")]
    own = b"".join(each.data for each in kept if each.provider == PROVIDER)
    if own:
        said["reasoning_content"] = own.decode()
    return said


def _json_or_empty(arguments: str) -> str:
    try:
        json.loads(arguments)
    except ValueError:
        return "{}"
    return arguments


def _tool(tool: ToolDefinition) -> Json:
    function: Json = {"name": tool.name, "description": tool.description}
    function["parameters"] = json.loads(tool.parameters_json) if tool.parameters_json else {"type": "object"}
    return {"type": "function", "function": function}


@dataclass(slots=True)
class _CallPieces:
    name: str = ""
    arguments: list[str] = field(default_factory=list[str])


class StreamFold:
    """Folds a stream's chunks into one message. `add` returns the text to pass on, often empty."""

    def __init__(self, request: GenerateRequest) -> None:
        self._request = request
        self._texts: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, _CallPieces] = {}
        self._finish_reason = ""
        self._usage: CompletionUsage | None = None

    def add(self, chunk: ChatCompletionChunk) -> str:
        """Take in the next chunk. Raises ModelUnavailable when it makes no sense."""
        self._usage = chunk.usage or self._usage
        return "".join([self._add_choice(choice) for choice in chunk.choices or () if choice.index == 0])

    def _add_choice(self, choice: Choice) -> str:
        self._finish_reason = choice.finish_reason or self._finish_reason
        delta = choice.delta
        if not delta:  # pyright: ignore[reportUnnecessaryComparison] - the SDK checks nothing it parses
            return ""
        for call in delta.tool_calls or ():
            self._add_call(call)
        reasoning = getattr(delta, "reasoning_content", None)  # a vendor's extension, not in the SDK's types
        if isinstance(reasoning, str):
            self._reasoning.append(reasoning)
        text = delta.content or ""
        self._texts.append(text)
        return text

    def _add_call(self, delta: ChoiceDeltaToolCall) -> None:
        if delta.index not in self._calls and len(self._calls) >= TOOL_CALLS_MAX:
            raise ModelUnavailable(f"The model asked for more than {TOOL_CALLS_MAX} tools at once.")
        pieces = self._calls.setdefault(delta.index, _CallPieces())
        if delta.function:
            pieces.name = pieces.name or delta.function.name or ""
            pieces.arguments.append(delta.function.arguments or "")

    def finish(self, entry: ModelEntry, *, waited_seconds: float) -> Generation:
        """The whole message. Raises ModelUnavailable when the stream ended before the model did."""
        if not self._finish_reason:
            raise ModelUnavailable(f"The answer of {entry.alias} was cut off on its way. Try again.")
        message = Message(role=ROLE_ASSISTANT, parts=self._parts())
        tokens = _tokens(self._usage) if self._usage else estimate(self._request, message)
        return Generation(message, self._reason(), tokens, waited_seconds)

    def _parts(self) -> Iterator[Part]:
        reasoning, text, turn = "".join(self._reasoning), "".join(self._texts), turn_number(self._request)
        if reasoning:
            yield Part(reasoning=OpaqueReasoning(provider=PROVIDER, data=reasoning.encode()))
        if text:
            yield Part(text=text)
        for place, (_, pieces) in enumerate(sorted(self._calls.items())):
            arguments = "".join(pieces.arguments)
            yield Part(
                tool_call=ToolCall(
                    call_id=call_id(turn, place), tool_name=pieces.name, arguments_json=arguments
                )
            )

    def _reason(self) -> FinishReason.ValueType:
        known = _FINISH_REASONS.get(self._finish_reason, FINISH_REASON_STOP)
        # Some servers end a turn that holds calls with "stop", or with words of their own.
        return FINISH_REASON_TOOL_CALLS if self._calls and known == FINISH_REASON_STOP else known


def _tokens(usage: CompletionUsage) -> TokenCount:
    details = usage.prompt_tokens_details
    cached = min((details and details.cached_tokens) or 0, usage.prompt_tokens)
    return TokenCount(input=usage.prompt_tokens - cached, output=usage.completion_tokens, cache_read=cached)
