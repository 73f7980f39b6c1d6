"""Anthropic's Messages through its SDK and back, against a stand-in that checks by the SDK's own types."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
import grpc
import pytest

from aucert.models.v1 import model_service_pb2 as pb
from aucert.models.v1.generation_pb2 import (
    FINISH_REASON_CONTENT_FILTER,
    FINISH_REASON_LENGTH,
    FINISH_REASON_STOP,
    FINISH_REASON_TOOL_CALLS,
)
from aucert.models.v1.message_pb2 import ROLE_USER, Message, Part
from services.sandbox.anthropic import build_anthropic_app
from services.sandbox.model_world import ModelWorld, Reply, ToolUse, Trouble
from tests.service.models_kit import (
    READ,
    USER,
    ask,
    ended_early,
    finished,
    generate,
    listening,
    models_over_anthropic,
    refusal,
    results,
    text_of,
)

if TYPE_CHECKING:
    from aucert.models.v1.model_service_pb2_grpc import ModelServiceAsyncStub

READ_README = ToolUse("repo_read_file", '{"path": "README.md"}')
MARK = {"type": "ephemeral"}


@dataclass
class Stage:
    """The service, and the Anthropic it speaks to."""

    stub: ModelServiceAsyncStub
    world: ModelWorld


@pytest.fixture(scope="module")
async def running() -> AsyncIterator[Stage]:
    world = ModelWorld()
    async with models_over_anthropic(world) as stub:
        yield Stage(stub, world)


@pytest.fixture
def world(running: Stage) -> ModelWorld:
    running.world.clear()
    return running.world


@pytest.fixture
def stub(running: Stage) -> ModelServiceAsyncStub:
    return running.stub


async def test_it_calls_tools_reads_their_results_and_answers(stub: ModelServiceAsyncStub, world: ModelWorld):
    world.replies.extend([Reply("Let me look.", (READ_README, READ_README)), Reply("It is a shop.")])
    first = await finished(stub, ask("opus-direct", system="Be kind.", tools=[READ]))
    reply = results("# Shop", "", failed=True)
    request = ask("opus-direct", USER, first.message, reply, system="Be kind.", tools=[READ])
    second = await finished(stub, request)
    assert first.finish_reason == FINISH_REASON_TOOL_CALLS
    calls = [part.tool_call for part in first.message.parts if part.HasField("tool_call")]
    assert [(each.call_id, each.arguments_json) for each in calls] == [
        ("t1_0", READ_README.arguments),
        ("t1_1", READ_README.arguments),
    ]
    assert (second.message.parts[0].text, second.model_label) == ("It is a shop.", "O47")
    told = world.requests[1]["messages"][2]["content"]
    assert [each["is_error"] for each in told] == [True, True]


async def test_text_arguments_and_a_mark_of_reasoning_are_streamed_as_they_are_written(
    stub: ModelServiceAsyncStub, world: ModelWorld
):
    world.replies.append(Reply("Let me look.", (READ_README,), reasoning="Hm, a shop.", signature="c2ln"))
    *pieces, _ = await generate(stub, ask("opus-direct", tools=[READ]))
    assert text_of(pieces) == "Let me look."
    assert sum(each.HasField("reasoning_mark") for each in pieces) == 1
    deltas = [each.tool_call_delta for each in pieces if each.HasField("tool_call_delta")]
    assert [each.tool_name for each in deltas if each.tool_name] == ["repo_read_file"]
    assert "".join(each.arguments_delta for each in deltas) == READ_README.arguments


async def test_reasoning_goes_back_unchanged_with_the_results_of_the_calls_it_led_to(
    stub: ModelServiceAsyncStub, world: ModelWorld
):
    thinking = Reply(tool_uses=(READ_README,), reasoning="Hm.", signature="c2ln", redacted=b"\x00secret")
    world.replies.extend([thinking, Reply("A shop.")])
    first = await finished(stub, ask("opus-direct", tools=[READ]))
    await finished(stub, ask("opus-direct", USER, first.message, results("# Shop"), tools=[READ]))
    assert world.requests[1]["messages"][1]["content"][:2] == [
        {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "AHNlY3JldA=="},
    ]


async def test_broken_arguments_go_back_as_an_empty_object_and_a_tool_can_be_forced(
    stub: ModelServiceAsyncStub, world: ModelWorld
):
    world.replies.append(Reply(tool_uses=(ToolUse("repo_read_file", '{"path": '),)))
    forced = pb.TOOL_CHOICE_REQUIRED
    first = await finished(stub, ask("opus-direct", tools=[READ], tool_choice=forced))
    await finished(stub, ask("opus-direct", USER, first.message, results("no JSON"), tools=[READ]))
    assert first.message.parts[0].tool_call.arguments_json == '{"path": '
    assert world.requests[0]["tool_choice"] == {"type": "any"}
    assert world.requests[1]["messages"][1]["content"][0]["input"] == {}


async def test_the_prompt_is_cached_after_the_tools_the_system_and_the_last_two_things_said(
    stub: ModelServiceAsyncStub, world: ModelWorld
):
    world.replies.extend([Reply(tool_uses=(READ_README,))] * 2)
    said = [USER]
    for turn in (1, 2):
        answer = await finished(stub, ask("opus-direct", *said, system="Be kind.", tools=[READ]))
        said += [answer.message, results("# Shop", turn=turn)]
    await finished(stub, ask("opus-direct", *said, system="Be kind.", tools=[READ]))
    last = world.requests[-1]
    assert (last["tools"][-1]["cache_control"], last["system"][-1]["cache_control"]) == (MARK, MARK)
    marked = [
        place for place, message in enumerate(last["messages"]) if "cache_control" in message["content"][-1]
    ]
    assert marked == [2, 4]


@pytest.mark.parametrize(
    ("stop_reason", "expected"),
    [
        ("max_tokens", FINISH_REASON_LENGTH),
        ("refusal", FINISH_REASON_CONTENT_FILTER),
        ("pause_turn", FINISH_REASON_STOP),
    ],
)
async def test_each_stop_reason_is_a_finish_reason(
    stub: ModelServiceAsyncStub,
    world: ModelWorld,
    stop_reason: str,
    expected: pb.FinishReason.ValueType,
):
    world.replies.append(Reply("Be", stop_reason=stop_reason))
    assert (await finished(stub, ask("opus-direct"))).finish_reason == expected


AWAY = (grpc.StatusCode.UNAVAILABLE, "MODEL_UNAVAILABLE", 0.0)
OVERLOADED = (grpc.StatusCode.UNAVAILABLE, "MODEL_UNAVAILABLE", 10.0)
REFUSED = (grpc.StatusCode.FAILED_PRECONDITION, "MODEL_REFUSED", 0.0)
TOO_LONG = (grpc.StatusCode.FAILED_PRECONDITION, "MODEL_CONTEXT_EXCEEDED", 0.0)
SLOW = (grpc.StatusCode.RESOURCE_EXHAUSTED, "MODEL_RATE_LIMITED", 7.0)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(refused="rate_limit_error", retry_after_seconds=7), SLOW),
        (Reply(refused="overloaded_error"), OVERLOADED),
        (Reply(refused="api_error"), AWAY),
        (Reply(refused="timeout_error"), AWAY),
        (Reply(refused="authentication_error"), REFUSED),
        (Reply(refused="billing_error"), REFUSED),
        (Reply(refused="permission_error"), REFUSED),
        (Reply(refused="not_found_error"), REFUSED),
        (Reply(refused="request_too_large:Request exceeds the maximum size"), REFUSED),
        (Reply(refused="invalid_request_error:prompt is too long: 1 tokens > 0 maximum"), TOO_LONG),
        (Reply("Be", stop_reason="model_context_window_exceeded"), TOO_LONG),
        (Reply("Because", error="overloaded_error"), OVERLOADED),
        (Reply("Because", error="rate_limit_error"), OVERLOADED),  # what it wrote may be billed
        (Reply("Because", error="api_error"), AWAY),
        (Reply("Because", error="invalid_request_error"), REFUSED),
        (Reply("Because", trouble=Trouble.CUT), AWAY),
    ],
    ids=lambda value: value.refused or value.error or value.trouble if isinstance(value, Reply) else "",
)
async def test_each_documented_error_has_its_reason_and_is_met_once(
    stub: ModelServiceAsyncStub,
    world: ModelWorld,
    reply: Reply,
    expected: tuple[grpc.StatusCode, str, float],
):
    world.replies.append(reply)
    assert await refusal(stub, ask("opus-direct")) == expected
    assert len(world.requests) == 1


async def test_cancelling_ends_the_call_at_anthropic(stub: ModelServiceAsyncStub, world: ModelWorld):
    world.replies.append(Reply("Because", trouble=Trouble.STALL))
    call = stub.Generate(ask("opus-direct"), timeout=20)
    await call.read()
    call.cancel()
    await ended_early(world, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"temprature": 1},
        {"max_tokens": "many"},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi", "bold": True}]}]},
        {"messages": [{"role": "user", "content": [{"type": "txt", "text": "Hi"}]}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": " "}]}]},
        {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x"}]}]},
    ],
    ids=lambda wrong: str(wrong)[:40],
)
async def test_the_stand_in_refuses_what_the_sdks_types_do_not_allow(wrong: dict[str, object]):
    right = {
        "model": "claude-opus-4-7",
        "max_tokens": 10,
        "stream": True,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
    }
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
    async with (
        listening(build_anthropic_app(ModelWorld())) as url,
        aiohttp.ClientSession(headers=headers) as session,
    ):
        for body, status in ((right, 200), ({**right, **wrong}, 400)):
            async with session.post(f"{url}/v1/messages", json=body) as response:
                assert response.status == status
                await response.read()


async def test_tokens_are_counted_by_the_provider_and_nothing_is_generated():
    world = ModelWorld()
    async with models_over_anthropic(world) as stub:
        few = await stub.CountTokens(
            pb.CountTokensRequest(
                model_alias="opus-direct", system="Be brief.", messages=[USER], tools=[READ]
            )
        )
        more = await stub.CountTokens(
            pb.CountTokensRequest(
                model_alias="opus-direct",
                messages=[USER, Message(role=ROLE_USER, parts=[Part(text="x" * 4_000)])],
            )
        )
    assert (few.counter, more.counter) == (pb.TOKEN_COUNTER_PROVIDER, pb.TOKEN_COUNTER_PROVIDER)
    assert 0 < few.tokens_input < 1_000 <= more.tokens_input
    assert not world.requests
