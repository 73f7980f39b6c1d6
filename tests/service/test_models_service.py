"""ModelService over real gRPC, with a small OpenAI-compatible server behind it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from aiohttp import web

from aucert.astra.v1.model_default_pb2 import ModelDefault
from aucert.astra.v1.model_default_service_pb2 import ListModelDefaultsResponse
from aucert.models.v1 import model_service_pb2 as pb
from aucert.models.v1.generation_pb2 import FINISH_REASON_STOP, FINISH_REASON_TOOL_CALLS
from aucert.models.v1.message_pb2 import ROLE_ASSISTANT, ROLE_USER, Message, Part, ToolCall
from aucert.models.v1.model_service_pb2_grpc import ModelServiceStub
from services.common.billing import is_unbilled
from services.common.channels import connect
from services.common.errors import from_rpc
from services.models import scripted
from services.models.coalescing import coalesce
from services.models.domain import TokenCount
from services.models.errors import ModelOff
from services.models.main import running
from services.models.provider import Generation, Piece, ReasoningMark, ToolCallDelta
from services.models.settings import ModelsSettings
from tests.service.models_kit import READ, USER, ask, generate, listening, models, refusal, text_of
from tests.service.tools_stage import WORKER, reason_of, serving_astra

if TYPE_CHECKING:
    from aucert.models.v1.model_service_pb2_grpc import ModelServiceAsyncStub

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def openai_server(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", handler)
    async with listening(app) as url:
        yield f"{url}/v1"


@asynccontextmanager
async def models_over(handler: Handler) -> AsyncIterator[ModelServiceAsyncStub]:
    async with openai_server(handler) as base_url, models(OPENAI_BASE_URL=base_url) as stub:
        yield stub


def event(**fields: object) -> bytes:
    return f"data: {json.dumps(fields)}\n\n".encode()


def said(content: str, finish_reason: str | None = None) -> bytes:
    return event(choices=[{"index": 0, "delta": {"content": content}, "finish_reason": finish_reason}])


async def streaming(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    return response


async def test_the_text_of_a_stream_is_the_text_of_its_one_finished_message():
    async with models() as stub:
        *deltas, last = await generate(stub, ask())
    assert "".join(each.text_delta for each in deltas) == last.finished.message.parts[0].text
    assert last.finished.finish_reason == FINISH_REASON_STOP
    assert (last.finished.model_alias, last.finished.model_label) == ("rehearsal", "R0")
    assert last.finished.usage.tokens_output > 0


async def test_the_catalogue_is_listed_by_alias_and_says_what_is_off():
    async with models() as stub:
        listed = (await stub.ListModels(pb.ListModelsRequest())).models
    aliases = [each.alias for each in listed]
    assert aliases == sorted(aliases)
    assert [each.alias for each in listed if each.available] == ["rehearsal"]
    sonnet = next(each for each in listed if each.alias == "sonnet")
    assert sonnet.off_reason == "AWS_REGION is not set"
    assert list(sonnet.fallbacks) == ["kimi", "kimi-k2.5", "glm"]
    assert len(sonnet.capabilities) == 5
    assert sonnet.call_timeout.ToSeconds() == 900


async def test_tags_resolve_to_models_and_no_tag_to_the_default():
    async with models() as stub:
        found = await stub.ResolveModel(pb.ResolveModelRequest(tags=["urgent", "Rehearsal"]))
        default = await stub.ResolveModel(pb.ResolveModelRequest())
    assert [each.alias for each in found.models] == ["rehearsal"]
    assert [each.alias for each in default.models] == ["rehearsal"]


async def test_unknown_and_off_models_are_refused_with_their_reasons():
    async with models() as stub:
        assert (await refusal(stub, ask("gpt-9")))[:2] == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")
        assert (await refusal(stub, ask("local")))[:2] == (grpc.StatusCode.FAILED_PRECONDITION, "MODEL_OFF")


async def test_a_conversation_that_ends_with_the_model_is_refused():
    assistant = Message(role=ROLE_ASSISTANT, parts=[Part(text="Done.")])
    async with models() as stub:
        code, reason, _ = await refusal(stub, ask("rehearsal", USER, assistant))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")


async def test_a_stream_from_an_openai_server_arrives_with_its_usage():
    async def handler(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        assert body["model"] == "local"
        response = await streaming(request)
        await response.write(event(choices=[]) + said("Be") + said("cause", "stop"))
        usage = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
        await response.write(event(choices=[], usage=usage) + b"data: [DONE]\n\n")
        return response

    async with models_over(handler) as stub:
        *deltas, last = await generate(stub, ask("local"))
    assert "".join(each.text_delta for each in deltas) == "Because"
    assert (last.finished.usage.tokens_input, last.finished.usage.tokens_output) == (10, 2)


async def test_a_stream_that_is_cut_is_unavailable():
    async def handler(request: web.Request) -> web.StreamResponse:
        response = await streaming(request)
        await response.write(said("Be"))
        assert request.transport is not None
        request.transport.abort()
        return response

    async with models_over(handler) as stub:
        refused = await refusal(stub, ask("local"))
    assert refused[:2] == (grpc.StatusCode.UNAVAILABLE, "MODEL_UNAVAILABLE")


async def test_an_error_within_a_stream_and_a_chunk_that_is_no_json_are_unavailable():
    for broken in (event(error={"message": "overloaded"}), b"data: {nonsense\n\n"):

        async def handler(request: web.Request, broken: bytes = broken) -> web.StreamResponse:
            response = await streaming(request)
            await response.write(said("Be") + broken)
            return response

        async with models_over(handler) as stub:
            refused = await refusal(stub, ask("local"))
        assert refused[:2] == (grpc.StatusCode.UNAVAILABLE, "MODEL_UNAVAILABLE")


async def test_a_rate_limit_says_how_long_and_is_asked_once():
    asked: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.json_response({"error": {"message": "slow"}}, status=429, headers={"retry-after": "7"})

    async with models_over(handler) as stub:
        refused = await refusal(stub, ask("local"))
    assert refused == (grpc.StatusCode.RESOURCE_EXHAUSTED, "MODEL_RATE_LIMITED", 7.0)
    assert len(asked) == 1


async def test_a_server_that_is_away_is_unavailable():
    async with models(OPENAI_BASE_URL="http://127.0.0.1:9/v1") as stub:
        refused = await refusal(stub, ask("local"))
    assert refused[:2] == (grpc.StatusCode.UNAVAILABLE, "MODEL_UNAVAILABLE")


async def test_a_kept_connection_that_the_server_closes_as_it_is_used_costs_nothing():
    answered = 0

    async def answers_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal answered
        await reader.readuntil(b"\r\n\r\n")
        answered += 1
        body = said("Because", "stop") + b"data: [DONE]\n\n"
        head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await reader.readuntil(b"\r\n\r\n")  # the next request, on the same connection
        writer.close()

    server = await asyncio.start_server(answers_once, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with models(OPENAI_BASE_URL=f"http://127.0.0.1:{port}/v1") as stub:
        for _ in range(2):
            assert text_of(await generate(stub, ask("local"))) == "Because"
    assert answered == 2
    server.close()
    await server.wait_closed()


async def test_closing_a_stream_ends_the_providers_call():
    gone = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = await streaming(request)
        await response.write(said("Be"))
        try:
            await asyncio.Event().wait()
        finally:
            gone.set()
        return response

    async with models_over(handler) as stub:
        call = stub.Generate(ask("local"), timeout=20)
        assert (await call.read()).text_delta == "Be"
        call.cancel()
        async with asyncio.timeout(5):
            await gone.wait()


def script_file(folder: Path, script: object) -> Path:
    path = folder / "script.json"
    path.write_text(json.dumps(script))
    return path


async def test_a_script_is_played_by_marker_and_turn_and_each_call_is_logged(tmp_path: Path):
    call = {"name": "repo_read_file", "arguments": {"path": "README.md"}}
    path = script_file(
        tmp_path, {"": [{"text": "other"}], "ordering": [{"tool_calls": [call]}, {"text": "Done."}]}
    )
    log = tmp_path / "calls.log"
    providers = {"scripted": scripted.Scripted(scripted.read_script(path), log)}
    async with models(providers, MODELS_SCRIPT=path) as stub:
        first = (await generate(stub, ask("scripted")))[-1].finished
        second = (await generate(stub, ask("scripted", USER, first.message, USER)))[-1].finished
        other = await generate(stub, ask("scripted", Message(role=ROLE_USER, parts=[Part(text="Hi")])))
    assert first.finish_reason == FINISH_REASON_TOOL_CALLS
    assert first.message.parts[0].tool_call == ToolCall(
        call_id="t1_0", tool_name="repo_read_file", arguments_json='{"path": "README.md"}'
    )
    assert [each.finished.message.parts[0].text for each in other if each.HasField("finished")] == ["other"]
    assert second.message.parts[0].text == "Done."
    assert second.cost_usd_micros > 0
    assert len(log.read_text().splitlines()) == 3


async def test_a_scripted_error_passes_after_the_given_number_of_calls(tmp_path: Path):
    path = script_file(tmp_path, {"": [{"error": "rate_limited:2", "times": 1, "text": "At last."}]})
    log = tmp_path / "calls.log"
    script = scripted.read_script(path)
    async with models({"scripted": scripted.Scripted(script, log)}, MODELS_SCRIPT=path) as stub:
        assert await refusal(stub, ask("scripted")) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "MODEL_RATE_LIMITED",
            2.0,
        )
    # Another process reads the same log.
    async with models({"scripted": scripted.Scripted(script, log)}, MODELS_SCRIPT=path) as stub:
        assert (await generate(stub, ask("scripted")))[-1].finished.message.parts[0].text == "At last."


async def test_a_script_may_be_a_plain_list_whose_last_step_repeats(tmp_path: Path):
    script = scripted.read_script(script_file(tmp_path, [{"text": "Once."}]))
    said = Message(role=ROLE_ASSISTANT, parts=[Part(text="Once.")])
    request = ask("scripted", USER, said, USER)
    pieces = [piece async for piece in scripted.Scripted(script, None).generate(request, scripted.ENTRY)]
    assert pieces[0] == "Once."


def test_a_script_with_a_step_that_says_nothing_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="a step needs"):
        scripted.read_script(script_file(tmp_path, {"": [{"delay_ms": 5}]}))


async def test_the_service_as_it_is_run_serves_callers_astra_knows():
    async with serving_astra() as (_, astra_address):
        settings = ModelsSettings(
            _env_file=None, ASTRA_TOKEN="models-token", ASTRA_ADDRESS=astra_address, MODELS_PORT=0
        )
        async with running(settings) as server:
            assert server.missing == []
            known, unknown = connect(server.address, WORKER), connect(server.address, "nobody")
            assert (await generate(ModelServiceStub(known), ask()))[-1].HasField("finished")
            refused = await refusal(ModelServiceStub(unknown), ask())
            await known.close()
            await unknown.close()
    assert refused[:2] == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")


async def test_a_default_model_that_is_off_stops_the_start():
    settings = ModelsSettings(_env_file=None, ASTRA_TOKEN="x", DEFAULT_MODEL="local")
    with pytest.raises(ModelOff):
        async with running(settings):
            pass


def generation() -> Generation:
    return Generation(Message(role=ROLE_ASSISTANT), FINISH_REASON_STOP, TokenCount(), 0.0)


async def test_the_first_piece_goes_through_at_once_and_none_is_held_back_while_the_provider_pauses():
    passed_on = asyncio.Event()

    async def pieces() -> AsyncGenerator[Piece, None]:
        yield "a"
        await passed_on.wait()  # goes on only once the text so far came through
        yield "b"
        yield "c"
        yield "d" * 300
        yield generation()

    received: list[Piece] = []
    async for piece in coalesce(pieces()):
        received.append(piece)
        passed_on.set()
    assert received[0] == "a"
    assert "".join(each for each in received[:-1] if isinstance(each, str)) == "abc" + "d" * 300
    assert len(received) < 5


async def test_pieces_of_one_call_are_joined_and_those_of_different_things_are_not():
    async def pieces() -> AsyncGenerator[Piece, None]:
        yield "a"
        for piece in (ToolCallDelta(0, "x", "{"), ToolCallDelta(0, "", "}"), ToolCallDelta(1, "y", "{}")):
            yield piece
        yield ReasoningMark()
        yield generation()

    assert [piece async for piece in coalesce(pieces())][:-1] == [
        "a",
        ToolCallDelta(0, "x", "{}"),
        ToolCallDelta(1, "y", "{}"),
        ReasoningMark(),
    ]


async def test_what_a_tenant_set_is_asked_of_astra_and_heeded():
    class Astra:
        asked = 0

        async def ListModelDefaults(self, _request: object) -> ListModelDefaultsResponse:
            self.asked += 1
            known = ModelDefault(agent_slug="atlas", operation="answer", model_alias="local")
            return ListModelDefaultsResponse(model_defaults=[known])

    astra = Astra()
    async with models(
        OPENAI_BASE_URL="http://127.0.0.1:9/v1", DEFAULT_MODEL="rehearsal", astra=astra
    ) as stub:
        for agent, expected in (("atlas", "local"), ("apollo", "rehearsal")):
            found = await stub.ResolveModel(pb.ResolveModelRequest(agent_slug=agent))
            assert [each.alias for each in found.models] == [expected]
    assert astra.asked == 1


async def test_where_no_provider_counts_tokens_are_bounded_as_money_is_set_aside():
    request = pb.CountTokensRequest(model_alias="rehearsal", system="é" * 50, messages=[USER], tools=[READ])
    async with models() as stub:
        answer = await stub.CountTokens(request)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.CountTokens(pb.CountTokensRequest(model_alias="local", messages=[USER]))
    assert answer.tokens_input == -(-(100 + USER.ByteSize() + READ.ByteSize()) // 2)
    assert answer.counter == pb.TOKEN_COUNTER_BOUND
    assert reason_of(refused.value)[1] == "MODEL_OFF"


@pytest.mark.parametrize(
    ("status", "code", "unbilled"),
    [
        (400, "", True),
        (400, "content_filter", False),
        (400, "context_length_exceeded", False),
        (401, "", True),
        (429, "", True),
        (503, "", True),
        (500, "", False),
        (408, "", False),
    ],
)
async def test_an_error_says_whether_a_provider_can_have_billed_for_the_call(
    status: int, code: str, unbilled: bool
):
    async def handler(_request: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"message": "no", "code": code}}, status=status)

    async with models_over(handler) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await generate(stub, ask("local"))
    assert is_unbilled(from_rpc(refused.value)) == unbilled


async def test_a_call_that_reached_no_provider_is_not_billed_and_one_cut_in_its_stream_may_be():
    async def cut(request: web.Request) -> web.StreamResponse:
        response = await streaming(request)
        await response.write(event(error={"message": "slow down", "code": "rate_limit_exceeded"}))
        return response

    for alias, settings in (("local", {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}), ("opus", {})):
        async with models(**settings) as stub:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await generate(stub, ask(alias))
        assert is_unbilled(from_rpc(refused.value))
    async with models_over(cut) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await generate(stub, ask("local"))
    assert not is_unbilled(from_rpc(refused.value))
