"""Bedrock's Converse, both directions, as plain functions of values: one dialect for every model it hosts.

An event of its stream is a dictionary with one key. Usage comes after the model stopped, so a stream is read
to its end; a tool call's input comes as pieces of JSON text and goes back as a JSON value.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aucert.models.v1.generation_pb2 import (
    FINISH_REASON_CONTENT_FILTER,
    FINISH_REASON_LENGTH,
    FINISH_REASON_MALFORMED,
    FINISH_REASON_STOP,
    FINISH_REASON_TOOL_CALLS,
)
from aucert.models.v1.message_pb2 import Part, ToolResult
from aucert.models.v1.model_service_pb2 import TOOL_CHOICE_REQUIRED, GenerateRequest, ToolDefinition
from services.models import bedrock_model_id, dialogue, reasoning
from services.models.dialogue import Json, Speech
from services.models.domain import Capability, ModelEntry, TokenCount
from services.models.draft import Draft
from services.models.errors import ModelContextExceeded
from services.models.provider import Delta, Generation
from services.models.tokens import counted

CACHE_POINT: Json = {"cachePoint": {"type": "default"}}
_CONTEXT_EXCEEDED = "model_context_window_exceeded"
_FINISH_REASONS = {
    "end_turn": FINISH_REASON_STOP,
    "stop_sequence": FINISH_REASON_STOP,
    "tool_use": FINISH_REASON_TOOL_CALLS,
    "max_tokens": FINISH_REASON_LENGTH,
    "guardrail_intervened": FINISH_REASON_CONTENT_FILTER,
    "content_filtered": FINISH_REASON_CONTENT_FILTER,
    "malformed_model_output": FINISH_REASON_MALFORMED,
    "malformed_tool_use": FINISH_REASON_MALFORMED,
}


def to_request(request: GenerateRequest, entry: ModelEntry) -> Json:
    """Render a call as the arguments of `converse_stream`."""
    body: Json = {
        "modelId": entry.provider_model_id,
        "messages": [_message(speech, entry) for speech in dialogue.speeches(request, entry)],
        "inferenceConfig": {"maxTokens": entry.output_tokens(request.output_tokens_max)},
    }
    caches = entry.can(Capability.CACHE_POINTS)
    if request.system:
        body["system"] = [{"text": request.system}, *([CACHE_POINT] if caches else [])]
    declared = [_tool(tool) for tool in dialogue.tools(request, entry)]
    if declared:  # Bedrock refuses an empty list
        config: Json = {"tools": [*declared, *([CACHE_POINT] if caches else [])]}
        if request.tool_choice == TOOL_CHOICE_REQUIRED and entry.can(Capability.FORCED_TOOLS):
            config["toolChoice"] = {"any": {}}
        body["toolConfig"] = config
    return body


def to_count_request(request: GenerateRequest, entry: ModelEntry) -> Json:
    """Render a call as the arguments of `count_tokens`."""
    body = to_request(request, entry)
    read = {name: body[name] for name in ("messages", "system", "toolConfig") if name in body}
    return {
        "modelId": bedrock_model_id.foundation_model(entry.provider_model_id),
        "input": {"converse": read},
    }


def _message(speech: Speech, entry: ModelEntry) -> Json:
    content = [block for part in speech.parts if (block := _block(part, entry))]
    if speech.cached:
        content.append(CACHE_POINT)
    return {"role": "assistant" if speech.by_model else "user", "content": content}


def _block(part: Part, entry: ModelEntry) -> Json | None:
    match part.WhichOneof("content"):
        case "text":
            return {"text": part.text}
        case "tool_call":
            call = part.tool_call
            written = dialogue.arguments(call.arguments_json)
            return {"toolUse": {"toolUseId": call.call_id, "name": call.tool_name, "input": written}}
        case "tool_result":
            return {"toolResult": _result(part.tool_result, entry)}
        case _:
            return _thought(part, entry)


def _result(result: ToolResult, entry: ModelEntry) -> Json:
    block: Json = {"toolUseId": result.call_id, "content": [{"text": result.text or "(nothing)"}]}
    if result.failed and entry.can(Capability.TOOL_ERRORS):
        block["status"] = "error"
    return block


def _thought(part: Part, entry: ModelEntry) -> Json | None:
    thought = reasoning.from_part(part, entry)
    if thought and thought.redacted:
        return {"reasoningContent": {"redactedContent": base64.b64decode(thought.redacted)}}
    if thought and thought.signature:
        text = {"text": thought.text, "signature": thought.signature}
        return {"reasoningContent": {"reasoningText": text}}
    return None  # models that do not sign their reasoning are not asked for it, and some refuse it


def _tool(tool: ToolDefinition) -> Json:
    spec: Json = {"name": tool.name, "inputSchema": {"json": dialogue.schema(tool)}}
    if tool.description:
        spec["description"] = tool.description
    return {"toolSpec": spec}


class EventFold:
    """Folds a stream's events into one message. `add` returns what to pass on, often nothing."""

    def __init__(self, request: GenerateRequest, entry: ModelEntry) -> None:
        self._entry = entry
        self._draft = Draft(request, entry)
        self._stop_reason = ""
        self._tokens: TokenCount | None = None

    def add(self, event: Mapping[str, Any]) -> Sequence[Delta]:
        """Take in the next event. Raises ModelUnavailable when it exceeds all bounds or makes no sense."""
        with self._draft.making_sense():
            return list(self._read(event))

    def _read(self, event: Mapping[str, Any]) -> Iterator[Delta]:
        for kind, content in event.items():
            match kind:
                case "contentBlockStart":
                    if use := (content.get("start") or {}).get("toolUse"):
                        yield from self._draft.add_call(content["contentBlockIndex"], name=use["name"])
                case "contentBlockDelta":
                    yield from self._add(content["contentBlockIndex"], content["delta"])
                case "messageStop":
                    self._stop_reason = content["stopReason"]
                case "metadata":
                    self._tokens = _tokens(content.get("usage") or {}) or self._tokens
                case _:  # messageStart and contentBlockStop tell nothing new
                    pass

    def _add(self, place: int, delta: Mapping[str, Any]) -> Iterator[Delta]:
        if "text" in delta:
            yield from self._draft.add_text(place, delta["text"])
        elif "toolUse" in delta:
            yield from self._draft.add_call(place, arguments=delta["toolUse"]["input"])
        elif "reasoningContent" in delta:
            thought = delta["reasoningContent"]
            yield from self._draft.add_reasoning(
                place,
                text=thought.get("text", ""),
                signature=thought.get("signature", ""),
                redacted=base64.b64encode(thought.get("redactedContent", b"")).decode(),
            )

    def finish(self, *, waited_seconds: float) -> Generation:
        """The whole message.

        Raises ModelUnavailable when the stream ended before the model did, and ModelContextExceeded.
        """
        if not self._stop_reason:
            raise self._draft.cut_off()
        if self._stop_reason == _CONTEXT_EXCEEDED:
            raise ModelContextExceeded(f"The conversation no longer fits {self._entry.alias}.")
        with self._draft.making_sense():
            reason = _FINISH_REASONS.get(self._stop_reason, FINISH_REASON_STOP)
            return self._draft.finish(reason, self._tokens, waited_seconds=waited_seconds)


def _tokens(usage: Mapping[str, object]) -> TokenCount | None:
    read, written = counted(usage.get("inputTokens")), counted(usage.get("outputTokens"))
    if read is None or written is None:
        return None
    return TokenCount(
        input=read,
        output=written,
        cache_read=counted(usage.get("cacheReadInputTokens")) or 0,
        cache_write=counted(usage.get("cacheWriteInputTokens")) or 0,
    )
