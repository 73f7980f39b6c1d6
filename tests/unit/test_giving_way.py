"""The relay while webhooks come in by the crowd: it lets them pass, and is not kept from its work by them."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from services.dispatcher import relay as relaying
from services.dispatcher.relay import CROWD_MIN, Relay

YIELDS = 100


class EmptyInbox:
    """Says when it was asked for work."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.story: list[str] = []

    async def suspect_waits(self) -> bool:
        return False

    async def lease(self, _limit: int) -> list[object]:
        self.story.append("leased")
        self.asked.set()
        return []

    async def next_lease(self) -> None:
        self.asked.clear()
        await self.asked.wait()


async def story(webhooks: int) -> list[str]:
    """What happens while so many webhooks are accepted: the relay is woken in the middle of it."""
    inbox = EmptyInbox()
    relay = Relay(cast("Any", inbox), cast("Any", None), poll_seconds=60)
    async with relay.running():
        await inbox.asked.wait()
        inbox.story.clear()
        asked_again = asyncio.create_task(inbox.next_lease())
        with relay.making_way(webhooks):
            relay.wake()
            for _ in range(YIELDS):
                await asyncio.sleep(0)
            inbox.story.append("accepted")
        await asked_again
        return list(inbox.story)


async def test_a_crowd_of_webhooks_is_accepted_before_more_is_leased(monkeypatch):
    monkeypatch.setattr(relaying, "CROWD_SECONDS", 0.001)
    monkeypatch.setattr(relaying, "GIVE_WAY_STEPS_MAX", 1_000_000)
    assert ["accepted", "leased"] == await story(CROWD_MIN)


async def test_a_few_webhooks_hold_nothing_up():
    assert "leased" == (await story(CROWD_MIN - 1))[0]


@pytest.mark.parametrize("steps", [0, 3])
async def test_a_crowd_that_does_not_end_holds_the_inbox_up_for_a_moment_only(monkeypatch, steps):
    monkeypatch.setattr(relaying, "CROWD_SECONDS", 0.001)
    monkeypatch.setattr(relaying, "GIVE_WAY_STEPS_MAX", steps)
    inbox = EmptyInbox()
    relay = Relay(cast("Any", inbox), cast("Any", None), poll_seconds=60)
    with relay.making_way(CROWD_MIN):
        async with relay.running():
            await inbox.asked.wait()
    assert ["leased"] == inbox.story
