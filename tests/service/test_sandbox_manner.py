"""How letters travel and how often faults hit, for whichever vendor: tried with Slack's."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import pytest

from services.sandbox.settings import SlackSettings
from tests.service.slack_stage import TOKEN, SlackStage, slack_stage

SLACKS_OWN_DELAYS = SlackSettings().retry_delays_seconds
MESSAGES = 12


async def arrivals(stage: SlackStage, count: int) -> list[str]:
    """The messages that came, in the order they came."""
    return [json.loads((await stage.receiver.next()).body)["event"]["text"] for _ in range(count)]


async def test_by_itself_each_letter_arrives_once_and_in_order():
    async with slack_stage() as stage:
        for number in range(MESSAGES):
            await stage.say(str(number))
        assert [str(number) for number in range(MESSAGES)] == await arrivals(stage, MESSAGES)
        assert stage.receiver.queue.empty()


async def test_letters_can_be_copied_and_overtake_each_other():
    async with slack_stage() as stage:
        await stage.admin("PUT", "/manner", copies=3, shuffle_seconds=0.2, seed=7)
        async with asyncio.TaskGroup() as talk:
            for number in range(MESSAGES):
                talk.create_task(stage.say(str(number)))
        came = await arrivals(stage, 3 * MESSAGES)

    assert {str(number): 3 for number in range(MESSAGES)} == Counter(came)
    assert came != sorted(came, key=int)


async def test_a_vendors_pauses_can_be_shortened_and_its_habits_stay():
    async with slack_stage(retry_delays_seconds=SLACKS_OWN_DELAYS) as stage:
        await stage.admin("PUT", "/manner", retry_scale=0.0)
        stage.receiver.statuses = [503] * 4
        await stage.say()
        came = [await stage.receiver.next() for _ in range(4)]

    assert [None, "1", "2", "3"] == [each.headers.get("X-Slack-Retry-Num") for each in came]


async def test_a_receiver_may_ask_slack_not_to_try_again():
    async with slack_stage() as stage:
        stage.receiver.statuses, stage.receiver.headers = [401], {"x-slack-no-retry": "1"}
        await stage.say("once")
        await stage.say("and on")
        assert ["once", "and on"] == await arrivals(stage, 2)


@pytest.mark.parametrize("body", [{"copies": 0}, {"retry_scale": 2}, {"shuffle_seconds": 60}, {"speed": 1}])
async def test_a_manner_out_of_bounds_is_refused(body: dict[str, object]):
    async with slack_stage() as stage, stage.http.put(f"{stage.url}/_sandbox/manner", json=body) as refused:
        assert 422 == refused.status


async def test_a_fault_may_hit_every_third_call_until_it_is_used_up():
    async with slack_stage() as stage:
        every = {"path_pattern": "*/auth.test", "action": "status:500", "every": 3, "times": 2}
        await stage.admin("POST", "/faults", **every)
        statuses = [await authenticate(stage) for _ in range(9)]

    assert [200, 200, 500, 200, 200, 500, 200, 200, 200] == statuses


async def authenticate(stage: SlackStage) -> int:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with stage.http.post(f"{stage.url}/slack/api/auth.test", headers=headers) as answer:
        return answer.status
