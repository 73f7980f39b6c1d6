"""The chat-completions dialect, against what servers really send."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from aucert.models.v1.message_pb2 import (
    ROLE_ASSISTANT,
    ROLE_TOOL,
    ROLE_USER,
    Message,
    OpaqueReasoning,
    Part,
    ToolCall,
    ToolResult,
)
from aucert.models.v1.model_service_pb2 import (
    FINISH_REASON_LENGTH,
    FINISH_REASON_STOP,
    FINISH_REASON_TOOL_CALLS,
    GenerateRequest,
    ToolDefinition,
)
from services.models.domain import ModelEntry, Price, TokenCount
from services.models.errors import ModelContextExceeded, ModelRateLimited, ModelRefused, ModelUnavailable
from services.models.openai_adapter import TOOL_CALLS_MAX, StreamFold, to_request
from services.models.openai_sender import RATE_LIMIT_DEFAULT, RATE_LIMIT_MAX, retry_after, to_error

ENTRY = ModelEntry("local", "L0", "openai", "qwen", 32_768, 4_096, Price(0, 0, 0, 0))
USER = Message(role=ROLE_USER, parts=[Part(text="Why?")])
CALLED = Message(
    role=ROLE_ASSISTANT,
    parts=[
        Part(reasoning=OpaqueReasoning(provider="openai", data=b"hm")),
        Part(reasoning=OpaqueReasoning(provider="other", data=b"secret")),
        Part(tool_call=ToolCall(call_id="t1_0", tool_name="read", arguments_json='{"path": "a"}')),
        Part(tool_call=ToolCall(call_id="t1_1", tool_name="read", arguments_json='{"path": ')),
    ],
)
RESULTS = Message(
    role=ROLE_TOOL,
    parts=[
        Part(tool_result=ToolResult(call_id="t1_0", text="A")),
        Part(tool_result=ToolResult(call_id="t1_1", text="no JSON", failed=True)),
    ],
)


def chunk(*choices: dict[str, object], **fields: object) -> ChatCompletionChunk:
    return ChatCompletionChunk.construct(
        **{"id": "", "created": 0, "model": "", "object": "", "choices": list(choices), **fields}
    )


def delta(finish_reason: str | None = None, index: int = 0, **fields: object) -> dict[str, object]:
    return {"index": index, "delta": fields, "finish_reason": finish_reason}


def fold(*chunks: ChatCompletionChunk, request: GenerateRequest | None = None) -> StreamFold:
    folding = StreamFold(request or GenerateRequest(messages=[USER]))
    for each in chunks:
        folding.add(each)
    return folding


def test_a_transcript_becomes_chat_messages_with_one_message_for_each_tool_result():
    body = to_request(GenerateRequest(system="Be kind.", messages=[USER, CALLED, RESULTS]), ENTRY)
    assert [each["role"] for each in body["messages"]] == ["system", "user", "assistant", "tool", "tool"]
    assert [each["tool_call_id"] for each in body["messages"][3:]] == ["t1_0", "t1_1"]
    assert body["stream_options"] == {"include_usage": True}


def test_broken_arguments_of_an_earlier_turn_are_sent_as_an_empty_object():
    assistant = to_request(GenerateRequest(messages=[USER, CALLED, RESULTS]), ENTRY)["messages"][1]
    assert [each["function"]["arguments"] for each in assistant["tool_calls"]] == ['{"path": "a"}', "{}"]


def test_only_this_providers_own_reasoning_is_sent_back():
    assistant = to_request(GenerateRequest(messages=[USER, CALLED, RESULTS]), ENTRY)["messages"][1]
    assert assistant["reasoning_content"] == "hm"


@pytest.mark.parametrize(("asked", "sent"), [(0, 4_096), (100, 100), (9_999, 4_096)])
def test_the_output_limit_is_the_callers_but_never_above_the_models(asked: int, sent: int):
    assert to_request(GenerateRequest(messages=[USER], output_tokens_max=asked), ENTRY)["max_tokens"] == sent


def test_tools_are_sent_in_the_order_given_and_left_out_when_there_are_none():
    tools = [ToolDefinition(name=name, parameters_json='{"type":"object"}') for name in ("b", "a")]
    body = to_request(GenerateRequest(messages=[USER], tools=tools), ENTRY)
    assert [each["function"]["name"] for each in body["tools"]] == ["b", "a"]
    assert "tools" not in to_request(GenerateRequest(messages=[USER]), ENTRY)


def test_text_is_joined_and_usage_comes_from_a_last_chunk_without_choices():
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 3,
        "total_tokens": 13,
        "prompt_tokens_details": {"cached_tokens": 4},
    }
    folding = fold(
        chunk(),  # Azure's first chunk has no choices
        chunk(delta(role="assistant", content="")),
        chunk(delta(content="Be")),
        chunk(delta(content="cause")),
        chunk(delta("stop")),
        chunk(usage=usage),
    )
    generation = folding.finish(ENTRY, waited_seconds=0)
    assert generation.message.parts[0].text == "Because"
    assert generation.tokens == TokenCount(input=6, output=3, cache_read=4)
    assert generation.finish_reason == FINISH_REASON_STOP


def test_tool_calls_are_put_together_by_index_and_get_the_platforms_ids():
    def piece(index: int, **function: str) -> dict[str, object]:
        return delta(tool_calls=[{"index": index, "id": "same", "function": function}])

    generation = fold(
        chunk(piece(1, name="read", arguments="")),
        chunk(piece(0, name="list", arguments='{"pa')),
        chunk(piece(1, arguments='{"a":1}')),
        chunk(piece(0, arguments='th":""}')),
        chunk(delta("stop")),  # some servers end calls this way
        request=GenerateRequest(messages=[USER, CALLED, RESULTS]),
    ).finish(ENTRY, waited_seconds=0)
    calls = [part.tool_call for part in generation.message.parts]
    assert [(each.call_id, each.tool_name, each.arguments_json) for each in calls] == [
        ("t2_0", "list", '{"path":""}'),
        ("t2_1", "read", '{"a":1}'),
    ]
    assert generation.finish_reason == FINISH_REASON_TOOL_CALLS


def test_reasoning_is_kept_unread():
    generation = fold(chunk(delta(reasoning_content="hm")), chunk(delta("length", content="x"))).finish(
        ENTRY, waited_seconds=0
    )
    assert generation.message.parts[0].reasoning == OpaqueReasoning(provider="openai", data=b"hm")
    assert generation.finish_reason == FINISH_REASON_LENGTH


def test_a_stream_without_a_finish_reason_was_cut():
    with pytest.raises(ModelUnavailable):
        fold(chunk(delta(content="Becau"))).finish(ENTRY, waited_seconds=0)


def test_usage_is_estimated_when_the_server_sends_none():
    generation = fold(chunk(delta("stop", content="12345"))).finish(ENTRY, waited_seconds=0)
    assert generation.tokens == TokenCount(input=1, output=2)


def test_more_calls_than_the_limit_are_an_error():
    calls = [{"index": number, "function": {"name": "x"}} for number in range(TOOL_CALLS_MAX + 1)]
    with pytest.raises(ModelUnavailable):
        fold(chunk(delta(tool_calls=calls)))


def status_error(status: int, code: str = "", headers: dict[str, str] | None = None) -> openai.APIStatusError:
    request = httpx2.Request("POST", "http://127.0.0.1/chat/completions")
    response = httpx2.Response(status, request=request, headers=headers)
    kind = openai.RateLimitError if status == 429 else openai.APIStatusError
    return kind("vendor text", response=response, body={"code": code})


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, "context_length_exceeded", ModelContextExceeded),
        (400, "content_filter", ModelRefused),
        (401, "", ModelRefused),
        (404, "", ModelRefused),
        (408, "", ModelUnavailable),
        (500, "", ModelUnavailable),
        (503, "", ModelUnavailable),
        (429, "", ModelRateLimited),
    ],
)
def test_each_status_has_its_error_without_the_vendors_text(
    status: int, code: str, expected: type[Exception]
):
    error = to_error(status_error(status, code), ENTRY)
    assert type(error) is expected
    assert "vendor text" not in error.message
    assert error.metadata["http_status"] == str(status)


def test_a_code_that_could_be_vendor_text_is_left_out():
    assert "provider_code" not in to_error(status_error(400, "no such\nthing"), ENTRY).metadata


def test_a_dead_connection_is_unavailable():
    request = httpx2.Request("POST", "http://127.0.0.1/")
    assert isinstance(to_error(openai.APIConnectionError(request=request), ENTRY), ModelUnavailable)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, RATE_LIMIT_DEFAULT),
        ({"retry-after": "7"}, timedelta(seconds=7)),
        ({"retry-after": "7", "retry-after-ms": "150"}, timedelta(milliseconds=150)),
        ({"retry-after": "Mon, 23 Nov 2026 00:00:30 GMT"}, timedelta(seconds=30)),
        ({"retry-after": "Sun, 22 Nov 2026 00:00:30 GMT"}, timedelta()),
        ({"retry-after": "soon"}, RATE_LIMIT_DEFAULT),
        ({"retry-after": "99999999999999999999"}, RATE_LIMIT_MAX),
    ],
)
def test_how_long_a_rate_limit_lasts(headers: dict[str, str], expected: timedelta):
    assert retry_after(headers, lambda: datetime(2026, 11, 23, tzinfo=UTC)) == expected


def test_the_request_is_json():
    assert json.loads(json.dumps(to_request(GenerateRequest(messages=[USER, CALLED, RESULTS]), ENTRY)))
