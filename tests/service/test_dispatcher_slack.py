"""Slack's events on their way through a real dispatcher: kept, fetched, told apart, each act once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aucert.common.v1.thread_pb2 import STANDING_EXTERNAL, STANDING_MEMBER, SlackThread, ThreadAddress
from aucert.dispatcher.v1.delivery_pb2 import Delivery, Header
from aucert.dispatcher.v1.dispatcher_service_pb2 import IngestWebhooksRequest
from aucert.tools.v1.thread_service_pb2 import FetchThreadResponse, Person, ThreadMessage
from services.common.errors import Unavailable
from tests.service.dispatcher_parts import SECRET, staged, until
from tests.slack_payloads import (
    CHANNEL,
    DIRECT,
    MARIA,
    MENTION,
    ROOT_TS,
    TEAM,
    TS,
    direct,
    encoded,
    mention,
    message,
    reaction,
    signed,
)

LATER_TS = "1763850120.000400"


@pytest.fixture
async def stage(database_urls):
    async with staged(database_urls) as stage:
        stage.world.talks[TS] = heard(TS)
        stage.world.talks[LATER_TS] = heard(TS, LATER_TS)
        yield stage


def heard(*timestamps: str, channel: str = CHANNEL, standing: int = STANDING_MEMBER) -> FetchThreadResponse:
    """A thread of these messages, the last of them the item."""
    address = SlackThread(team_id=TEAM, channel_id=channel, thread_ts=timestamps[0], item_ts=timestamps[-1])
    return FetchThreadResponse(
        address=ThreadAddress(slack=address),
        messages=[
            ThreadMessage(external_id=ts, author_id=MARIA, text=f"said at {ts}", url=f"https://slack/{ts}")
            for ts in timestamps
        ],
        people=[Person(person_id=MARIA, display_name="maria", standing=standing)],  # pyright: ignore[reportArgumentType]
    )


def delivery(told: dict[str, Any], **headers: str) -> Delivery:
    body = encoded(told)
    return Delivery(
        source="slack",
        headers=[Header(name=name, value=value) for name, value in signed(body, SECRET, **headers).items()],
        body=body,
    )


async def ingest(stage, *deliveries: Delivery):
    response = await stage.gateway.IngestWebhooks(IngestWebhooksRequest(deliveries=deliveries))
    return list(response.results)


async def settled(stage, told: dict[str, Any]) -> dict[str, Any]:
    (result,) = await ingest(stage, delivery(told))
    return await stage.settled(result.delivery_id)


async def test_both_events_of_a_mention_are_one_event_one_run_and_one_acknowledgement(stage):
    results = await ingest(stage, delivery(mention()), delivery(message(f"{MENTION} why?")))
    statuses = [(await stage.settled(each.delivery_id))["status"] for each in results]
    (event,) = await stage.rows("SELECT * FROM thread_events")
    (run,) = stage.world.runs.values()

    assert ["done", "done"] == statuses
    assert f"slack:{TEAM}/{CHANNEL}/{TS}" == event["event_key"]
    assert {f"default/slack/{TEAM}/{CHANNEL}/{TS}"} == {run.workflow_id, *stage.ringer.rung}
    assert ("maria", f"https://slack/{TS}") == (run.requester, run.source_url)
    assert f"said at {TS}" in run.message

    async def acknowledged() -> bool:
        return TS in stage.world.acknowledged

    await until(acknowledged)


async def test_a_retry_of_slacks_is_the_same_delivery(stage):
    first, again = await ingest(stage, delivery(mention()), delivery(mention(), **{"X-Slack-Retry-Num": "1"}))

    assert first == again
    assert [{"count": 1}] == await stage.rows("SELECT count(*) FROM webhook_deliveries")


async def test_the_challenge_is_answered_and_not_kept(stage):
    (result,) = await ingest(stage, delivery({"type": "url_verification", "challenge": "abc"}))

    assert (200, "text/plain", b"abc") == (result.http_status, result.content_type, result.body)
    assert [] == await stage.rows("SELECT id FROM webhook_deliveries")


async def test_an_old_signature_is_refused(stage):
    body = encoded(mention())
    headers = signed(body, SECRET, at=0)
    old = Delivery(source="slack", headers=[Header(name=n, value=v) for n, v in headers.items()], body=body)
    (result,) = await ingest(stage, old)

    assert (401, "SIGNATURE_STALE") == (result.http_status, json.loads(result.body)["reason"])


async def test_without_its_secret_the_source_is_off(database_urls):
    async with staged(database_urls, signing_secret="") as stage:
        (result,) = await ingest(stage, delivery(mention()))

    assert (404, "SOURCE_OFF") == (result.http_status, json.loads(result.body)["reason"])


async def test_a_thread_the_agent_is_in_needs_no_mention(stage):
    await settled(stage, mention())
    followed = await settled(stage, message("and then?", ts=LATER_TS, thread_ts=TS) | {"event_id": "Ev3"})
    events = await stage.rows("SELECT seq, thread_id FROM thread_events ORDER BY seq")

    assert "done" == followed["status"]
    assert [1, 2] == [each["seq"] for each in events]
    assert 1 == len({each["thread_id"] for each in events})


async def test_a_follow_up_waits_for_the_mention_that_calls_the_agent_in(stage):
    follow_up = message("and then?", ts=LATER_TS, thread_ts=TS) | {"event_id": "Ev3"}
    results = await ingest(stage, delivery(mention()), delivery(follow_up))
    statuses = [(await stage.settled(each.delivery_id))["status"] for each in results]

    assert ["done", "done"] == statuses


async def test_talk_among_people_is_ignored_without_asking_slack(stage):
    told = [
        message("hello"),
        message("hello", thread_ts=ROOT_TS, ts=LATER_TS) | {"event_id": "Ev3"},
        reaction("tada") | {"event_id": "Ev4"},
        message(MENTION, channel="C0OTHER") | {"event_id": "Ev5"},
    ]
    reasons = [(await settled(stage, each))["outcome_reason"] for each in told]

    assert ["NOT_ADDRESSED"] * 3 + ["CONTAINER_NOT_REGISTERED"] == reasons
    assert [] == stage.world.fetched


async def test_direct_messages_are_let_in_by_one_name_for_all(stage):
    stage.world.talks[TS] = heard(TS, channel=DIRECT)
    row = await settled(stage, direct())

    assert "done" == row["status"]


async def test_somebody_from_elsewhere_starts_nothing(stage):
    stage.world.talks[TS] = heard(TS, standing=STANDING_EXTERNAL)
    row = await settled(stage, mention())

    assert ("ignored", "AUTHOR_WITHOUT_STANDING") == (row["status"], row["outcome_reason"])


async def test_while_slack_cannot_be_asked_the_event_waits(stage):
    stage.world.failing["FetchThread"] = Unavailable("Slack is away.", reason="VENDOR_UNAVAILABLE")
    (result,) = await ingest(stage, delivery(mention()))

    async def retried() -> bool:
        return (await stage.delivery(result.delivery_id))["outcome_reason"] == "VENDOR_UNAVAILABLE"

    await until(retried)
    stage.world.failing.clear()
    assert "done" == (await stage.settled(result.delivery_id))["status"]


async def test_a_reaction_starts_a_run_in_the_thread_of_its_message(stage):
    stage.world.talks[TS] = heard(ROOT_TS, TS)
    row = await settled(stage, reaction("atlas"))
    (run,) = stage.world.runs.values()

    assert "done" == row["status"]
    assert f"default/slack/{TEAM}/{CHANNEL}/{ROOT_TS}" == run.workflow_id
    assert (ROOT_TS, TS) == (run.address.slack.thread_ts, run.address.slack.item_ts)


async def test_a_stop_by_reaction_stops_what_the_thread_has_begun(stage):
    await settled(stage, mention())
    row = await settled(stage, reaction("octagonal_sign") | {"event_id": "Ev3"})

    assert "done" == row["status"]
    assert [2] == [each.before_thread_seq for each in stage.world.stops]
