"""Two processes of the tools service before one vendor, with the real Astra between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from pydantic import SecretStr

from services.common.quotas.shared import SharedLimits
from services.tools.pace import Pace
from services.tools.plane_client import PlaneClient, PlaneWorkspace
from services.tools.vendor_errors import VendorRateLimited
from tests.service.astra_kit import Astra, astra_service  # noqa: F401
from tests.service.plane_stage import KEY, WORKSPACE, PlaneStage, plane_stage

CALLS = 8


@asynccontextmanager
async def two_processes(astra: Astra) -> AsyncIterator[tuple[PlaneStage, list[PlaneClient]]]:
    async with plane_stage(wired=False, per_minute=1_000) as plane:
        key = SecretStr(KEY)
        workspace = PlaneWorkspace(f"{plane.url}/plane", key, WORKSPACE, calls_a_minute=CALLS)
        shared = [SharedLimits(astra.quotas) for _ in range(2)]
        clients = [PlaneClient(workspace, pace=Pace(each)) for each in shared]
        yield plane, clients
        for each in (*clients, *shared):
            await each.aclose()


async def test_together_they_make_no_more_calls_than_the_key_may(astra: Astra):
    async with two_processes(astra) as (plane, clients):
        before = await plane.calls()
        answers = await asyncio.gather(
            *(client.read("projects/") for client in clients * 15), return_exceptions=True
        )
        limited = [each for each in answers if isinstance(each, VendorRateLimited)]
        assert await plane.calls() - before == len(answers) - len(limited)
        assert len(answers) - len(limited) in (CALLS - 1, CALLS)
        assert all(each.retry_after and each.retry_after > timedelta(seconds=30) for each in limited)


async def test_what_plane_tells_the_one_the_other_heeds_without_asking_plane(astra: Astra):
    async with two_processes(astra) as (plane, (one, other)):
        await plane.fault("GET", "/projects/", "rate_limit:30")
        with pytest.raises(VendorRateLimited):
            await one.read("projects/")
        calls = await plane.calls()
        with pytest.raises(VendorRateLimited) as limited:
            await other.read("members/")
        assert timedelta(seconds=20) < (limited.value.retry_after or timedelta()) <= timedelta(seconds=30)
        assert await plane.calls() == calls
