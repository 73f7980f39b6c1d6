"""Limits of models: what a call takes of them, and what becomes of a call that must wait."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import pytest

from aucert.models.v1.generation_pb2 import FINISH_REASON_STOP
from aucert.models.v1.message_pb2 import ROLE_ASSISTANT, Message, Part
from aucert.models.v1.model_service_pb2 import GenerateRequest
from services.common.billing import UNBILLED, is_unbilled
from services.common.errors import ServiceError
from services.common.quotas.limits import Limit
from services.common.quotas.shared import SharedLimits
from services.models.catalogue import build
from services.models.catalogue_file import CatalogueError, read, shipped
from services.models.circuit import Circuits
from services.models.domain import CallLimits, ModelEntry, Price, TokenCount
from services.models.errors import ModelRateLimited, ModelUnavailable
from services.models.fallback import Authorship, FallbackCalls
from services.models.limits import ModelLimits
from services.models.provider import Generation, Piece
from tests.unit.lending import Lending

REQUEST = GenerateRequest(system="s" * 400, output_tokens_max=100)
"""About 100 tokens to read, 100 to write."""
USED = TokenCount(input=30, output=20, cache_read=500)


def entry(alias: str, limits: CallLimits, **more: Any) -> ModelEntry:
    return ModelEntry(
        alias, alias.upper(), "any", alias, 1_000, 100, Price(1, 1, 1, 1), limits=limits, **more
    )


class Answering:
    """A provider that answers with the model's alias, or fails."""

    def __init__(self, failure: ServiceError | None = None) -> None:
        self.asked: list[str] = []
        self.failure = failure

    async def generate(self, request: GenerateRequest, entry: ModelEntry) -> AsyncGenerator[Piece, None]:
        self.asked.append(entry.alias)
        if self.failure is not None:
            raise self.failure
        message = Message(role=ROLE_ASSISTANT, parts=[Part(text=entry.alias)])
        yield Generation(message, FINISH_REASON_STOP, USED, 0.0)


def over(astra: Lending, provider: Answering, circuits: Circuits | None = None) -> FallbackCalls:
    shared = SharedLimits(astra, lambda: astra.now)  # pyright: ignore[reportArgumentType]
    return FallbackCalls({"any": provider}, circuits, ModelLimits(shared))


async def written(calls: FallbackCalls, *models: ModelEntry) -> str:
    authorship = Authorship(models[0])
    async with aclosing(calls.generate(REQUEST, models, authorship)) as pieces:
        async for _ in pieces:
            pass
    return authorship.entry.alias


async def test_a_model_without_limits_asks_nobody():
    astra = Lending()
    assert await written(over(astra, Answering()), entry("a", CallLimits())) == "a"
    assert astra.asked == 0


async def test_a_call_takes_all_it_may_use_and_gives_back_what_it_did_not():
    astra, limited = Lending(left=1_000), entry("a", CallLimits(tokens_a_minute=1_000))
    calls = over(astra, Answering())
    await written(calls, limited)
    assert astra.leased == [200]
    for _ in range(3):
        await written(calls, limited)
    assert sum(astra.leased) < 4 * 200  # each used 50, and the next took of what was given back


@pytest.mark.parametrize(
    ("failure", "kept"),
    [
        (ModelUnavailable("never reached", metadata=UNBILLED), 0),
        (ModelUnavailable("broke off"), 200),
    ],
)
async def test_a_call_that_failed_counts_unless_it_was_surely_not_made(failure: ServiceError, kept: int):
    astra, limited = Lending(left=1_000), entry("a", CallLimits(tokens_a_minute=1_000))
    shared = SharedLimits(astra, lambda: astra.now)  # pyright: ignore[reportArgumentType]
    calls = FallbackCalls({"any": Answering(failure)}, None, ModelLimits(shared))
    with pytest.raises(ModelUnavailable):
        await written(calls, limited)
    await shared.aclose()
    assert astra.left == 1_000 - kept


@pytest.mark.parametrize(
    "limits",
    [CallLimits(requests_a_minute=60), CallLimits(tokens_a_minute=60), CallLimits(calls_at_once=60)],
)
async def test_a_model_at_its_limit_gives_way_and_its_circuit_stays_closed(limits: CallLimits):
    astra, provider, circuits = Lending(left=0), Answering(), Circuits()
    calls, limited, free = over(astra, provider, circuits), entry("a", limits), entry("b", CallLimits())
    for _ in range(5):
        assert await written(calls, limited, free) == "b"
    assert provider.asked == ["b"] * 5
    assert circuits.lets_through("a")


async def test_without_another_model_the_caller_is_told_when_to_come_back_and_pays_nothing():
    calls = over(Lending(left=0), Answering())
    with pytest.raises(ModelRateLimited) as limited:
        await written(calls, entry("a", CallLimits(requests_a_minute=60)))
    assert limited.value.retry_after == timedelta(seconds=30)
    assert is_unbilled(limited.value)


async def test_a_call_that_is_not_made_for_its_tokens_takes_no_request_and_no_slot():
    astra = Lending(left=2)
    shared = SharedLimits(astra, lambda: astra.now)  # pyright: ignore[reportArgumentType]
    limited = entry("a", CallLimits(requests_a_minute=60, tokens_a_minute=600, calls_at_once=3))
    with pytest.raises(ModelRateLimited):
        await written(FallbackCalls({"any": Answering()}, None, ModelLimits(shared)), limited)
    await shared.aclose()
    assert astra.left == 2


async def test_keys_name_the_model_and_what_is_counted():
    asked: list[str] = []

    class Watched(SharedLimits):
        async def take(self, limit: Limit, units: int = 1) -> Any:
            asked.append(limit.key)
            return await super().take(limit, units)

    limits = ModelLimits(Watched())
    async with limits.within(REQUEST, entry("opus", CallLimits(requests_a_minute=5, tokens_a_minute=5))):
        pass
    assert asked == ["model:opus:requests", "model:opus:tokens"]


OWN = """
[[models]]
alias = "sonnet"
label = "S46"
provider = "bedrock"
provider_model_id = "us.anthropic.claude-sonnet-4-6"
context_tokens_max = 200_000
output_tokens_max = 32_000
capabilities = ["tools"]
price_usd_micros = { input = 3, output = 15, cache_read = 1, cache_write = 4 }
limits = { %s }
"""


def test_limits_are_data_of_the_catalogue_and_none_is_set_by_itself():
    file = read(shipped(), OWN % "tokens_per_minute = 200_000, calls_at_once = 20")
    providers = {each.provider for each in file.models}
    variables = {each.provider_model_id.removeprefix("$"): "model" for each in file.models}
    catalogue = build(file, off_reasons=dict.fromkeys(providers, ""), variables=variables)
    assert catalogue.entry("sonnet").limits == CallLimits(0, 200_000, 20)
    assert {each.limits for each in catalogue.entries if each.alias != "sonnet"} == {CallLimits()}


@pytest.mark.parametrize("limit", ["tokens_per_minute = -1", "calls_at_once = 1.5", "tokens_per_hour = 9"])
def test_a_limit_that_is_none_is_refused(limit: str):
    with pytest.raises(CatalogueError, match="limits"):
        read(shipped(), OWN % limit)
