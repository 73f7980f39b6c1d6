"""The chat-completions dialect, against what servers really send."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import openai
import pytest

from aucert.models.v1.generation_pb2 import FINISH_REASON_LENGTH, FINISH_REASON_STOP, FINISH_REASON_TOOL_CALLS
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
from aucert.models.v1.model_service_pb2 import TOOL_CHOICE_REQUIRED, GenerateRequest, ToolDefinition
from services.models import reasoning
from services.models.domain import Capability, Dialect, ModelEntry, Price, TokenCount
from services.models.draft import CHARS_MAX, TOOL_CALLS_MAX
from services.models.errors import (
    ModelContextExceeded,
    ModelFiltered,
    ModelRateLimited,
    ModelRefused,
    ModelUnavailable,
)
from services.models.openai_adapter import Object, StreamFold, to_request
from services.models.openai_sender import to_error
from services.models.provider import ReasoningMark, ToolCallDelta
from services.models.reasoning import Reasoning
from services.models.refusals import RATE_LIMIT_DEFAULT, RATE_LIMIT_MAX, retry_after

ENTRY = ModelEntry("local", "L0", "openai", "qwen", 32_768, 4_096, Price(0, 0, 0, 0))
USER = Message(role=ROLE_USER, parts=[Part(text="Why?")])
CALLED = Message(
    role=ROLE_ASSISTANT,
    parts=[
        reasoning.to_part(Reasoning("hm"), ENTRY),
        Part(reasoning=OpaqueReasoning(provider="openai/X9", data=b"secret")),
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


def body_of(request: GenerateRequest, entry: ModelEntry = ENTRY, **dialect: Any) -> dict[str, Any]:
    return to_request(request, entry, Dialect(**dialect))


def chunk(*choices: dict[str, object], **fields: object) -> Object:
    return {"id": "", "created": 0, "model": "", "object": "", "choices": list(choices), **fields}


def delta(finish_reason: str | None = None, index: int = 0, **fields: object) -> dict[str, object]:
    return {"index": index, "delta": fields, "finish_reason": finish_reason}


def fold(*chunks: Object, request: GenerateRequest | None = None) -> StreamFold:
    folding = StreamFold(request or GenerateRequest(messages=[USER]), ENTRY)
    for each in chunks:
        folding.add(each)
    return folding


def test_a_transcript_becomes_chat_messages_with_one_message_for_each_tool_result():
    body = body_of(GenerateRequest(system="Be kind.", messages=[USER, CALLED, RESULTS]))
    assert [each["role"] for each in body["messages"]] == ["system", "user", "assistant", "tool", "tool"]
    assert [each["tool_call_id"] for each in body["messages"][3:]] == ["t1_0", "t1_1"]
    assert body["stream_options"] == {"include_usage": True}


def test_broken_arguments_of_an_earlier_turn_are_sent_as_an_empty_object():
    assistant = body_of(GenerateRequest(messages=[USER, CALLED, RESULTS]))["messages"][1]
    assert [each["function"]["arguments"] for each in assistant["tool_calls"]] == ['{"path": "a"}', "{}"]


def test_only_this_models_own_reasoning_is_sent_back_and_only_to_a_server_that_wants_it():
    request = GenerateRequest(messages=[USER, CALLED, RESULTS])
    assert body_of(request)["messages"][1]["reasoning_content"] == "hm"
    assert "reasoning_content" not in body_of(request, reasoning_sent_back=False)["messages"][1]
    assert "reasoning_content" not in body_of(request, replace(ENTRY, label="L1"))["messages"][1]


def test_what_a_server_does_not_take_is_not_sent():
    body = body_of(
        GenerateRequest(messages=[USER]), output_limit_field="max_completion_tokens", usage_in_stream=False
    )
    assert body["max_completion_tokens"] == 4_096
    assert not {"max_tokens", "stream_options"} & body.keys()


def test_a_tool_is_forced_only_where_the_model_can_be_and_offered_only_where_it_can_call_one():
    request = GenerateRequest(
        messages=[USER], tools=[ToolDefinition(name="read")], tool_choice=TOOL_CHOICE_REQUIRED
    )
    able = replace(ENTRY, capabilities=frozenset({Capability.TOOLS, Capability.FORCED_TOOLS}))
    assert body_of(request, able)["tool_choice"] == "required"
    assert "tool_choice" not in body_of(request)
    assert "tools" not in body_of(request, replace(ENTRY, capabilities=frozenset()))


@pytest.mark.parametrize(("asked", "sent"), [(0, 4_096), (100, 100), (9_999, 4_096)])
def test_the_output_limit_is_the_callers_but_never_above_the_models(asked: int, sent: int):
    assert body_of(GenerateRequest(messages=[USER], output_tokens_max=asked))["max_tokens"] == sent


def test_tools_are_sent_in_the_order_given_and_left_out_when_there_are_none():
    tools = [ToolDefinition(name=name, parameters_json='{"type":"object"}') for name in ("b", "a")]
    body = body_of(GenerateRequest(messages=[USER], tools=tools))
    assert [each["function"]["name"] for each in body["tools"]] == ["b", "a"]
    assert "tools" not in body_of(GenerateRequest(messages=[USER]))


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
    generation = folding.finish(waited_seconds=0)
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
    ).finish(waited_seconds=0)
    calls = [part.tool_call for part in generation.message.parts]
    assert [(each.call_id, each.tool_name, each.arguments_json) for each in calls] == [
        ("t2_0", "list", '{"path":""}'),
        ("t2_1", "read", '{"a":1}'),
    ]
    assert generation.finish_reason == FINISH_REASON_TOOL_CALLS


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_is_kept_unread(name: str):
    folding = StreamFold(GenerateRequest(messages=[USER]), ENTRY)
    thoughts = [folding.add(chunk(delta(**{name: text}))) for text in ("h", "m")]
    assert thoughts == [[ReasoningMark()], []]
    folding.add(chunk(delta("length", content="x")))
    generation = folding.finish(waited_seconds=0)
    assert reasoning.from_part(generation.message.parts[0], ENTRY) == Reasoning("hm")
    assert generation.finish_reason == FINISH_REASON_LENGTH


def test_calls_are_passed_on_as_they_are_written_with_their_name_once():
    folding = StreamFold(GenerateRequest(messages=[USER]), ENTRY)
    pieces = [
        *folding.add(chunk(delta(tool_calls=[{"index": 0, "function": {"name": "read", "arguments": ""}}]))),
        *folding.add(chunk(delta(tool_calls=[{"index": 0, "function": {"name": "read", "arguments": "{"}}]))),
        *folding.add(chunk(delta(tool_calls=[{"index": 0, "function": {"arguments": "}"}}]))),
    ]
    assert pieces == [ToolCallDelta(0, "read", ""), ToolCallDelta(0, "", "{"), ToolCallDelta(0, "", "}")]


def test_a_call_without_arguments_has_an_empty_object():
    folding = fold(chunk(delta("tool_calls", tool_calls=[{"index": 0, "function": {"name": "list"}}])))
    assert folding.finish(waited_seconds=0).message.parts[0].tool_call.arguments_json == "{}"


def test_a_stream_without_end_is_an_error():
    with pytest.raises(ModelUnavailable):
        fold(chunk(delta(content="x" * (CHARS_MAX + 1))))


def test_a_stream_without_a_finish_reason_was_cut():
    with pytest.raises(ModelUnavailable):
        fold(chunk(delta(content="Becau"))).finish(waited_seconds=0)


def test_usage_is_estimated_when_the_server_sends_none():
    generation = fold(chunk(delta("stop", content="12345"))).finish(waited_seconds=0)
    assert generation.tokens == TokenCount(input=1, output=2)


@pytest.mark.parametrize(
    "usage",
    [{}, {"prompt_tokens": None}, {"prompt_tokens": 3}, {"prompt_tokens": -1, "completion_tokens": 1}],
)
def test_usage_is_estimated_when_the_server_leaves_out_a_count(usage: dict[str, object]):
    generation = fold(chunk(delta("stop", content="12345")), chunk(usage=usage)).finish(waited_seconds=0)
    assert generation.tokens == TokenCount(input=1, output=2)


@pytest.mark.parametrize(
    "fields",
    [
        {"content": ["Because"]},
        {"content": "\ud83d"},
        {"tool_calls": [{"index": 0, "function": {"name": "read", "arguments": {"path": "a"}}}]},
        {"tool_calls": [{"index": "first", "function": {"name": "read"}}]},
        {"tool_calls": ["read"]},
    ],
)
def test_a_piece_that_makes_no_sense_makes_the_model_unavailable(fields: dict[str, Any]):
    with pytest.raises(ModelUnavailable, match="makes no sense"):
        fold(chunk(delta(**fields)))


@pytest.mark.parametrize("index", [{}, {"index": None}, {"index": 0}])
def test_calls_that_are_not_numbered_apart_are_told_apart_by_their_ids(index: dict[str, object]):
    def piece(arguments: str, **function: str) -> dict[str, object]:
        name = function.get("name")
        return {**index, "id": function.get("id"), "function": {"name": name, "arguments": arguments}}

    generation = fold(
        chunk(delta(content="Let me see.")),
        chunk(delta(tool_calls=[piece('{"a"', id="x", name="read")])),
        chunk(delta(tool_calls=[piece(":1", id="made-up")])),
        chunk(delta(tool_calls=[piece("}")])),
        chunk(delta("tool_calls", tool_calls=[piece("{}", id="y", name="list")])),
    ).finish(waited_seconds=0)
    calls = [part.tool_call for part in generation.message.parts[1:]]
    assert [(each.tool_name, each.arguments_json) for each in calls] == [("read", '{"a":1}'), ("list", "{}")]


def test_more_calls_than_the_limit_are_an_error():
    calls = [{"index": number, "function": {"name": "x"}} for number in range(TOOL_CALLS_MAX + 1)]
    with pytest.raises(ModelUnavailable):
        fold(chunk(delta(tool_calls=calls)))


def status_error(
    status: int, code: str | int = "", text: str = "vendor text", headers: dict[str, str] | None = None
) -> openai.APIStatusError:
    request = httpx2.Request("POST", "http://127.0.0.1/chat/completions")
    response = httpx2.Response(status, request=request, headers=headers)
    return openai.APIStatusError(text, response=response, body={"code": code})


@pytest.mark.parametrize(
    ("status", "code", "text", "expected"),
    [
        (400, "context_length_exceeded", "", ModelContextExceeded),
        (400, "", "This model's maximum context length is 4096 tokens.", ModelContextExceeded),
        (400, "invalid_request_error", "Your request exceeded model token limit: 8192", ModelContextExceeded),
        (400, "1261", "Prompt exceeds max length", ModelContextExceeded),
        (413, "", "prompt is too long", ModelContextExceeded),
        (400, "content_filter", "", ModelFiltered),
        (400, "", "", ModelRefused),
        (401, "", "", ModelRefused),
        (402, "", "", ModelRefused),
        (404, "", "", ModelRefused),
        (408, "", "", ModelUnavailable),
        (500, "", "", ModelUnavailable),
        (503, "", "", ModelUnavailable),
        (429, "", "", ModelRateLimited),
        (429, "insufficient_quota", "", ModelRefused),
    ],
)
def test_each_status_has_its_error_without_the_vendors_text(
    status: int, code: str, text: str, expected: type[Exception]
):
    error = to_error(status_error(status, code, f"vendor text {text}"), ENTRY)
    assert type(error) is expected
    assert "vendor text" not in error.message
    assert error.metadata["http_status"] == str(status)


def test_an_error_within_a_stream_is_known_by_its_code_or_counts_as_a_failure():
    request = httpx2.Request("POST", "http://127.0.0.1/")

    def kind(**body: object) -> type[Exception]:
        return type(to_error(openai.APIError("vendor text", request, body=body), ENTRY))

    assert kind(code="rate_limit_exceeded") is ModelRateLimited
    assert kind(code="content_filter") is ModelFiltered
    # llama.cpp repeats the status as the code
    assert kind(code=400, type="exceed_context_size_error") is ModelContextExceeded
    assert kind(code=429, type="busy") is ModelRateLimited
    assert kind(code="overloaded") is ModelUnavailable
    assert kind(code={"of": "nobody"}) is ModelUnavailable


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
    assert json.loads(json.dumps(body_of(GenerateRequest(messages=[USER, CALLED, RESULTS]))))
