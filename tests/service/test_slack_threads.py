"""ThreadService against the Slack stand-in, with the ledger of an in-memory Astra."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from aucert.astra.v1.thread_post_pb2 import THREAD_POST_KIND_NOTICE_FAILED
from aucert.common.v1.thread_pb2 import (
    STANDING_EXTERNAL,
    STANDING_GUEST,
    STANDING_MEMBER,
    SlackThread,
    ThreadAddress,
)
from aucert.tools.v1 import thread_service_pb2 as pb
from aucert.tools.v1.thread_service_pb2_grpc import ThreadServiceStub
from services.common.channels import connect
from services.tools import bounded, slack_threads
from services.tools.main import running
from services.tools.settings import ToolsSettings
from services.tools.slack_client import SlackApp, SlackClient
from services.tools.vendor_errors import VendorRateLimited, VendorTooLong, VendorUnavailable
from tests.service.slack_stage import TOKEN, SlackStage, slack_stage
from tests.service.tools_stage import WORKER, Astra, reason_of, serving_astra

RUN = "6a51c7c5-6a8d-4d58-a1c4-5f9a3c1f8a01"
LONG = "\n\n".join(["word " * 500] * 10)


@dataclass
class Stage:
    """A tools service before a Slack in which somebody has asked something."""

    slack: SlackStage
    astra: Astra
    threads: Any
    asked: dict[str, Any]

    def address(self, thread_ts: str = "", item_ts: str = "") -> ThreadAddress:
        return ThreadAddress(
            slack=SlackThread(
                team_id="T0SANDBOX",
                channel_id=self.asked["channel"],
                thread_ts=thread_ts or self.asked["ts"],
                item_ts=item_ts,
            )
        )

    async def answer(self, text: str = "[R0] Because **so**.") -> pb.PostAnswerResponse:
        request = pb.PostAnswerRequest(task_run_id=RUN, fence=1, address=self.address(), text=text)
        return await self.threads.PostAnswer(request, timeout=30)

    async def posts(self) -> list[dict[str, Any]]:
        return [each for each in await self.slack.thread(self.asked) if each["by_app"]]

    async def fetch(self, address: ThreadAddress, **more: Any) -> pb.FetchThreadResponse:
        return await self.threads.FetchThread(pb.FetchThreadRequest(address=address, **more))


def settings(tmp_path, astra_address: str, **more: Any) -> ToolsSettings:
    return ToolsSettings(
        _env_file=None,
        ASTRA_TOKEN="tools-token",
        ASTRA_ADDRESS=astra_address,
        TOOLS_PORT=0,
        WORKSPACE_DIR=tmp_path / "workspace",
        SLACK_SETTLE_SECONDS=0.05,
        **more,
    )


@pytest.fixture
async def stage(tmp_path) -> AsyncIterator[Stage]:
    async with serving_astra() as (astra, astra_address), slack_stage(wired=False) as slack:
        known = settings(
            tmp_path, astra_address, SLACK_API_URL=f"{slack.url}/slack/api", SLACK_BOT_TOKEN=TOKEN
        )
        async with running(known) as server:
            channel = connect(server.address, WORKER)
            yield Stage(slack, astra, ThreadServiceStub(channel), await slack.say("@atlas why?"))
            await channel.close()


async def refusal(call: Any) -> tuple[grpc.StatusCode, str, float]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return reason_of(caught.value)


async def test_an_answer_is_posted_once_in_the_thread_however_often_it_is_asked_for(stage):
    first, second = await stage.answer(), await stage.answer()
    (post,) = await stage.posts()

    assert ("[R0] Because *so*.", stage.asked["ts"]) == (post["text"], post["thread_ts"])
    assert first.posts[0].thread_post_id == post["metadata"]["event_payload"]["thread_post_id"]
    assert post["permalink"] == first.url == second.url


async def test_a_long_answer_is_posted_in_parts_in_order(stage):
    posted = await stage.answer(LONG)
    texts = [each["text"] for each in await stage.posts()]

    assert len(texts) == len(posted.posts) == 3
    assert max(map(len, texts)) <= 12_000
    assert "".join(texts) == LONG


@pytest.mark.parametrize("fault", ["drop_after", "status_after:500", "status:500"])
async def test_after_an_unclear_failure_the_thread_is_searched_before_anything_is_sent_again(stage, fault):
    await stage.slack.fault("chat.postMessage", fault)
    posted = await stage.answer()
    (post,) = await stage.posts()

    assert post["ts"] == posted.posts[0].external_id


async def test_an_answer_that_was_posted_but_not_recorded_is_found_and_recorded(stage):
    stage.astra.finish_fails = 1
    assert grpc.StatusCode.INTERNAL == (await refusal(stage.answer()))[0]
    posted = await stage.answer()
    (post,) = await stage.posts()

    assert (post["ts"], post["permalink"]) == (posted.posts[0].external_id, posted.url)


async def test_a_rate_limit_says_how_long_and_nothing_was_posted(stage, no_blocks):
    await stage.slack.fault("chat.postMessage", "rate_limit:7")
    refused = await refusal(stage.answer())

    assert (grpc.StatusCode.RESOURCE_EXHAUSTED, "VENDOR_RATE_LIMITED", 7.0) == refused
    assert [] == await stage.posts()
    await stage.answer()
    assert 1 == len(await stage.posts())


async def test_a_vendor_that_stays_away_is_told_and_a_later_call_posts(stage):
    await stage.slack.fault("chat.postMessage", "status:503", times=2)
    assert (grpc.StatusCode.UNAVAILABLE, "VENDOR_UNAVAILABLE") == (await refusal(stage.answer()))[:2]
    await stage.answer()
    assert 1 == len(await stage.posts())


async def test_a_refusal_for_good_is_told_as_one(stage):
    stage.asked = {**stage.asked, "channel": "C0NOWHERE"}

    assert (grpc.StatusCode.FAILED_PRECONDITION, "VENDOR_REFUSED") == (await refusal(stage.answer()))[:2]


async def test_a_notice_is_posted_once_beside_the_answer(stage):
    notice = pb.PostNoticeRequest(
        task_run_id=RUN,
        fence=1,
        address=stage.address(),
        kind=THREAD_POST_KIND_NOTICE_FAILED,
        text="I gave up.",
    )
    first, second = await stage.threads.PostNotice(notice), await stage.threads.PostNotice(notice)
    await stage.answer()

    assert 2 == len(await stage.posts())
    assert first.url == second.url


@pytest.mark.parametrize("fault", ["drop_after", "status_after:500"])
async def test_a_notice_slack_posted_and_denied_is_there_once(stage, fault):
    await stage.slack.fault("chat.postMessage", fault)
    notice = pb.PostNoticeRequest(
        task_run_id=RUN,
        fence=1,
        address=stage.address(),
        kind=THREAD_POST_KIND_NOTICE_FAILED,
        text="I gave up.",
    )
    posted = await stage.threads.PostNotice(notice, timeout=30)
    (post,) = await stage.posts()

    assert post["permalink"] == posted.url


async def test_a_post_is_found_by_its_row_and_another_is_not(stage):
    posted = (await stage.answer()).posts[0]

    async def find(thread_post_id: str) -> pb.FindPostResponse:
        return await stage.threads.FindPost(
            pb.FindPostRequest(address=stage.address(), thread_post_id=thread_post_id)
        )

    found = await find(posted.thread_post_id)
    assert (True, posted.external_id, posted.url) == (found.found, found.external_id, found.url)
    assert not (await find(RUN)).found


async def test_what_a_person_wrote_gets_one_pair_of_eyes(stage):
    reply = await stage.slack.say("and why?", thread_ts=stage.asked["ts"])
    for _ in range(2):
        for item_ts in ("", reply["ts"]):
            await stage.threads.Acknowledge(pb.AcknowledgeRequest(address=stage.address(item_ts=item_ts)))

    assert [{"eyes": ["atlas"]}] * 2 == [each["reactions"] for each in await stage.slack.thread(stage.asked)]


async def test_a_thread_is_resolved_by_a_check_mark_on_its_first_message(stage):
    await stage.slack.say("and why?", thread_ts=stage.asked["ts"])
    before = await stage.fetch(stage.address())
    request = pb.ResolveThreadRequest(address=stage.address())
    told = [(await stage.threads.ResolveThread(request)).resolved for _ in range(2)]

    assert [True, True] == told
    assert [{"white_check_mark": ["atlas"]}, {}] == [
        each["reactions"] for each in await stage.slack.thread(stage.asked)
    ]
    assert (False, True) == (before.resolved, (await stage.fetch(stage.address())).resolved)


async def test_a_reaction_slack_added_and_denied_is_there_once(stage):
    address = stage.address()
    acts = {
        "eyes": lambda: stage.threads.Acknowledge(pb.AcknowledgeRequest(address=address)),
        "white_check_mark": lambda: stage.threads.ResolveThread(pb.ResolveThreadRequest(address=address)),
    }
    for act in acts.values():
        await stage.slack.fault("reactions.add", "status_after:500")
        assert "VENDOR_UNAVAILABLE" == (await refusal(act()))[1]
        await act()

    assert {name: ["atlas"] for name in acts} == (await stage.slack.thread(stage.asked))[0]["reactions"]


async def test_a_check_mark_of_a_person_on_the_question_resolves_too(stage):
    await stage.slack.admin(
        "POST", "/slack/reactions", channel="shop", ts=stage.asked["ts"], name="white_check_mark"
    )

    assert (await stage.fetch(stage.address())).resolved


async def test_a_thread_is_read_up_to_the_item_with_the_people_in_it(stage):
    await stage.answer("Because.")
    item = await stage.slack.say("@atlas & <b>?", author="ada", thread_ts=stage.asked["ts"])
    await stage.slack.say("later", thread_ts=stage.asked["ts"])
    told = await stage.fetch(stage.address(item_ts=item["ts"]))

    assert [("@atlas why?", False), ("Because.", True), ("@atlas & <b>?", False)] == [
        (each.text, each.ours) for each in told.messages
    ]
    people = {each.person_id: each.display_name for each in told.people}
    assert ["maria", "atlas", "ada"] == [people[each.author_id] for each in told.messages]
    assert (item["ts"], item["permalink"]) == (told.messages[-1].external_id, told.messages[-1].url)


async def test_of_a_long_thread_the_first_and_the_last_messages_are_read(stage):
    for number in range(205):
        await stage.slack.say(f"{number}", thread_ts=stage.asked["ts"])
    told = await stage.fetch(stage.address(), messages_max=3)

    assert ["@atlas why?", "203", "204"] == [each.text for each in told.messages]
    assert 203 == told.left_out_count


async def test_a_thread_too_long_to_be_read_is_refused_for_good(stage, monkeypatch):
    monkeypatch.setattr(slack_threads, "PAGE_SIZE", 1)
    monkeypatch.setattr(slack_threads, "PAGES_MAX", 2)
    for number in range(2):
        await stage.slack.say(f"{number}", thread_ts=stage.asked["ts"])

    refused = await refusal(stage.fetch(stage.address()))
    assert (grpc.StatusCode.FAILED_PRECONDITION, "VENDOR_REFUSED") == refused[:2]


async def test_an_answer_too_long_to_be_read_is_refused_for_good_but_after_a_write_unclear(
    stage, monkeypatch
):
    monkeypatch.setattr(bounded, "ANSWER_BYTES_MAX", 10)
    slack = SlackClient(SlackApp(f"{stage.slack.url}/slack/api", SecretStr(TOKEN)))
    with pytest.raises(VendorTooLong):
        await slack.me()
    with pytest.raises(VendorUnavailable):
        await slack.write("chat.postMessage", channel=stage.asked["channel"], text="Because.")
    await slack.aclose()


async def test_however_long_slack_asks_to_wait_the_wait_is_bounded():
    async def limited(_: web.Request) -> web.Response:
        return web.json_response({"ok": False}, status=429, headers={"Retry-After": "9" * 100})

    app = web.Application()
    app.router.add_get("/auth.test", limited)
    async with TestServer(app) as server:
        slack = SlackClient(SlackApp(str(server.make_url("/")), SecretStr(TOKEN)))
        with pytest.raises(VendorRateLimited) as caught:
            await slack.me()
        await slack.aclose()

    assert timedelta(hours=1) == caught.value.retry_after


async def test_an_address_that_takes_a_reply_for_the_thread_is_corrected(stage):
    reply = await stage.slack.say("and why?", thread_ts=stage.asked["ts"])
    told = await stage.fetch(stage.address(thread_ts=reply["ts"], item_ts=reply["ts"]))

    assert stage.asked["ts"] == told.address.slack.thread_ts
    assert [stage.asked["ts"], reply["ts"]] == [each.external_id for each in told.messages]


@pytest.mark.parametrize(
    ("standing", "told"),
    [("member", STANDING_MEMBER), ("guest", STANDING_GUEST), ("external", STANDING_EXTERNAL)],
)
async def test_people_are_told_with_their_standing(stage, standing, told):
    said = await stage.slack.say("@atlas?", author="eve", standing=standing)
    response = await stage.fetch(stage.address(thread_ts=said["ts"]))

    assert [told] == [each.standing for each in response.people if each.display_name == "eve"]


async def test_without_a_token_the_source_is_off(tmp_path):
    async with serving_astra() as (_, astra_address), running(settings(tmp_path, astra_address)) as server:
        channel = connect(server.address, WORKER)
        address = ThreadAddress(slack=SlackThread(team_id="T0", channel_id="C0", thread_ts="1.0"))
        refused = await refusal(
            ThreadServiceStub(channel).Acknowledge(pb.AcknowledgeRequest(address=address))
        )
        await channel.close()

    assert (grpc.StatusCode.FAILED_PRECONDITION, "SOURCE_OFF") == refused[:2]
