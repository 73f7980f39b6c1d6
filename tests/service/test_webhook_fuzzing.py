"""Every webhook route under what anybody with its secret could send: gateway, dispatcher and relay."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from functools import cache

import aiohttp
import pytest

from aucert.tools.v1.thread_service_pb2 import FetchThreadResponse
from gateway.main import running
from gateway.routes import SOURCES
from gateway.settings import GatewaySettings
from services.dispatcher.domain import IgnoredReason
from tests import google_payloads
from tests.mutations import drawn
from tests.service.dispatcher_parts import Stage, staged, until
from tests.webhook_routes import ROUTES, SECRET, Sent

EXAMPLES = 25


@pytest.fixture
async def stage(database_urls) -> AsyncIterator[Stage]:
    settings = {
        "PLANE_WEBHOOK_SECRET": SECRET,
        "DRIVE_CHANNEL_TOKEN": SECRET,
        "PUBSUB_AUDIENCE": google_payloads.AUDIENCE,
        "PUBSUB_SERVICE_ACCOUNT": google_payloads.PUSHER,
    }
    async with staged(database_urls, secret=SECRET, signing_secret=SECRET, **settings) as stage:
        stage.world.signing_keys[google_payloads.KEY_ID] = google_payloads.public_key_pem()
        stage.world.talks = defaultdict(FetchThreadResponse)
        yield stage


@cache
def webhooks() -> list[Sent]:
    return [each for route in ROUTES.values() for each in drawn(route, EXAMPLES)]


async def answers(stage: Stage, sent: list[Sent]) -> Counter[int]:
    """The statuses with which the gateway answers, each webhook on its route and on its tenant's."""
    settings = GatewaySettings.model_validate(
        {
            "GATEWAY_PORT": 0,
            "ASTRA_TOKEN": "gateway-token",
            "DISPATCHER_ADDRESS": stage.address,
            "ASTRA_ADDRESS": stage.world_address,
        }
    )
    statuses: Counter[int] = Counter()
    async with running(settings) as server, aiohttp.ClientSession(f"http://{server.address}") as http:
        for number, each in enumerate(sent):
            path = f"/webhooks/{each.source}" + "/default" * (number % 2)
            async with http.post(path, data=each.body, headers=each.headers) as response:
                statuses[response.status] += 1
    return statuses


def test_every_route_is_among_the_fuzzed():
    assert {*SOURCES} == {each.source for each in webhooks()}


async def test_nothing_that_is_signed_is_answered_with_a_fault_or_lies_dead_in_the_inbox(stage):
    statuses = await answers(stage, webhooks())

    assert {200, 202, 400} == statuses.keys()
    await until(lambda: _none_live(stage))
    kept = await stage.rows("SELECT status, attempts, outcome_reason FROM webhook_deliveries")
    assert {"done", "ignored"} == {each["status"] for each in kept}
    assert {0} == {each["attempts"] for each in kept}
    ignored = {each["outcome_reason"] for each in kept if each["status"] == "ignored"}
    assert ignored <= {*IgnoredReason}
    assert len(ignored) >= 5


async def _none_live(stage: Stage) -> bool:
    (row,) = await stage.rows("SELECT count(*) FROM webhook_deliveries WHERE status IN ('pending', 'leased')")
    return row["count"] == 0
