"""A process's part of the limits that all share."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from services.common.caller import acting_for
from services.common.quotas.lender import AWAY_SECONDS, FAIR_SHARE
from services.common.quotas.limits import AT_ONCE, Limit, QuotaExceeded
from services.common.quotas.meter import DENIED_SECONDS
from services.common.quotas.shared import SharedLimits
from tests.unit.lending import LIFE, Lending

PLANE = Limit("plane:acme", 60)
PATIENCE_SECONDS = 10


def sharing(**lending: Any) -> tuple[Lending, SharedLimits]:
    astra = Lending(**lending)
    return astra, SharedLimits(astra, lambda: astra.now)  # pyright: ignore[reportArgumentType]


async def taken(limits: SharedLimits, limit: Limit = PLANE, *, most: int = 200) -> int:
    """How many uses are let through before one is not."""
    for count in range(most):
        try:
            await limits.take(limit)
        except QuotaExceeded:
            return count
    return most


async def test_the_more_is_used_the_rarer_astra_is_asked_and_never_is_more_used_than_lent():
    astra, limits = sharing()
    assert await taken(limits) == 60
    assert sum(astra.leased) == 60
    assert astra.asked < 15
    assert astra.leased[0] == 1


async def test_a_call_within_a_lease_asks_nobody():
    astra, limits = sharing()
    for _ in range(4):
        await limits.take(PLANE)
    asked = astra.asked
    assert sum(astra.leased) > 4
    await limits.take(PLANE)
    assert astra.asked == asked


async def test_a_denial_says_when_to_come_back_and_is_believed_for_a_moment():
    astra, limits = sharing(left=0)
    assert [await taken(limits) for _ in range(5)] == [0] * 5
    assert astra.asked == 1
    astra.now += DENIED_SECONDS
    with pytest.raises(QuotaExceeded) as exceeded:
        await limits.take(PLANE)
    assert (astra.asked, exceeded.value.retry_after) == (2, timedelta(seconds=30))


async def test_a_lease_that_is_over_is_used_no_more():
    astra, limits = sharing()
    await limits.take(PLANE)
    await limits.take(PLANE)
    asked = astra.asked
    astra.now += LIFE
    await limits.take(PLANE)
    assert astra.asked > asked


async def test_what_is_left_goes_back_at_the_end():
    astra, limits = sharing()
    for _ in range(4):
        await limits.take(PLANE)
    await limits.aclose()
    assert astra.left == 56


async def test_what_a_use_did_not_need_is_there_for_the_next_or_goes_back_once_its_lease_is_over():
    astra, limits = sharing()
    first = await limits.take(PLANE, 40)
    first.give_back(30)
    second = await limits.take(PLANE, 30)
    assert astra.leased == [40]
    astra.now += LIFE
    second.give_back(12)
    await limits.aclose()
    assert 12 in astra.returned
    assert astra.left == 60 - 40 + 12


async def test_more_than_the_whole_limit_is_taken_as_all_of_it():
    astra, limits = sharing()
    await limits.take(PLANE, 1_000)
    assert astra.leased == [60]


async def test_after_a_block_nothing_is_taken_here_and_nothing_asked():
    astra, limits = sharing()
    await limits.take(PLANE)
    await limits.block(PLANE.key, timedelta(seconds=30))
    asked = astra.asked
    with pytest.raises(QuotaExceeded) as exceeded:
        await limits.take(PLANE)
    assert exceeded.value.retry_after == timedelta(seconds=30)
    assert (astra.asked, astra.blocked) == (asked, 30)
    astra.now, astra.blocked = astra.now + 30, 0
    await limits.take(PLANE)


async def test_a_block_others_were_told_of_is_obeyed_for_all_its_time_without_asking_again():
    astra, limits = sharing(blocked=90)
    assert [await taken(limits, each) for each in (PLANE, PLANE, Limit(PLANE.key))] == [0, 0, 0]
    assert astra.asked == 1


async def test_a_key_without_a_limit_is_asked_about_once_a_lease():
    astra, limits = sharing()
    assert await taken(limits, Limit("brave:acme"), most=100) == 100
    assert astra.asked == 1
    astra.now += LIFE
    await limits.take(Limit("brave:acme"))
    assert astra.asked == 2


async def test_while_astra_is_away_a_fair_share_is_used_and_it_is_asked_rarely():
    astra, limits = sharing(away=True)
    assert await taken(limits) == 60 // FAIR_SHARE
    assert astra.asked == 1
    assert await taken(limits, Limit("brave:acme"), most=100) == 100
    astra.away = False
    astra.now += AWAY_SECONDS
    await limits.take(PLANE)
    assert astra.leased


async def test_whoever_shares_with_nobody_has_no_limits_but_obeys_blocks():
    limits = SharedLimits()
    assert await taken(limits) == 200
    await limits.block(PLANE.key, timedelta(seconds=30))
    assert await taken(limits) == 0
    async with (
        limits.hold(Limit("model:a:calls", 1, AT_ONCE)),
        limits.hold(Limit("model:a:calls", 1, AT_ONCE)),
    ):
        pass


async def test_astra_is_asked_by_the_service_itself_and_not_by_the_run_at_hand():
    astra, limits = sharing()
    with acting_for("6f1d3b52-58f5-4a41-9b8e-0d1f4c0f7a11"):
        await limits.take(PLANE)
        await limits.block(PLANE.key, timedelta(seconds=1))
    assert astra.callers == [None, None]


@pytest.mark.parametrize("none", [{"left": 0}, {"blocked": 90}])
async def test_many_at_once_wait_for_one_answer(none: dict[str, int]):
    astra, limits = sharing(**none)
    gathered = await asyncio.gather(*(limits.take(PLANE) for _ in range(20)), return_exceptions=True)
    assert all(isinstance(each, QuotaExceeded) for each in gathered)
    assert astra.asked == 1


async def test_a_slot_that_came_free_is_used_again_without_asking():
    astra, limits = sharing(left=1)
    calls = Limit("model:a:calls", 1, AT_ONCE)
    for _ in range(3):
        async with limits.hold(calls):
            with pytest.raises(QuotaExceeded):
                await limits.hold(calls).__aenter__()
    assert astra.leased == [1]
    await limits.aclose()
    assert astra.returned == [1]


async def test_while_astra_is_away_there_is_a_fair_share_of_slots():
    _, limits = sharing(away=True)
    calls = Limit("model:a:calls", FAIR_SHARE, AT_ONCE)
    async with limits.hold(calls):
        with pytest.raises(QuotaExceeded):
            await limits.hold(calls).__aenter__()
    async with limits.hold(calls):
        pass


async def test_what_a_lease_has_left_goes_back_when_its_time_is_over():
    astra, limits = sharing(life_ms=20)
    await limits.take(PLANE)
    await limits.take(PLANE)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await astra.was_returned.wait()
    assert astra.left == 58


async def test_a_slot_in_use_is_renewed():
    astra, limits = sharing(life_ms=20)
    async with asyncio.timeout(PATIENCE_SECONDS), limits.hold(Limit("model:a:calls", 1, AT_ONCE)):
        await astra.was_renewed.wait()
    await limits.aclose()
    assert astra.left == 60


async def test_closing_twice_returns_once():
    astra, limits = sharing()
    await limits.take(PLANE)
    await limits.take(PLANE)
    await limits.aclose()
    await limits.aclose()
    assert astra.left == 58
