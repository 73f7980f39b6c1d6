"""A real model behind a server nobody here wrote: llama.cpp, as `make smoke MODEL=local` starts it.

`make test-local-model` installs both. So small a model calls no tool, and this
llama.cpp forces none upon it: tool calls are shown on the stand-ins.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import aiohttp
import grpc
import pytest

from aucert.models.v1.generation_pb2 import FINISH_REASON_LENGTH
from aucert.models.v1.message_pb2 import ROLE_USER, Message, Part
from services.cli.local_model import NAME, served_if_asked
from tests.service.models_kit import READ, ask, finished, generate, models, refusal, text_of

if TYPE_CHECKING:
    from aucert.models.v1.model_service_pb2_grpc import ModelServiceAsyncStub

pytestmark = pytest.mark.timeout(300)
FRANCE = Message(role=ROLE_USER, parts=[Part(text="What is the capital of France?")])
ITALY = Message(role=ROLE_USER, parts=[Part(text="And of Italy?")])


@pytest.fixture(scope="module")
async def environment(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, str]]:
    log_file = tmp_path_factory.mktemp("local") / "server.log"
    async with served_if_asked("local", {}, log_file) as configured:
        yield dict(configured)


@pytest.fixture(scope="module")
async def stub(environment: dict[str, str]) -> AsyncIterator[ModelServiceAsyncStub]:
    async with models(**environment) as service:
        yield service


async def test_it_streams_an_answer_and_goes_on_with_the_conversation(stub: ModelServiceAsyncStub):
    *pieces, last = await generate(stub, ask("local", FRANCE, system="Answer briefly.", tools=[READ]))
    first = last.finished
    assert len(pieces) > 1
    assert text_of(pieces) == first.message.parts[0].text  # true or not: it has 135 million parameters
    assert first.usage.tokens_output > 0
    second = await finished(stub, ask("local", FRANCE, first.message, ITALY, output_tokens_max=16))
    assert second.message.parts[0].text
    assert second.usage.tokens_input + second.usage.tokens_cache_read > first.usage.tokens_input


async def test_an_answer_that_reaches_the_limit_says_so(stub: ModelServiceAsyncStub):
    cut = await finished(stub, ask("local", FRANCE, output_tokens_max=2))
    assert (cut.finish_reason, cut.usage.tokens_output) == (FINISH_REASON_LENGTH, 2)


async def test_a_conversation_that_no_longer_fits_is_told_apart(stub: ModelServiceAsyncStub):
    long = Message(role=ROLE_USER, parts=[Part(text="word " * 10_000)])
    code, reason, _ = await refusal(stub, ask("local", long))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MODEL_CONTEXT_EXCEEDED")


async def test_cancelling_and_a_passed_deadline_free_the_server(
    stub: ModelServiceAsyncStub, environment: dict[str, str]
):
    call = stub.Generate(ask("local", FRANCE), timeout=200)
    assert (await call.read()).text_delta
    call.cancel()
    await idle(environment)
    with pytest.raises(grpc.aio.AioRpcError) as passed:
        async for _ in stub.Generate(ask("local", FRANCE), timeout=0.2):
            pass
    assert passed.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    await idle(environment)


async def test_it_is_the_model_it_says(environment: dict[str, str]):
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{environment['OPENAI_BASE_URL']}/models") as response,
    ):
        assert [each["id"] for each in (await response.json())["data"]] == [NAME]


async def idle(environment: dict[str, str]) -> None:
    """Wait until no slot of the server works."""
    url = environment["OPENAI_BASE_URL"].replace("/v1", "/slots")
    async with asyncio.timeout(60), aiohttp.ClientSession() as session:
        while True:
            async with session.get(url) as response:
                if not any(slot["is_processing"] for slot in await response.json()):
                    return
            await asyncio.sleep(0.05)
