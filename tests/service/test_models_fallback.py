"""A model that is away or busy gives way to those that stand in for it, visibly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from aucert.models.v1.generation_pb2 import FINISH_REASON_STOP, PassedOver
from aucert.models.v1.message_pb2 import ROLE_ASSISTANT, Message, Part
from aucert.models.v1.model_service_pb2 import GenerateRequest
from services.common.billing import UNBILLED, is_unbilled
from services.common.errors import ServiceError
from services.models.circuit import FAILURES_MAX, OPEN_SECONDS, Circuits
from services.models.domain import ModelEntry, Price, Timeouts, TokenCount
from services.models.errors import ModelFiltered, ModelRateLimited, ModelRefused, ModelUnavailable
from services.models.fallback import WAIT_IN_PLACE_MAX, Authorship, FallbackCalls
from services.models.patience import Patience
from services.models.provider import Generation, Piece
from services.sandbox.model_world import ModelWorld, Reply
from tests.service.models_kit import ask, finished, models_over_bedrock

PRICE = Price(1, 1, 1, 1)
AWAY = ModelUnavailable("away")
BUSY = ModelRateLimited("busy", retry_after=timedelta(minutes=1))
BUSY_BRIEFLY = ModelRateLimited("busy", retry_after=timedelta())


def entry(alias: str, **more: object) -> ModelEntry:
    return ModelEntry(alias, alias.upper(), "any", alias, 1_000, 100, PRICE, **more)  # pyright: ignore


A, B, C = entry("a"), entry("b"), entry("c")


@dataclass
class Planned:
    """A provider whose models fail as planned, each failure once, and then answer with their alias."""

    failures: dict[str, list[ServiceError]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    cut_after_a_piece: bool = False

    async def generate(self, request: GenerateRequest, entry: ModelEntry) -> AsyncGenerator[Piece, None]:
        self.asked.append(entry.alias)
        if self.cut_after_a_piece:
            yield "Be"
        if self.failures.get(entry.alias):
            raise self.failures[entry.alias].pop(0)
        message = Message(role=ROLE_ASSISTANT, parts=[Part(text=entry.alias)])
        yield Generation(message, FINISH_REASON_STOP, TokenCount(), 0.0)


async def written(calls: FallbackCalls, *models: ModelEntry) -> tuple[str, Sequence[tuple[str, str]]]:
    """Who wrote the answer, and who was passed over and why."""
    authorship = Authorship(models[0])
    async with aclosing(calls.generate(GenerateRequest(), models, authorship)) as pieces:
        async for _ in pieces:
            pass
    return authorship.entry.alias, [(each.model_alias, each.reason) for each in authorship.passed_over]


async def test_a_model_that_is_away_or_busy_gives_way_to_the_next_that_answers():
    provider = Planned({"a": [AWAY], "b": [BUSY]})
    assert await written(FallbackCalls({"any": provider}), A, B, C) == (
        "c",
        [("a", "MODEL_UNAVAILABLE"), ("b", "MODEL_RATE_LIMITED")],
    )


async def test_a_short_rate_limit_is_waited_for_once_before_another_model_is_asked():
    provider = Planned({"a": [BUSY_BRIEFLY]})
    assert await written(FallbackCalls({"any": provider}), A, B) == ("a", [])
    provider = Planned({"a": [BUSY_BRIEFLY, BUSY_BRIEFLY]})
    assert await written(FallbackCalls({"any": provider}), A, B) == ("b", [("a", "MODEL_RATE_LIMITED")])
    assert provider.asked == ["a", "a", "b"]
    assert BUSY.retry_after > WAIT_IN_PLACE_MAX


async def test_a_model_without_a_fallback_is_asked_once_and_its_own_error_is_told():
    provider = Planned({"a": [BUSY_BRIEFLY]})
    with pytest.raises(ModelRateLimited) as told:
        await written(FallbackCalls({"any": provider}), A)
    assert told.value is BUSY_BRIEFLY
    assert provider.asked == ["a"]


@pytest.mark.parametrize("error", [ModelRefused("no"), ModelFiltered("no")])
async def test_a_request_that_is_refused_is_not_tried_on_other_models(error: ServiceError):
    provider = Planned({"a": [error]})
    with pytest.raises(type(error)):
        await written(FallbackCalls({"any": provider}), A, B)
    assert provider.asked == ["a"]


async def test_an_answer_already_begun_is_not_continued_by_another_model():
    provider = Planned({"a": [AWAY]}, cut_after_a_piece=True)
    with pytest.raises(ModelUnavailable):
        await written(FallbackCalls({"any": provider}), A, B)
    assert provider.asked == ["a"]


async def test_a_limit_in_the_middle_of_an_answer_is_a_cut_that_may_be_billed():
    busy = ModelRateLimited("busy", metadata=UNBILLED, retry_after=timedelta(seconds=1))
    provider = Planned({"a": [busy]}, cut_after_a_piece=True)
    with pytest.raises(ModelUnavailable) as cut:
        await written(FallbackCalls({"any": provider}), A, B)
    assert (provider.asked, cut.value.retry_after) == (["a"], timedelta(seconds=1))
    assert not is_unbilled(cut.value)


async def test_when_all_fail_one_error_names_them_and_says_when_to_come_back_if_all_are_busy():
    provider = Planned({"a": [AWAY], "b": [ModelRefused("no")]})
    with pytest.raises(ModelUnavailable) as away:
        await written(FallbackCalls({"any": provider}), A, B)
    assert away.value.metadata == {"a": "MODEL_UNAVAILABLE", "b": "MODEL_REFUSED"}
    sooner = ModelRateLimited("busy", retry_after=timedelta(seconds=30))
    with pytest.raises(ModelRateLimited) as busy:
        await written(FallbackCalls({"any": Planned({"a": [BUSY], "b": [sooner]})}), A, B)
    assert busy.value.retry_after == sooner.retry_after


async def test_a_model_that_keeps_failing_is_left_alone_for_a_while_and_then_tried_by_one_call():
    now = 0.0
    provider = Planned({"a": [AWAY] * FAILURES_MAX})
    calls = FallbackCalls({"any": provider}, Circuits(lambda: now))
    for _ in range(FAILURES_MAX + 2):
        assert (await written(calls, A, B))[0] == "b"
    assert provider.asked.count("a") == FAILURES_MAX
    now = OPEN_SECONDS + 1
    assert (await written(calls, A, B)) == ("a", [])


async def test_a_model_left_alone_is_asked_all_the_same_when_nobody_stands_in_for_it():
    provider = Planned({"a": [AWAY] * FAILURES_MAX})
    calls = FallbackCalls({"any": provider})
    for _ in range(FAILURES_MAX):
        with pytest.raises(ModelUnavailable):
            await written(calls, A)
    assert await written(calls, A) == ("a", [])


def test_a_provider_that_asks_for_longer_patience_gets_it():
    now = 0.0
    circuits = Circuits(lambda: now)
    for _ in range(FAILURES_MAX):
        circuits.failed("a", retry_after_seconds=600)
    now = 599.0
    assert not circuits.lets_through("a")
    now = 600.0
    assert [circuits.lets_through("a"), circuits.lets_through("a")] == [True, False]


async def test_an_answer_tells_whose_it_is_and_what_it_cost_there():
    world = ModelWorld()
    world.replies.extend([Reply(refused="ServiceUnavailableException"), Reply("By GLM.")])
    async with models_over_bedrock(world) as stub:
        answer = await finished(stub, ask("kimi-k2.5"))
    assert (answer.model_alias, answer.model_label) == ("glm", "G47")
    assert list(answer.passed_over) == [PassedOver(model_alias="kimi-k2.5", reason="MODEL_UNAVAILABLE")]
    dollars = answer.usage.tokens_input * 600_000 + answer.usage.tokens_output * 2_200_000
    assert answer.cost_usd_micros == -(-dollars // 1_000_000)


async def silent(pieces: int) -> AsyncGenerator[str, None]:
    for _ in range(pieces):
        yield "x"
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("timeouts", "pieces", "cut"),
    [
        (Timeouts(first_token_seconds=0.01), 0, "silence"),
        (Timeouts(between_tokens_seconds=0.01), 3, "silence"),
        (Timeouts(call_seconds=0.01), 3, "call_seconds"),
    ],
)
async def test_patience_ends_before_the_first_piece_between_two_and_with_the_whole_call(
    timeouts: Timeouts, pieces: int, cut: str
):
    patience = Patience(entry("a", timeouts=timeouts))
    events = patience.with_events(silent(pieces))
    assert [await anext(events) for _ in range(pieces)] == ["x"] * pieces
    with pytest.raises(ModelUnavailable) as told:
        await anext(events)
    assert told.value.metadata == {"cut": cut}
    assert patience.waited_seconds > 0
