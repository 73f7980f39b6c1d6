"""Brave's web search: what its answers mean to a caller."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from services.sandbox.brave import build_brave_app
from services.sandbox.calls import Calls
from services.sandbox.faults import Fault, Faults
from services.sandbox.settings import BraveSettings
from services.tools.brave_client import BraveClient, BraveSubscription
from services.tools.vendor_errors import VendorRateLimited, VendorRefused, VendorUnavailable


@asynccontextmanager
async def brave(key: str = "key", fault: str = "", **more: Any) -> AsyncGenerator[BraveClient, None]:
    """A client of the stand-in."""
    faults = Faults()
    if fault:
        faults.arm(Fault.parse("GET", "*", 1, fault))
    app = build_brave_app(BraveSettings(api_key="key", **more), faults, Calls())
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    client = BraveClient(BraveSubscription(url, SecretStr(key)))
    try:
        yield client
    finally:
        await client.aclose()
        await runner.cleanup()


async def test_a_search_without_results_has_none_and_is_no_failure():
    async with brave() as client:
        assert "web" not in await client.search("nothing")


@pytest.mark.parametrize(
    ("stage", "error", "waits"),
    [
        ({"key": "other"}, VendorRefused, None),
        ({"left_this_month": 0}, VendorRateLimited, timedelta(seconds=389_223)),
        ({"fault": "rate_limit:7"}, VendorRateLimited, timedelta(seconds=7)),
        ({"fault": "status:503"}, VendorUnavailable, None),
    ],
)
async def test_a_refusal_says_whether_and_when_to_try_again(
    stage: dict[str, Any], error: type[Exception], waits: timedelta | None
):
    async with brave(**stage) as client:
        with pytest.raises(error) as caught:
            await client.search("grpc")
    assert waits == getattr(caught.value, "retry_after", None)
    assert "key" not in str(caught.value).replace("BRAVE_API_KEY", "")


async def test_what_brave_would_not_take_is_refused():
    async with brave() as client:
        for params in ({"count": 21}, {"offset": 10}, {"freshness": "soon"}, {"colour": "red"}):
            with pytest.raises(VendorRefused, match="VALIDATION"):
                await client.search("grpc", **params)
