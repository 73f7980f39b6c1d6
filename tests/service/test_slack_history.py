"""CatchUpService against the Slack stand-in: what is told again, from when on, and of what."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import Any

import grpc
import pytest

from aucert.common.v1.thread_pb2 import SlackThread, ThreadAddress
from aucert.tools.v1.catch_up_service_pb2 import ScanContainerRequest, ScanContainerResponse
from aucert.tools.v1.catch_up_service_pb2_grpc import CatchUpServiceStub
from services.common.channels import connect
from services.dispatcher.sources import slack_payload
from services.dispatcher.sources.slack_payload import Act
from services.sandbox.slack_domain import channel_id
from services.tools import slack_history
from services.tools.main import running
from services.tools.settings import ToolsSettings
from services.tools.slack_client import SlackClient
from services.tools.vendor_errors import VendorRateLimited
from tests.service.slack_stage import TOKEN, SlackStage, slack_stage
from tests.service.tools_stage import WORKER, reason_of, serving_astra

HISTORY = "conversations.history"
SHOP = f"slack:t0sandbox/{channel_id('shop').lower()}"


class Stage:
    """A tools service before a Slack."""

    def __init__(self, slack: SlackStage, stub: Any) -> None:
        self.slack = slack
        self._stub = stub

    async def scan(self, container: str = SHOP, **more: Any) -> ScanContainerResponse:
        return await self._stub.ScanContainer(ScanContainerRequest(container=container, **more))

    async def told(self, **more: Any) -> list[str]:
        """The words told since a moment ago."""
        found = await self.scan(cursor=now(), **more)
        acts = [slack_payload.read(each.body) for each in found.deliveries]
        assert all(isinstance(each, Act) for each in acts)
        return [each.text for each in acts if isinstance(each, Act)]


def now() -> str:
    return f"{time.time():.6f}"


@pytest.fixture
async def stage(tmp_path):
    async with serving_astra() as (_, astra_address), slack_stage(wired=False) as slack:
        settings = ToolsSettings(
            _env_file=None,
            ASTRA_TOKEN="tools-token",
            ASTRA_ADDRESS=astra_address,
            TOOLS_PORT=0,
            WORKSPACE_DIR=tmp_path / "workspace",
            SLACK_API_URL=f"{slack.url}/slack/api/",
            SLACK_BOT_TOKEN=TOKEN,
        )
        async with running(settings) as server:
            channel = connect(server.address, WORKER)
            await slack.admin("POST", "/slack/channels", name="shop")
            yield Stage(slack, CatchUpServiceStub(channel))
            await channel.close()


async def test_the_first_scan_tells_nothing_and_the_next_goes_on_from_there(stage):
    await stage.slack.say("@atlas why?")
    first = await stage.scan()
    await stage.slack.say("@atlas when?")
    second = await stage.scan(cursor=first.next_cursor)

    assert [] == list(first.deliveries)
    assert float(first.next_cursor) <= float(second.next_cursor)
    assert [b"when?" in each.body for each in second.deliveries] == [False, True]


async def test_what_is_told_again_has_the_same_name(stage):
    said = await stage.slack.say("@atlas why?")
    first, second = await stage.scan(cursor=now()), await stage.scan(cursor=now())

    assert list(first.deliveries) == list(second.deliveries)
    assert [f"catch-up/{said['channel']}/{said['ts']}"] == [each.external_id for each in first.deliveries]


async def test_what_is_told_is_the_event_slack_would_have_sent(stage):
    root = await stage.slack.say("carts")
    said = await stage.slack.say("@atlas & why?", thread_ts=root["ts"], author="ada")
    (missed,) = (await stage.scan(cursor=now())).deliveries
    act = slack_payload.read(missed.body)

    assert isinstance(act, Act)
    assert ("T0SANDBOX", said["channel"], said["ts"], root["ts"]) == (
        act.team_id,
        act.channel_id,
        act.ts,
        act.thread_ts,
    )
    assert ("<@U0ATLAS> &amp; why?", "U0ATLAS") == (act.text, act.bot_user_id)


async def test_only_what_could_be_for_an_agent_is_told(stage):
    await stage.slack.say("talk among people")
    await stage.slack.say("/atlas resolve")
    await stage.slack.say("@atlas joined", subtype="channel_join")
    await stage.slack.say("elsewhere @atlas", channel="other")

    assert ["/atlas resolve"] == await stage.told()


async def test_a_thread_that_is_asked_about_is_told_whole(stage):
    root = await stage.slack.say("carts")
    await stage.slack.say("and then?", thread_ts=root["ts"])
    address = SlackThread(team_id="T0SANDBOX", channel_id=root["channel"], thread_ts=root["ts"])
    gone = SlackThread(team_id="T0SANDBOX", channel_id=root["channel"], thread_ts="1.000001")

    assert [] == await stage.told()
    assert ["carts", "and then?"] == await stage.told(
        threads=[ThreadAddress(slack=address), ThreadAddress(slack=gone)]
    )


async def test_all_direct_messages_are_one_container(stage):
    await stage.slack.say("why?", channel="@maria")
    await stage.slack.say("when?", channel="@ada")

    assert ["why?", "when?"] == await stage.told(container="slack:t0sandbox/im")


async def test_much_is_told_in_rounds_none_left_out(stage):
    for number in range(503):
        await stage.slack.say(f"@atlas {number}")
    first = await stage.scan(cursor=now())
    second = await stage.scan(cursor=first.next_cursor)
    told = [json.loads(each.body)["event"]["text"] for each in [*first.deliveries, *second.deliveries]]

    assert (True, False) == (first.more, second.more)
    assert {f"<@U0ATLAS> {number}" for number in range(503)} == set(told)


async def test_a_channel_with_more_messages_than_one_scan_reads_is_read_to_its_end(stage, monkeypatch):
    monkeypatch.setattr(slack_history, "PAGE_SIZE", 3)
    monkeypatch.setattr(slack_history, "PARTS_MAX", 2)
    begun = now()
    roots = [await stage.slack.say(f"@atlas {number}") for number in range(9)]
    await stage.slack.say("/atlas resolve", thread_ts=roots[0]["ts"])
    found = [await stage.scan(cursor=begun)]
    while found[-1].more and len(found) < 20:
        found.append(await stage.scan(cursor=found[-1].next_cursor))
    told = {json.loads(each.body)["event"]["text"] for scan in found for each in scan.deliveries}

    assert {*(f"<@U0ATLAS> {number}" for number in range(9)), "/atlas resolve"} == told
    assert float(begun) <= float(found[-1].next_cursor)


async def test_a_rate_limit_ends_a_scan_where_it_can_go_on(stage, monkeypatch):
    for root in [await stage.slack.say("@atlas why?") for _ in range(3)]:
        await stage.slack.say("/atlas resolve", thread_ts=root["ts"])
    asked, read = list[str](), SlackClient.read

    async def limited(slack: SlackClient, method: str, **arguments: Any) -> Any:
        """Each scan may read one thread; the first reads none."""
        if method == "conversations.replies" and asked.count(method) + 1 >= asked.count(HISTORY):
            raise VendorRateLimited("Slack asks to slow down.", retry_after=timedelta(seconds=1))
        asked.append(method)
        return await read(slack, method, **arguments)

    monkeypatch.setattr(SlackClient, "read", limited)
    begun = now()
    found = [await stage.scan(cursor=begun)]
    while found[-1].more and len(found) < 10:
        found.append(await stage.scan(cursor=found[-1].next_cursor))
    told = [each.external_id for scan in found for each in scan.deliveries]

    assert [True, True, True, False] == [each.more for each in found]
    assert 6 == len(set(told))
    assert float(begun) <= float(found[-1].next_cursor) == float(json.loads(found[1].next_cursor)["begun"])


async def test_a_scan_that_gets_no_further_says_how_long_to_wait(stage):
    await stage.slack.say("@atlas why?")
    await stage.slack.fault("conversations.history", "rate_limit:7")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stage.scan(cursor=now())

    assert ("VENDOR_RATE_LIMITED", 7.0) == reason_of(caught.value)[1:]


async def test_of_direct_messages_those_not_read_are_told_after_a_rate_limit(stage):
    for author in ("maria", "ada"):
        await stage.slack.say(f"/atlas {author}", channel=f"@{author}", author=author)
    begun, container = now(), "slack:t0sandbox/im"
    whole = await stage.scan(container, cursor=begun)
    channels = sorted({each.external_id.split("/")[1] for each in whole.deliveries})
    rest = await stage.scan(
        container, cursor=json.dumps({"since": "0.0", "begun": begun, "channel": channels[1]})
    )

    assert [channels[1]] == [each.external_id.split("/")[1] for each in rest.deliveries]
    assert begun == rest.next_cursor


async def test_a_thread_too_long_to_be_read_keeps_no_other_from_being_read(stage, monkeypatch):
    monkeypatch.setattr(slack_history, "PAGE_SIZE", 2)
    monkeypatch.setattr(slack_history, "PAGES_MAX", 2)
    busy, other = await stage.slack.say("busy"), await stage.slack.say("other")
    for number in range(4):
        await stage.slack.say(f"/atlas {number}", thread_ts=busy["ts"])
    await stage.slack.say("/atlas other", thread_ts=other["ts"])

    assert ["/atlas other"] == await stage.told()


@pytest.mark.parametrize(
    ("container", "reason"),
    [
        ("slack:t0other/c0", "VENDOR_REFUSED"),
        ("slack:t0sandbox/c0", "VENDOR_REFUSED"),
        ("fax:1", "SOURCE_OFF"),
    ],
)
async def test_what_cannot_be_read_is_refused(stage, container, reason):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stage.scan(container, cursor=now())

    assert reason == reason_of(caught.value)[1]
