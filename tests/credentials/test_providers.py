"""Every shipped model at its real provider: `pytest -m credentials tests/credentials`. It costs a few cents.

A model whose provider is not configured is skipped, naming the variable that is missing. Variables are those
of the shell; no `.env` is read.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from aucert.models.v1 import model_service_pb2 as pb
from aucert.models.v1.message_pb2 import ROLE_TOOL, ROLE_USER, Message, Part, ToolCall, ToolResult
from aucert.models.v1.model_pb2 import MODEL_CAPABILITY_CACHE_POINTS, MODEL_CAPABILITY_TOOLS, Model
from services.models.settings import ModelsSettings
from tests.service.models_kit import models

if TYPE_CHECKING:
    from aucert.models.v1.model_service_pb2_grpc import ModelServiceAsyncStub

OUTSIDE = {
    name: os.environ[name]
    for name in (str(each.alias) for each in ModelsSettings.model_fields.values())
    if os.environ.get(name) and name != "ASTRA_TOKEN"
}
"""Read before the tests' own fixture hides it."""
ALIASES = ["sonnet", "opus", "opus-direct", "kimi", "kimi-k2.5", "glm", "local"]
STEPS_MAX = 6
CALL_SECONDS = 180
NUMBERS = (
    '{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}},"required":["a","b"]}'
)
TOOLS = [
    pb.ToolDefinition(name="add", description="Add two integers.", parameters_json=NUMBERS),
    pb.ToolDefinition(name="multiply", description="Multiply two integers.", parameters_json=NUMBERS),
]
SYSTEM = "You compute by calling tools, one step after the other, never in your head. Be brief."
ASK = "Add 1734 and 2561. Then multiply the sum by 37. Answer with the final number alone."

pytestmark = [pytest.mark.credentials, pytest.mark.timeout(STEPS_MAX * CALL_SECONDS)]


@pytest.fixture(scope="module")
async def stub() -> AsyncIterator[ModelServiceAsyncStub]:
    async with models(**OUTSIDE) as service:
        yield service


@pytest.fixture(params=ALIASES)
async def model(request: pytest.FixtureRequest, stub: ModelServiceAsyncStub) -> Model:
    listed = (await stub.ListModels(pb.ListModelsRequest())).models
    found = next(each for each in listed if each.alias == request.param)
    if not found.available:
        pytest.skip(f"{found.alias}: {found.off_reason}")
    return found


async def test_it_streams_text_and_counts_tokens(stub: ModelServiceAsyncStub, model: Model):
    request = pb.GenerateRequest(
        model_alias=model.alias, messages=[user("Count from one to thirty in words.")]
    )
    texts, finished = await spoken(stub, request)
    assert len(texts) > 1
    assert "".join(texts) == "".join(part.text for part in finished.message.parts)
    assert finished.usage.tokens_input + finished.usage.tokens_cache_read > 0
    assert finished.usage.tokens_output > 0
    assert (finished.model_alias, finished.model_label) == (model.alias, model.label)


async def test_it_calls_several_tools_in_several_steps_and_answers(stub: ModelServiceAsyncStub, model: Model):
    if MODEL_CAPABILITY_TOOLS not in model.capabilities:
        pytest.skip(f"{model.alias} calls no tools")
    said, called = [user(ASK)], set[str]()
    for _ in range(STEPS_MAX):
        request = pb.GenerateRequest(model_alias=model.alias, system=SYSTEM, messages=said, tools=TOOLS)
        finished = (await spoken(stub, request))[1]
        calls = [part.tool_call for part in finished.message.parts if part.HasField("tool_call")]
        if not calls:
            break
        called |= {call.tool_name for call in calls}
        results = [Part(tool_result=ToolResult(call_id=call.call_id, text=computed(call))) for call in calls]
        said += [finished.message, Message(role=ROLE_TOOL, parts=results)]
    assert called == {"add", "multiply"}
    assert str((1734 + 2561) * 37) in finished.message.parts[-1].text.replace(",", "")


async def test_the_second_call_reads_the_prefix_of_the_first_from_the_cache(
    stub: ModelServiceAsyncStub, model: Model
):
    if MODEL_CAPABILITY_CACHE_POINTS not in model.capabilities:
        pytest.skip(f"{model.alias} has no cache points")
    unique = os.urandom(8).hex()
    system = f"{unique}. " + "Every rule of this long list of rules says to answer in one word. " * 800
    first = pb.GenerateRequest(model_alias=model.alias, system=system, messages=[user("Ready?")])
    written = (await spoken(stub, first))[1]
    again = [*first.messages, written.message, user("Still ready?")]
    read = (await spoken(stub, pb.GenerateRequest(model_alias=model.alias, system=system, messages=again)))[1]
    assert written.usage.tokens_cache_write > 0
    assert read.usage.tokens_cache_read >= written.usage.tokens_cache_write


def user(text: str) -> Message:
    return Message(role=ROLE_USER, parts=[Part(text=text)])


def computed(call: ToolCall) -> str:
    numbers = json.loads(call.arguments_json)
    return str(numbers["a"] + numbers["b"] if call.tool_name == "add" else numbers["a"] * numbers["b"])


async def spoken(
    stub: ModelServiceAsyncStub, request: pb.GenerateRequest
) -> tuple[list[str], pb.GenerationFinished]:
    """The pieces of text as they came, and the end."""
    responses = [each async for each in stub.Generate(request, timeout=CALL_SECONDS)]
    return [each.text_delta for each in responses if each.text_delta], responses[-1].finished
