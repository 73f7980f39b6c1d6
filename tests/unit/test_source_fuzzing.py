"""Whatever comes with a valid signature is admitted or refused, holds events or is ignored: never a fault."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.webhooks import ALIASES
from services.dispatcher.domain import Ignored
from services.dispatcher.sources.source import Genuine, Refused
from tests.google_payloads import REPLY, read, said
from tests.mutations import DETERMINED, mutated
from tests.webhook_routes import ROUTES, Sent
from tests.whole_sources import admit, check, found_in, storable

EXAMPLES = 100


async def take(sent: Sent) -> None:
    """A webhook's way through its source."""
    verdict = await admit(sent)
    if isinstance(verdict, Refused):
        assert 400 <= verdict.status < 500
    if isinstance(verdict, Genuine):
        assert storable(verdict.external_id)
        assert storable(verdict.order_key)
        check(await found_in(ALIASES.get(sent.source, sent.source), verdict.headers, sent.body))


@pytest.mark.parametrize("route", ROUTES)
def test_whatever_is_signed_is_refused_ignored_or_an_event(route):
    @settings(DETERMINED, max_examples=EXAMPLES)
    @given(ROUTES[route])
    def fuzz(sent: Sent) -> None:
        asyncio.run(take(sent))

    fuzz()


@settings(DETERMINED, max_examples=EXAMPLES)
@given(mutated([read(), read(said(), said(item_id=REPLY))]))
def test_a_comment_read_from_drive_is_ignored_or_an_event(body):
    check(asyncio.run(found_in("google-drive", {}, body)))


@settings(DETERMINED, max_examples=40)
@given(route=st.sampled_from(["slack", "plane", "google-events"]), depth=st.integers(700, 1_000))
def test_what_is_nested_too_deep_for_the_reader_is_ignored(route, depth):
    odd = f"{'[' * depth}{']' * depth}"
    keys = ("type", "event", "action", "version", "challenge", "team_id", "event_id", "message", "data")
    told = "{" + ",".join(f"{json.dumps(key)}:{odd}" for key in keys) + "}"
    assert isinstance(asyncio.run(found_in(route, {}, told.encode())), Ignored)
