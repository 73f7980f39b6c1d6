"""Limits that all processes share, through the real service."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from aucert.astra.v1 import quota_service_pb2 as pb
from services.common.quotas.limits import Limit, QuotaExceeded
from services.common.quotas.shared import SharedLimits
from tests.service.astra_kit import Astra, astra_service  # noqa: F401

KEY = "plane:acme:4f1c09ab"
MINUTE = timedelta(minutes=1)


def duration(value: timedelta) -> Duration:
    made = Duration()
    made.FromTimedelta(value)
    return made


async def lease(
    astra: Astra,
    limit: int,
    *,
    needed: int = 1,
    wanted: int = 0,
    window: timedelta = MINUTE,
    key: str = KEY,
) -> pb.LeaseQuotaResponse:
    request = pb.LeaseQuotaRequest(
        key=key, limit_units=limit, window=duration(window), needed_units=needed, wanted_units=wanted
    )
    return await astra.quotas.LeaseQuota(request)


async def aged(astra: Astra, by: timedelta) -> None:
    """Let time pass for what is leased."""
    await astra.sql("UPDATE quota_leases SET expires_time = expires_time - %s", by)


async def listed(astra: Astra) -> list[Any]:
    return list((await astra.quota_list.ListQuotas(pb.ListQuotasRequest())).quotas)


async def test_eight_who_lease_at_once_never_get_more_than_the_limit(astra: Astra) -> None:
    async def all_of_it() -> list[int]:
        units: list[int] = []
        for _ in range(20):
            answer = await lease(astra, 40, wanted=3)
            if not answer.HasField("lease"):
                return units
            units.append(answer.lease.units)
        return units

    each = await asyncio.gather(*(all_of_it() for _ in range(8)))
    assert 40 == sum(sum(units) for units in each)
    assert all(units <= 3 for leases in each for units in leases)


async def test_what_was_leased_counts_until_a_window_after_the_end_of_its_lease(astra: Astra) -> None:
    life = (await lease(astra, 10, needed=10)).lease.timeout.ToTimedelta()
    assert timedelta() < life <= MINUTE
    denied = await lease(astra, 10)
    assert not denied.HasField("lease")
    assert timedelta() < denied.retry_after.ToTimedelta() <= MINUTE + life
    await aged(astra, MINUTE)
    assert not (await lease(astra, 10)).HasField("lease")
    await aged(astra, life)
    assert (await lease(astra, 10, needed=10)).lease.units == 10


async def test_whoever_is_denied_is_told_when_as_much_as_is_needed_will_be_free(astra: Astra) -> None:
    await lease(astra, 10, needed=4)
    await aged(astra, timedelta(seconds=30))
    await lease(astra, 10, needed=6)
    few, many = [(await lease(astra, 10, needed=needed)).retry_after.ToTimedelta() for needed in (4, 5)]
    assert few < timedelta(seconds=40) < many


async def test_what_was_not_used_is_free_at_once_when_it_is_returned(astra: Astra) -> None:
    held = (await lease(astra, 10, needed=8)).lease
    returned = pb.ReturnQuotaRequest(quota_lease_id=held.quota_lease_id, unused_units=5)
    await astra.quotas.ReturnQuota(returned)
    assert not (await lease(astra, 10, needed=8)).HasField("lease")
    assert (await lease(astra, 10, needed=7)).lease.units == 7
    assert [(each.key, each.limit_units, each.taken_units) for each in await listed(astra)] == [(KEY, 10, 10)]


async def test_a_lease_beyond_what_is_needed_leaves_most_of_the_limit_to_others(astra: Astra) -> None:
    assert (await lease(astra, 80, wanted=80)).lease.units == 10
    assert (await lease(astra, 80, needed=500)).HasField("lease") is False  # all of it, and some is taken
    assert (await lease(astra, 80, needed=500, key="other")).lease.units == 80


async def test_what_is_used_at_the_same_time_is_held_as_long_as_it_is_renewed(astra: Astra) -> None:
    at_once = timedelta()
    first, second = [(await lease(astra, 2, window=at_once)).lease for _ in range(2)]
    assert (await lease(astra, 2, window=at_once)).retry_after.ToTimedelta() > timedelta()
    almost = first.timeout.ToTimedelta() - timedelta(seconds=1)
    await aged(astra, almost)
    kept = await astra.quotas.RenewQuotas(pb.RenewQuotasRequest(quota_lease_ids=[first.quota_lease_id]))
    assert list(kept.quota_lease_ids) == [first.quota_lease_id]
    await aged(astra, timedelta(seconds=2))
    both = pb.RenewQuotasRequest(quota_lease_ids=[first.quota_lease_id, second.quota_lease_id])
    assert list((await astra.quotas.RenewQuotas(both)).quota_lease_ids) == [first.quota_lease_id]
    assert (await lease(astra, 2, window=at_once)).HasField("lease")


@pytest.mark.parametrize("limit", [10, 0])
async def test_nobody_is_granted_a_lease_while_the_vendor_wants_to_be_left_alone(
    astra: Astra, limit: int
) -> None:
    assert (await lease(astra, limit)).HasField("lease")
    for seconds in (40, 20):  # the shorter one changes nothing
        wish = pb.BlockQuotaRequest(key=KEY, timeout=duration(timedelta(seconds=seconds)))
        await astra.quotas.BlockQuota(wish)
    denied = await lease(astra, limit)
    assert (denied.HasField("lease"), denied.blocked) == (False, True)
    assert timedelta(seconds=20) < denied.retry_after.ToTimedelta() <= timedelta(seconds=40)
    assert (await listed(astra))[0].HasField("blocked_until_time")
    assert (await lease(astra, limit, key="other")).HasField("lease")


async def test_quotas_are_listed_by_key_in_pages_and_only_to_operators(astra: Astra) -> None:
    for key in ("b", "a", "c"):
        await lease(astra, 5, key=key)
    first = await astra.quota_list.ListQuotas(pb.ListQuotasRequest(page_size=2))
    rest = await astra.quota_list.ListQuotas(
        pb.ListQuotasRequest(page_size=2, page_token=first.next_page_token)
    )
    assert [each.key for each in (*first.quotas, *rest.quotas)] == ["a", "b", "c"]
    assert not rest.next_page_token
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await astra.quotas.ListQuotas(pb.ListQuotasRequest())
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_processes_that_hold_small_leases_use_the_whole_limit_and_no_more(astra: Astra) -> None:
    limit = Limit(KEY, 30)
    processes = [SharedLimits(astra.quotas) for _ in range(3)]

    async def used(process: SharedLimits) -> int:
        for count in range(100):
            try:
                await process.take(limit)
            except QuotaExceeded:
                return count
        return 100

    counts = await asyncio.gather(*(used(each) for each in processes))
    for each in processes:
        await each.aclose()
    state = (await listed(astra))[0]
    assert sum(counts) == state.taken_units <= 30
    assert sum(counts) >= 25  # the rest was held by one of them when another was denied


async def test_a_block_one_process_was_told_of_is_obeyed_by_the_others(astra: Astra) -> None:
    limit, told, other = Limit(KEY), SharedLimits(astra.quotas), SharedLimits(astra.quotas)
    await told.block(KEY, MINUTE)
    for process in (told, other):
        with pytest.raises(QuotaExceeded) as exceeded:
            await process.take(limit)
        assert timedelta(seconds=50) < exceeded.value.retry_after <= MINUTE


async def test_slots_are_shared_and_come_back(astra: Astra) -> None:
    limit = Limit("model:opus:calls", 1, timedelta())
    one, other = SharedLimits(astra.quotas), SharedLimits(astra.quotas)
    async with one.hold(limit):
        with pytest.raises(QuotaExceeded):
            await other.hold(limit).__aenter__()
    await one.aclose()
    async with other.hold(limit):
        assert [each.taken_units for each in await listed(astra)] == [1]
    await other.aclose()
    assert [each.taken_units for each in await listed(astra)] == [0]
