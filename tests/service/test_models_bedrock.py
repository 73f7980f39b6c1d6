"""Bedrock through boto3 and back: real requests, real event-stream frames, a stand-in that checks each."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from aucert.models.v1 import model_service_pb2 as pb
from aucert.models.v1.generation_pb2 import (
    FINISH_REASON_CONTENT_FILTER,
    FINISH_REASON_LENGTH,
    FINISH_REASON_MALFORMED,
    FINISH_REASON_STOP,
    FINISH_REASON_TOOL_CALLS,
)
from aucert.models.v1.message_pb2 import ROLE_USER, Message, Part
from services.models.bedrock_sender import BedrockSender, bedrock_client
from services.models.domain import ModelEntry, Price, Timeouts
from services.models.settings import ModelsSettings
from services.sandbox.bedrock import build_bedrock_app
from services.sandbox.model_world import ModelWorld, Reply, ToolUse, Trouble
from tests.service.models_kit import (
    READ,
    USER,
    ask,
    certified,
    ended_early,
    finished,
    generate,
    listening,
    models_over_bedrock,
    refusal,
    results,
    text_of,
)

if TYPE_CHECKING:
    from aucert.models.v1.model_service_pb2_grpc import ModelServiceAsyncStub

READ_README = ToolUse("repo_read_file", '{"path": "README.md"}')
IMPATIENT = """
[[models]]
alias = "sonnet"
label = "S46"
provider = "bedrock"
provider_model_id = "us.anthropic.claude-sonnet-4-6"
context_tokens_max = 200_000
output_tokens_max = 32_000
capabilities = ["tools"]
timeouts = { first_token_seconds = 5, between_tokens_seconds = 0.05 }
price_usd_micros = { input = 1, output = 1, cache_read = 1, cache_write = 1 }
"""


@dataclass
class Stage:
    """The service, and the Bedrock it speaks to."""

    stub: ModelServiceAsyncStub
    world: ModelWorld


@pytest.fixture(scope="module")
async def running() -> AsyncIterator[Stage]:
    """One service for all: a client of boto3 takes half a second to make."""
    world = ModelWorld()
    async with models_over_bedrock(world) as stub:
        yield Stage(stub, world)


@pytest.fixture
def world(running: Stage) -> ModelWorld:
    running.world.clear()
    return running.world


@pytest.fixture
def stub(running: Stage) -> ModelServiceAsyncStub:
    return running.stub


@pytest.mark.parametrize("alias", ["sonnet", "opus", "kimi-k2.5", "glm"])
async def test_each_model_on_bedrock_calls_tools_reads_their_results_and_answers(
    stub: ModelServiceAsyncStub, world: ModelWorld, alias: str
):
    world.replies.extend([Reply("Let me look.", (READ_README, READ_README)), Reply("It is a shop.")])
    first = await finished(stub, ask(alias, system="Be kind.", tools=[READ]))
    reply = results("# Shop", "not found")
    second = await finished(stub, ask(alias, USER, first.message, reply, system="Be kind.", tools=[READ]))
    assert first.finish_reason == FINISH_REASON_TOOL_CALLS
    calls = [part.tool_call for part in first.message.parts if part.HasField("tool_call")]
    assert [(each.call_id, each.arguments_json) for each in calls] == [
        ("t1_0", READ_README.arguments),
        ("t1_1", READ_README.arguments),
    ]
    assert (second.message.parts[0].text, second.finish_reason) == ("It is a shop.", FINISH_REASON_STOP)
    assert [each["role"] for each in world.requests[1]["messages"]] == ["user", "assistant", "user"]
    assert second.cost_usd_micros > 0


async def test_text_arguments_and_a_mark_of_reasoning_are_streamed_as_they_are_written(
    stub: ModelServiceAsyncStub, world: ModelWorld
):
    world.replies.append(Reply("Let me look.", (READ_README,), reasoning="Hm, a shop.", signature="c2ln"))
    *pieces, last = await generate(stub, ask("sonnet", tools=[READ]))
    assert text_of(pieces) == "Let me look."
    assert sum(each.HasField("reasoning_mark") for each in pieces) == 1
    deltas = [each.tool_call_delta for each in pieces if each.HasField("tool_call_delta")]
    assert [each.tool_name for each in deltas if each.tool_name] == ["repo_read_file"]
    assert "".join(each.arguments_delta for each in deltas) == READ_README.arguments
    assert last.finished.message.parts[0].reasoning.provider == "bedrock/S46"


async def test_signed_and_redacted_reasoning_goes_back_to_the_model_that_wrote_it_and_to_no_other(
    stub: ModelServiceAsyncStub,
    world: ModelWorld,
):
    thinking = Reply(tool_uses=(READ_README,), reasoning="Hm.", signature="c2ln", redacted=b"\x00secret")
    world.replies.extend([thinking, Reply("By Sonnet."), Reply("By Kimi.")])
    first = await finished(stub, ask("sonnet", tools=[READ]))
    for alias in ("sonnet", "kimi-k2.5"):
        await finished(stub, ask(alias, USER, first.message, results("# Shop"), tools=[READ]))
    own, others = (world.requests[number]["messages"][1]["content"] for number in (1, 2))
    assert own[:2] == [
        {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}},
        {"reasoningContent": {"redactedContent": b"\x00secret"}},
    ]
    assert [list(block) for block in others] == [["toolUse"]]


async def test_broken_arguments_reach_the_caller_as_written_and_go_back_as_an_empty_object(
    stub: ModelServiceAsyncStub, world: ModelWorld
):
    world.replies.extend([Reply(tool_uses=(ToolUse("repo_read_file", '{"path": '),)), Reply("Sorry.")])
    first = await finished(stub, ask("opus", tools=[READ]))
    await finished(stub, ask("opus", USER, first.message, results("no JSON", failed=True), tools=[READ]))
    assert first.message.parts[0].tool_call.arguments_json == '{"path": '
    use, result = (world.requests[1]["messages"][place]["content"][0] for place in (1, 2))
    assert use["toolUse"]["input"] == {}
    assert result["toolResult"]["status"] == "error"


async def test_a_call_without_arguments_is_a_call_with_an_empty_object(
    stub: ModelServiceAsyncStub, world: ModelWorld
):
    world.replies.append(Reply(tool_uses=(ToolUse("repo_list_files", ""),)))
    message = (await finished(stub, ask("sonnet", tools=[READ]))).message
    assert message.parts[0].tool_call.arguments_json == "{}"


async def test_a_tool_can_be_forced_where_the_model_can_be_and_is_left_to_choose_where_not(
    stub: ModelServiceAsyncStub, world: ModelWorld
):
    for alias in ("sonnet", "glm"):
        await finished(stub, ask(alias, tools=[READ], tool_choice=pb.TOOL_CHOICE_REQUIRED))
    assert [each["toolConfig"].get("toolChoice") for each in world.requests] == [{"any": {}}, None]


@pytest.mark.parametrize(
    ("stop_reason", "expected"),
    [
        ("max_tokens", FINISH_REASON_LENGTH),
        ("guardrail_intervened", FINISH_REASON_CONTENT_FILTER),
        ("content_filtered", FINISH_REASON_CONTENT_FILTER),
        ("malformed_tool_use", FINISH_REASON_MALFORMED),
        ("malformed_model_output", FINISH_REASON_MALFORMED),
        ("stop_sequence", FINISH_REASON_STOP),
    ],
)
async def test_each_stop_reason_is_a_finish_reason(
    stub: ModelServiceAsyncStub, world: ModelWorld, stop_reason: str, expected: pb.FinishReason.ValueType
):
    world.replies.append(Reply("Be", stop_reason=stop_reason))
    assert (await finished(stub, ask("sonnet"))).finish_reason == expected


AWAY = (grpc.StatusCode.UNAVAILABLE, "MODEL_UNAVAILABLE", 0.0)
CUT_SHORT = (grpc.StatusCode.UNAVAILABLE, "MODEL_UNAVAILABLE", 10.0)
REFUSED = (grpc.StatusCode.FAILED_PRECONDITION, "MODEL_REFUSED", 0.0)
TOO_LONG = (grpc.StatusCode.FAILED_PRECONDITION, "MODEL_CONTEXT_EXCEEDED", 0.0)
SLOW = (grpc.StatusCode.RESOURCE_EXHAUSTED, "MODEL_RATE_LIMITED", 7.0)
SLOW_UNSAID = (grpc.StatusCode.RESOURCE_EXHAUSTED, "MODEL_RATE_LIMITED", 10.0)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(refused="ThrottlingException", retry_after_seconds=7), SLOW),
        (Reply(refused="ModelNotReadyException"), SLOW_UNSAID),
        (Reply(refused="ModelTimeoutException"), AWAY),
        (Reply(refused="ModelErrorException"), AWAY),
        (Reply(refused="InternalServerException"), AWAY),
        (Reply(refused="ServiceUnavailableException"), AWAY),
        (Reply(refused="AccessDeniedException"), REFUSED),
        (Reply(refused="ResourceNotFoundException"), REFUSED),
        (Reply(refused="ValidationException"), REFUSED),
        (Reply(refused="ValidationException:Input is too long for requested model."), TOO_LONG),
        (Reply("Be", stop_reason="model_context_window_exceeded"), TOO_LONG),
        (Reply("Because", error="throttlingException"), CUT_SHORT),
        (Reply("Because", error="modelStreamErrorException"), AWAY),
        (Reply("Because", error="internalServerException"), AWAY),
        (Reply("Because", error="serviceUnavailableException"), AWAY),
        (Reply("Because", error="validationException"), REFUSED),
        (Reply("Because", trouble=Trouble.CUT), AWAY),
    ],
    ids=lambda value: value.refused or value.error or value.trouble if isinstance(value, Reply) else "",
)
async def test_each_documented_error_has_its_reason_and_is_met_once(
    stub: ModelServiceAsyncStub, world: ModelWorld, reply: Reply, expected: tuple[grpc.StatusCode, str, float]
):
    world.replies.append(reply)
    assert await refusal(stub, ask("glm")) == expected
    assert len(world.requests) == 1


async def test_a_stream_that_falls_silent_is_cut(tmp_path: Path):
    catalogue = tmp_path / "own.toml"
    catalogue.write_text(IMPATIENT)
    world = ModelWorld(deque([Reply("Because", trouble=Trouble.STALL)]))
    async with models_over_bedrock(world, MODELS_CATALOGUE=catalogue) as stub:
        assert await refusal(stub, ask("sonnet")) == AWAY
        await ended_early(world, 1)


async def test_cancelling_and_a_passed_deadline_end_the_call_at_bedrock(
    stub: ModelServiceAsyncStub, world: ModelWorld
):
    world.replies.extend([Reply("Because", trouble=Trouble.STALL)] * 2)
    call = stub.Generate(ask("sonnet"), timeout=20)
    assert (await call.read()).text_delta
    call.cancel()
    with pytest.raises(grpc.aio.AioRpcError) as passed:
        async for _ in stub.Generate(ask("sonnet"), timeout=0.3):
            pass
    assert passed.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    await ended_early(world, 2)


async def test_a_call_hung_up_before_its_answer_began_gives_its_thread_back():
    """With one thread the next call can only be answered if the first one let go."""
    connections: list[asyncio.StreamWriter] = []
    connected = asyncio.Event()

    async def never_answers(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        connected.set()

    silent = await asyncio.start_server(never_answers, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    sender = BedrockSender(client_of(f"http://127.0.0.1:{port}"), calls_max=1)
    for _ in range(2):
        connected.clear()
        call = asyncio.ensure_future(anext(sender.generate(ask("x"), entry())))
        async with asyncio.timeout(5):
            await connected.wait()
        call.cancel()
        await asyncio.wait((call,))
        assert call.cancelled()
    async with asyncio.timeout(5):
        await sender.aclose()  # waits for the threads
    for writer in connections:
        writer.close()
    silent.close()
    await silent.wait_closed()


async def test_connections_are_used_again_by_the_next_call():
    app = build_bedrock_app(ModelWorld())
    peers: set[object] = set()

    async def note(request: object, response: object) -> None:
        peers.add(request.transport.get_extra_info("peername"))  # pyright: ignore

    app.on_response_prepare.append(note)
    async with listening(app) as url:
        sender = BedrockSender(client_of(url))
        for _ in range(3):
            pieces = [piece async for piece in sender.generate(ask("x"), entry())]
            assert pieces
        await sender.aclose()
    assert len(peers) == 1


async def test_bedrocks_own_key_is_sent_as_bearer_over_tls_where_a_call_is_hung_up_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tls, trusted = certified(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(trusted))
    world = ModelWorld(deque([Reply("Because."), Reply("Because", trouble=Trouble.STALL)]))
    async with models_over_bedrock(
        world, tls=tls, AWS_BEARER_TOKEN_BEDROCK="bedrock-key", AWS_ACCESS_KEY_ID=""
    ) as stub:
        assert text_of(await generate(stub, ask("sonnet"))) == "Because."
        call = stub.Generate(ask("sonnet"), timeout=20)
        assert (await call.read()).text_delta
        call.cancel()
        await ended_early(world, 1)


async def test_a_transcript_bedrock_would_refuse_is_refused_by_the_stand_in(
    stub: ModelServiceAsyncStub, world: ModelWorld
):
    assert await refusal(stub, ask("glm", USER, results("of no call"))) == REFUSED
    assert not world.requests


def client_of(url: str) -> object:
    return bedrock_client(
        ModelsSettings(
            _env_file=None,
            ASTRA_TOKEN="x",
            AWS_REGION="us-east-1",
            AWS_ACCESS_KEY_ID="AKIDEXAMPLE",
            AWS_SECRET_ACCESS_KEY="secret",
            AWS_ENDPOINT_URL_BEDROCK_RUNTIME=url,
        )
    )


def entry() -> ModelEntry:
    return ModelEntry(
        "x", "X1", "bedrock", "zai.glm-4.7", 1_000, 100, Price(0, 0, 0, 0), timeouts=Timeouts(20, 20, 20)
    )


async def test_tokens_are_counted_by_the_provider_and_nothing_is_generated():
    world = ModelWorld()
    async with models_over_bedrock(world) as stub:
        few = await stub.CountTokens(
            pb.CountTokensRequest(model_alias="sonnet", system="Be brief.", messages=[USER], tools=[READ])
        )
        more = await stub.CountTokens(
            pb.CountTokensRequest(
                model_alias="sonnet", messages=[USER, Message(role=ROLE_USER, parts=[Part(text="x" * 4_000)])]
            )
        )
    assert (few.counter, more.counter) == (pb.TOKEN_COUNTER_PROVIDER, pb.TOKEN_COUNTER_PROVIDER)
    assert 0 < few.tokens_input < 1_000 <= more.tokens_input
    assert not world.requests


async def test_a_model_that_its_provider_does_not_count_for_is_bounded():
    async with models_over_bedrock(ModelWorld()) as stub:
        answer = await stub.CountTokens(pb.CountTokensRequest(model_alias="glm", messages=[USER]))
    assert answer.counter == pb.TOKEN_COUNTER_BOUND
