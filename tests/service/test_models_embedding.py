"""Embeddings by each provider: the model on this CPU, Bedrock's stand-in, an OpenAI-compatible server."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from aiohttp import web

from aucert.models.v1.embedding_pb2 import (
    EMBEDDING_PURPOSE_DOCUMENT,
    EMBEDDING_PURPOSE_QUERY,
    EmbedRequest,
    EmbedResponse,
    ListEmbeddingModelsRequest,
)
from services.sandbox.model_world import ModelWorld, Reply
from tests.service.models_kit import listening, models, models_over_bedrock
from tests.service.tools_stage import reason_of

if TYPE_CHECKING:
    from aucert.models.v1.model_service_pb2_grpc import ModelServiceAsyncStub


async def embed(stub: ModelServiceAsyncStub, *texts: str, **more: Any) -> EmbedResponse:
    return await stub.Embed(EmbedRequest(texts=texts, **more), timeout=30)


async def refused(stub: ModelServiceAsyncStub, *texts: str, **more: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await embed(stub, *texts, **more)
    return reason_of(caught.value)[:2]


def vectors(response: EmbedResponse) -> list[Sequence[float]]:
    return [each.values for each in response.embeddings]


def closeness(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True)) / (math.hypot(*one) * math.hypot(*other))


async def test_the_embedded_model_puts_like_meanings_close_in_the_order_of_the_texts():
    texts = ["Money goes back to the customer.", "cat", "How do I get a refund?", "long " * 300]
    async with models() as stub:
        response = await embed(stub, *texts)
        alone = await embed(stub, texts[2])
    refund, cat, question, _ = vectors(response)
    assert ("minilm", 384, 0, 1) == (
        response.model_alias,
        response.dimensions,
        response.cost_usd_micros,
        response.cut_text_count,
    )
    assert closeness(refund, question) > closeness(refund, cat) + 0.2
    assert closeness(question, vectors(alone)[0]) > 0.99
    assert pytest.approx(1, abs=1e-3) == math.hypot(*cat)


async def test_the_catalogue_says_which_models_embed_and_why_others_are_off():
    async with models() as stub:
        listed = (await stub.ListEmbeddingModels(ListEmbeddingModelsRequest())).models
        assert (grpc.StatusCode.FAILED_PRECONDITION, "MODEL_OFF") == await refused(
            stub, "a", model_alias="titan"
        )
        assert (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND") == await refused(
            stub, "a", model_alias="word2vec"
        )
    assert ["minilm"] == [each.alias for each in listed if each.is_default]
    assert {
        "cohere": "AWS_REGION is not set",
        "cohere-v4": "AWS_REGION is not set",
        "minilm": "",
        "openai": "OPENAI_BASE_URL is not set",
        "titan": "AWS_REGION is not set",
    } == {each.alias: each.off_reason for each in listed}


@pytest.mark.parametrize(
    ("alias", "dimensions", "usd_micros"),
    [("titan", 1024, 20_000), ("cohere", 1024, 100_000), ("cohere-v4", 1536, 120_000)],
)
async def test_bedrocks_models_are_asked_as_their_vendors_want_and_paid_by_the_catalogue(
    alias: str, dimensions: int, usd_micros: int
):
    texts = [f"Text number {number} " + "and more" * number for number in range(100)]
    async with models_over_bedrock(ModelWorld()) as stub:
        response = await embed(stub, *texts, model_alias=alias)
        first = await embed(stub, texts[7], model_alias=alias, purpose=EMBEDDING_PURPOSE_DOCUMENT)
        query = await embed(stub, texts[7], model_alias=alias, purpose=EMBEDDING_PURPOSE_QUERY)
    assert (alias, dimensions, 100) == (response.model_alias, response.dimensions, len(response.embeddings))
    assert vectors(first)[0] == vectors(response)[7]
    assert (alias == "titan") == (vectors(query) == vectors(first))
    assert -(-response.tokens_input * usd_micros // 1_000_000) == response.cost_usd_micros > 0


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [("ThrottlingException", "MODEL_RATE_LIMITED"), ("ServiceUnavailableException", "MODEL_UNAVAILABLE")],
)
async def test_bedrocks_refusals_are_told_in_our_words(refusal: str, reason: str):
    world = ModelWorld(replies=deque([Reply(refused=refusal)]))
    async with models_over_bedrock(world) as stub:
        assert reason == (await refused(stub, "a", model_alias="titan"))[1]
        assert 1 == len((await embed(stub, "a", model_alias="titan")).embeddings)


@asynccontextmanager
async def openai_server(dimensions: int, asked: list[Any]) -> AsyncIterator[str]:
    """A server's /embeddings, which answers out of order and counts no tokens."""

    async def embeddings(request: web.Request) -> web.Response:
        asked.append(await request.json())
        data = [
            {"object": "embedding", "index": place, "embedding": [float(len(text))] * dimensions}
            for place, text in enumerate(asked[-1]["input"])
        ]
        return web.json_response({"object": "list", "model": "m", "data": data[::-1]})

    app = web.Application()
    app.router.add_post("/v1/embeddings", embeddings)
    async with listening(app) as url:
        yield f"{url}/v1"


async def test_any_openai_compatible_server_embeds():
    asked: list[Any] = []
    async with (
        openai_server(1536, asked) as url,
        models(OPENAI_BASE_URL=url, EMBEDDING_MODEL="openai", OPENAI_EMBEDDING_MODEL="bge-m3") as stub,
    ):
        response = await embed(stub, "four", "to", "x" * 20_000)
    assert [4.0, 2.0, 16_000.0] == [each[0] for each in vectors(response)]
    assert ("openai", 1, {"bge-m3"}) == (
        response.model_alias,
        response.cut_text_count,
        {each["model"] for each in asked},
    )
    assert 0 < response.cost_usd_micros < response.tokens_input


async def test_vectors_of_other_dimensions_than_the_catalogues_are_refused():
    async with openai_server(768, []) as url, models(OPENAI_BASE_URL=url) as stub:
        assert (grpc.StatusCode.FAILED_PRECONDITION, "MODEL_REFUSED") == await refused(
            stub, "a", model_alias="openai"
        )


async def test_an_own_catalogue_may_hold_other_embedding_models(tmp_path: Path):
    own = tmp_path / "own.toml"
    entry = {"alias": "bge", "provider": "openai", "provider_model_id": "bge-m3", "form": "openai"}
    limits = "dimensions = 768\nasks_dimensions = true\ntexts_a_call = 2\ntext_chars_max = 100\n"
    told = "".join(f'{name} = "{value}"\n' for name, value in entry.items())
    own.write_text(f"[[embedding_models]]\n{told}{limits}price_usd_micros = 0\n")
    asked: list[Any] = []
    async with (
        openai_server(768, asked) as url,
        models(OPENAI_BASE_URL=url, MODELS_CATALOGUE=own, EMBEDDING_MODEL="bge") as stub,
    ):
        response = await embed(stub, "a", "b", "c")
    assert ("bge", 768, [2, 1], [768, 768]) == (
        response.model_alias,
        len(vectors(response)[0]),
        sorted((len(each["input"]) for each in asked), reverse=True),
        [each["dimensions"] for each in asked],
    )
