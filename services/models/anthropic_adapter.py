"""Anthropic's Messages, both directions, as plain functions of values.

Tools, system and transcript are sent in that order of stability, with a cache point behind each: the first
request of a run writes the cache, each later one reads all but its newest turn from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from anthropic.types import (
    InputJSONDelta,
    RawContentBlockDelta,
    RawMessageStreamEvent,
    RedactedThinkingBlock,
    SignatureDelta,
    TextBlock,
    TextDelta,
    ThinkingBlock,
    ThinkingDelta,
    ToolUseBlock,
)

from aucert.models.v1.generation_pb2 import (
    FINISH_REASON_CONTENT_FILTER,
    FINISH_REASON_LENGTH,
    FINISH_REASON_STOP,
    FINISH_REASON_TOOL_CALLS,
)
from aucert.models.v1.message_pb2 import Part
from aucert.models.v1.model_service_pb2 import TOOL_CHOICE_REQUIRED, GenerateRequest, ToolDefinition
from services.models import dialogue, reasoning
from services.models.dialogue import Json, Speech
from services.models.domain import Capability, ModelEntry, TokenCount
from services.models.draft import Draft
from services.models.errors import ModelContextExceeded
from services.models.provider import Delta, Generation
from services.models.tokens import counted

CACHE_POINT: Json = {"cache_control": {"type": "ephemeral"}}
_CONTEXT_EXCEEDED = "model_context_window_exceeded"
_FINISH_REASONS = {
    "end_turn": FINISH_REASON_STOP,
    "stop_sequence": FINISH_REASON_STOP,
    "pause_turn": FINISH_REASON_STOP,
    "tool_use": FINISH_REASON_TOOL_CALLS,
    "max_tokens": FINISH_REASON_LENGTH,
    "refusal": FINISH_REASON_CONTENT_FILTER,
}


def to_request(request: GenerateRequest, entry: ModelEntry) -> Json:
    """Render a call as the body of POST /v1/messages."""
    caches = entry.can(Capability.CACHE_POINTS)
    body: Json = {
        "model": entry.provider_model_id,
        "max_tokens": entry.output_tokens(request.output_tokens_max),
        "messages": [_message(speech, entry) for speech in dialogue.speeches(request, entry)],
    }
    if request.system:
        body["system"] = _ending_in_a_cache_point([{"type": "text", "text": request.system}], caches=caches)
    declared = [_tool(tool) for tool in dialogue.tools(request, entry)]
    if declared:
        body["tools"] = _ending_in_a_cache_point(declared, caches=caches)
        if request.tool_choice == TOOL_CHOICE_REQUIRED and entry.can(Capability.FORCED_TOOLS):
            body["tool_choice"] = {"type": "any"}
    return body


def to_count_request(request: GenerateRequest, entry: ModelEntry) -> Json:
    """Render a call as the body of POST /v1/messages/count_tokens."""
    return {name: value for name, value in to_request(request, entry).items() if name != "max_tokens"}


def _message(speech: Speech, entry: ModelEntry) -> Json:
    content = [block for part in speech.parts if (block := _block(part, entry))]
    return {
        "role": "assistant" if speech.by_model else "user",
        "content": _ending_in_a_cache_point(content, caches=speech.cached),
    }


def _ending_in_a_cache_point(blocks: list[Json], *, caches: bool) -> list[Json]:
    return [*blocks[:-1], {**blocks[-1], **CACHE_POINT}] if caches and blocks else blocks


def _block(part: Part, entry: ModelEntry) -> Json | None:
    match part.WhichOneof("content"):
        case "text":
            return {"type": "text", "text": part.text}
        case "tool_call":
            call = part.tool_call
            written = dialogue.arguments(call.arguments_json)
            return {"type": "tool_use", "id": call.call_id, "name": call.tool_name, "input": written}
        case "tool_result":
            result = part.tool_result
            block: Json = {"type": "tool_result", "tool_use_id": result.call_id, "content": result.text}
            return (
                {**block, "is_error": True} if result.failed and entry.can(Capability.TOOL_ERRORS) else block
            )
        case _:
            return _thought(part, entry)


def _thought(part: Part, entry: ModelEntry) -> Json | None:
    thought = reasoning.from_part(part, entry)
    if thought and thought.redacted:
        return {"type": "redacted_thinking", "data": thought.redacted}
    if thought and thought.signature:
        return {"type": "thinking", "thinking": thought.text, "signature": thought.signature}
    return None


def _tool(tool: ToolDefinition) -> Json:
    return {"name": tool.name, "description": tool.description, "input_schema": dialogue.schema(tool)}


class EventFold:
    """Folds a stream's events into one message. `add` returns what to pass on, often nothing."""

    def __init__(self, request: GenerateRequest, entry: ModelEntry) -> None:
        self._entry = entry
        self._draft = Draft(request, entry)
        self._stop_reason = ""
        self._tokens: TokenCount | None = None

    def add(self, event: RawMessageStreamEvent) -> Sequence[Delta]:
        """Take in the next event. Raises ModelUnavailable when it exceeds all bounds or makes no sense."""
        with self._draft.making_sense():
            return list(self._read(event))

    def _read(self, event: RawMessageStreamEvent) -> Iterator[Delta]:
        match event.type:
            case "message_start":
                self._tokens = _tokens(getattr(event.message, "usage", None), None)
            case "content_block_start":
                yield from self._begin(event.index, event.content_block)
            case "content_block_delta":
                yield from self._add(event.index, event.delta)
            case "message_delta":
                self._stop_reason = event.delta.stop_reason or self._stop_reason
                self._tokens = _tokens(getattr(event, "usage", None), self._tokens)
            case _:  # content_block_stop and message_stop tell nothing new
                return

    def _begin(self, place: int, block: object) -> Iterator[Delta]:
        match block:
            case TextBlock():
                yield from self._draft.add_text(place, block.text)
            case ToolUseBlock():
                yield from self._draft.add_call(place, name=block.name)
            case ThinkingBlock():
                yield from self._draft.add_reasoning(place, text=block.thinking, signature=block.signature)
            case RedactedThinkingBlock():
                yield from self._draft.add_reasoning(place, redacted=block.data)
            case _:  # a server's own tools, which we do not ask for
                return

    def _add(self, place: int, delta: RawContentBlockDelta) -> Iterator[Delta]:
        match delta:
            case TextDelta():
                yield from self._draft.add_text(place, delta.text)
            case InputJSONDelta():
                yield from self._draft.add_call(place, arguments=delta.partial_json)
            case ThinkingDelta():
                yield from self._draft.add_reasoning(place, text=delta.thinking)
            case SignatureDelta():
                yield from self._draft.add_reasoning(place, signature=delta.signature)
            case _:  # citations
                return

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


def _tokens(usage: object, so_far: TokenCount | None) -> TokenCount | None:
    """Counts are cumulative; the last event may leave out what the first one said."""

    def latest(name: str, before: int | None) -> int | None:
        count = counted(getattr(usage, name, None))
        return before if count is None else count

    read = latest("input_tokens", so_far and so_far.input)
    written = latest("output_tokens", so_far and so_far.output)
    if read is None or written is None:
        return None
    return TokenCount(
        input=read,
        output=written,
        cache_read=latest("cache_read_input_tokens", so_far and so_far.cache_read) or 0,
        cache_write=latest("cache_creation_input_tokens", so_far and so_far.cache_write) or 0,
    )
