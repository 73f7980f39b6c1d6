"""ThreadService against the Plane stand-in, with the ledger of an in-memory Astra."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from pydantic import SecretStr

from aucert.astra.v1.thread_post_pb2 import THREAD_POST_KIND_NOTICE_FAILED, ThreadPost
from aucert.common.v1.thread_pb2 import (
    STANDING_GUEST,
    STANDING_MEMBER,
    PlaneThread,
    ThreadAddress,
)
from aucert.tools.v1 import thread_service_pb2 as pb
from aucert.tools.v1.thread_service_pb2_grpc import ThreadServiceStub
from services.common.channels import connect
from services.sandbox.plane_domain import stable_id
from services.tools import bounded, plane_client
from services.tools.main import running
from services.tools.plane_client import PlaneClient, PlaneWorkspace
from services.tools.plane_posts import PlanePosts
from services.tools.plane_threads import PlaneThreads
from services.tools.settings import ToolsSettings
from services.tools.vendor_errors import VendorTooLong, VendorUnavailable
from tests.service.plane_stage import KEY, WORKSPACE, PlaneStage, plane_stage
from tests.service.tools_stage import WORKER, Astra, reason_of, serving_astra

RUN = "6a51c7c5-6a8d-4d58-a1c4-5f9a3c1f8a01"
WORKSPACE_ID = "00000000-0000-4000-8000-000000000001"
NOWHERE = "00000000-0000-4000-8000-000000000002"
LONG = "\n\n".join(["word " * 500] * 20)
COMMENTS = "/comments/"


@dataclass
class Stage:
    """A tools service before a Plane in which somebody has filed a work item."""

    plane: PlaneStage
    astra: Astra
    threads: Any
    filed: dict[str, Any]

    def address(self, comment_id: str = "", **more: str) -> ThreadAddress:
        told = {"project_id": self.filed["project"], "identifier": "SHOP-1", **more}
        return ThreadAddress(
            plane=PlaneThread(
                workspace_id=WORKSPACE_ID,
                work_item_id=self.filed["work_item"],
                comment_id=comment_id,
                **told,
            )
        )

    async def answer(self, text: str = "[R0] Because **so**.") -> pb.PostAnswerResponse:
        request = pb.PostAnswerRequest(task_run_id=RUN, fence=1, address=self.address(), text=text)
        return await self.threads.PostAnswer(request, timeout=30)

    async def posts(self) -> list[dict[str, Any]]:
        return [each for each in await self.plane.comments(self.filed) if each["by_app"]]

    async def fetch(self, address: ThreadAddress, **more: Any) -> pb.FetchThreadResponse:
        return await self.threads.FetchThread(pb.FetchThreadRequest(address=address, **more))


def settings(tmp_path, astra_address: str, **more: Any) -> ToolsSettings:
    return ToolsSettings(
        _env_file=None,
        ASTRA_TOKEN="tools-token",
        ASTRA_ADDRESS=astra_address,
        TOOLS_PORT=0,
        WORKSPACE_DIR=tmp_path / "workspace",
        PLANE_SETTLE_SECONDS=0.05,
        **more,
    )


@asynccontextmanager
async def staged(tmp_path, *, per_minute: int = 1_000) -> AsyncIterator[Stage]:
    async with (
        serving_astra() as (astra, astra_address),
        plane_stage(wired=False, per_minute=per_minute) as plane,
    ):
        known = settings(
            tmp_path,
            astra_address,
            PLANE_API_URL=f"{plane.url}/plane",
            PLANE_APP_URL=f"{plane.url}/web/plane",
            PLANE_API_KEY=KEY,
            PLANE_WORKSPACE=WORKSPACE,
        )
        async with running(known) as server:
            channel = connect(server.address, WORKER)
            yield Stage(plane, astra, ThreadServiceStub(channel), await plane.file("@atlas why?"))
            await channel.close()


@pytest.fixture
async def stage(tmp_path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as stage:
        yield stage


@asynccontextmanager
async def client(stage: Stage) -> AsyncIterator[PlaneClient]:
    url = f"{stage.plane.url}/plane"
    plane = PlaneClient(PlaneWorkspace(url, SecretStr(KEY), WORKSPACE))
    yield plane
    await plane.aclose()


async def refusal(call: Any) -> tuple[grpc.StatusCode, str, float]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return reason_of(caught.value)


async def test_an_answer_is_posted_once_in_html_however_often_it_is_asked_for(stage):
    first, second = await stage.answer(), await stage.answer()
    (post,) = await stage.posts()

    assert "<p>[R0] Because <strong>so</strong>.</p>" == post["html"]
    assert ("astra", first.posts[0].thread_post_id) == (post["external_source"], post["external_id"])
    assert post["permalink"] == first.url == second.url


async def test_a_long_answer_is_posted_in_parts_in_order(stage):
    posted = await stage.answer(LONG)
    texts = [each["text"] for each in await stage.posts()]

    assert len(texts) == len(posted.posts) == 3
    assert LONG.split() == " ".join(texts).split()


@pytest.mark.parametrize("fault", ["drop_after", "status_after:500", "status:500", "status:408"])
async def test_after_an_unclear_failure_the_thread_is_searched_before_anything_is_sent_again(stage, fault):
    await stage.plane.fault("POST", COMMENTS, fault)
    posted = await stage.answer()
    (post,) = await stage.posts()

    assert post["id"] == posted.posts[0].external_id


async def test_a_post_that_is_sent_again_by_mistake_finds_itself(stage):
    async with client(stage) as plane:
        posts, post = PlanePosts(plane), ThreadPost(thread_post_id=RUN, text="<p>Because.</p>")
        first, second = [await posts.post(stage.address(), post) for _ in range(2)]

    assert first == second
    assert 1 == len(await stage.posts())


async def test_an_answer_that_was_posted_but_not_recorded_is_found_and_recorded(stage):
    stage.astra.finish_fails = 1
    assert grpc.StatusCode.INTERNAL == (await refusal(stage.answer()))[0]
    posted = await stage.answer()
    (post,) = await stage.posts()

    assert (post["id"], post["permalink"]) == (posted.posts[0].external_id, posted.url)


async def test_a_rate_limit_says_how_long_and_until_then_nothing_is_sent(stage):
    await stage.plane.fault("POST", COMMENTS, "rate_limit:7")
    code, reason, delay = await refusal(stage.answer())
    calls = await stage.plane.calls()
    again = await refusal(stage.answer())

    assert (grpc.StatusCode.RESOURCE_EXHAUSTED, "VENDOR_RATE_LIMITED", 7.0) == (code, reason, delay)
    assert (code, reason) == again[:2]
    assert 0 < again[2] <= 7
    assert calls == await stage.plane.calls()
    assert [] == await stage.posts()
    assert stage.astra.blocked_keys == stage.astra.quota_keys[:1]  # so all processes know


async def test_after_the_wait_planes_named_the_answer_is_posted(stage):
    await stage.plane.fault("POST", COMMENTS, "rate_limit:0")
    assert "VENDOR_RATE_LIMITED" == (await refusal(stage.answer()))[1]
    await stage.answer()

    assert 1 == len(await stage.posts())


async def test_the_last_calls_of_a_minute_are_for_posts(tmp_path):
    async with staged(tmp_path, per_minute=12) as stage:
        await stage.fetch(stage.address())
        refused = await refusal(stage.fetch(stage.address()))
        await stage.answer()

        assert "VENDOR_RATE_LIMITED" == refused[1]
        assert 1 == len(await stage.posts())


async def test_a_vendor_that_stays_away_is_told_and_a_later_call_posts(stage):
    await stage.plane.fault("POST", COMMENTS, "status:503", times=2)
    assert (grpc.StatusCode.UNAVAILABLE, "VENDOR_UNAVAILABLE") == (await refusal(stage.answer()))[:2]
    await stage.answer()
    assert 1 == len(await stage.posts())


@pytest.mark.parametrize("project", [NOWHERE, ""])
async def test_a_work_item_that_is_not_there_is_a_refusal_for_good(stage, project):
    stage.filed = {**stage.filed, "project": project}

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
async def test_a_notice_plane_posted_and_denied_is_there_once(stage, fault):
    await stage.plane.fault("POST", COMMENTS, fault)
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


async def test_a_post_is_found_by_its_row_behind_many_others_and_another_is_not(stage):
    posted = (await stage.answer()).posts[0]
    for number in range(101):
        await stage.plane.say(stage.filed, str(number))

    async def find(thread_post_id: str) -> pb.FindPostResponse:
        return await stage.threads.FindPost(
            pb.FindPostRequest(address=stage.address(), thread_post_id=thread_post_id)
        )

    found = await find(posted.thread_post_id)
    assert (True, posted.external_id, posted.url) == (found.found, found.external_id, found.url)
    assert not (await find(RUN)).found


async def test_there_is_nothing_to_acknowledge_or_resolve_with(stage):
    calls = await stage.plane.calls()
    await stage.threads.Acknowledge(pb.AcknowledgeRequest(address=stage.address()))
    resolved = await stage.threads.ResolveThread(pb.ResolveThreadRequest(address=stage.address()))

    assert not resolved.resolved
    assert calls == await stage.plane.calls()


async def test_a_work_item_is_read_up_to_the_comment_with_the_people_in_it(stage):
    await stage.answer("Because.")
    item = await stage.plane.say(stage.filed, "@atlas & <b>?", author="ada", standing="guest")
    await stage.plane.say(stage.filed, "later")
    told = await stage.fetch(stage.address(item["comment"], identifier=""))

    assert [("Carts are slow\n\n@atlas why?", False), ("Because.", True), ("@atlas & <b>?", False)] == [
        (each.text, each.ours) for each in told.messages
    ]
    people = {each.person_id: each for each in told.people}
    assert ["maria", "atlas", "ada"] == [people[each.author_id].display_name for each in told.messages]
    assert [STANDING_MEMBER, STANDING_GUEST] == [
        people[told.messages[place].author_id].standing for place in (0, 2)
    ]
    assert ["atlas"] == [each.display_name for each in told.people if each.ours]
    assert (item["comment"], item["permalink"]) == (told.messages[-1].external_id, told.messages[-1].url)
    assert "SHOP-1" == told.address.plane.identifier


async def test_a_project_without_a_plain_name_is_linked_by_its_id(stage):
    filed = await stage.plane.file(project="çay")
    address = stage.address(project_id=filed["project"])
    address.plane.work_item_id = filed["work_item"]
    told = await stage.fetch(address)

    assert "" == told.address.plane.identifier
    assert told.messages[0].url.endswith(f"/projects/{filed['project']}/issues/{filed['work_item']}/")


async def test_a_work_item_itself_is_read_without_its_comments(stage):
    await stage.plane.say(stage.filed)
    told = await stage.fetch(stage.address())

    assert [stage.filed["work_item"]] == [each.external_id for each in told.messages]
    assert stage.filed["permalink"] == told.messages[0].url


async def test_of_a_long_thread_the_work_item_and_the_last_comments_are_read(stage):
    said = [await stage.plane.say(stage.filed, str(number)) for number in range(105)]
    told = await stage.fetch(stage.address(said[-2]["comment"]), messages_max=3)

    assert ["102", "103"] == [each.text for each in told.messages[1:]]
    assert 102 == told.left_out_count


async def test_a_comment_beyond_the_first_page_is_read_alone(stage):
    said = [await stage.plane.say(stage.filed, str(number)) for number in range(101)]
    told = await stage.fetch(stage.address(said[0]["comment"]))

    assert ["0"] == [each.text for each in told.messages[1:]]


async def test_the_project_of_a_work_item_is_looked_for_where_it_may_be(stage):
    item = await stage.plane.say(stage.filed)
    unknown = stage.address(item["comment"], project_id="")
    other = (await stage.plane.admin("POST", "/plane/projects", name="other"))["id"]
    found = await stage.fetch(unknown, container_ids=[NOWHERE, other, stage.filed["project"]])
    nowhere = await stage.fetch(unknown, container_ids=[other])

    assert stage.filed["project"] == found.address.plane.project_id
    assert not nowhere.HasField("address")


@pytest.mark.parametrize(("absent", "shown"), [(1, ["fresh"]), (2, [])])
async def test_a_comment_that_is_not_there_is_looked_for_once_more(stage, absent, shown):
    item = await stage.plane.say(stage.filed, "fresh")
    for _ in range(100):
        await stage.plane.say(stage.filed)
    await stage.plane.fault("GET", f"{COMMENTS}{item['comment']}/", "status:404", times=absent)
    async with client(stage) as plane:
        request = pb.FetchThreadRequest(address=stage.address(item["comment"]))
        told = await PlaneThreads(plane, lag_seconds=0).fetch(request)

    assert shown == [each.text for each in told.messages[1:]]


async def test_an_answer_too_long_to_be_read_is_refused_for_good_but_after_a_write_unclear(
    stage, monkeypatch
):
    monkeypatch.setattr(bounded, "ANSWER_BYTES_MAX", 10)
    async with client(stage) as plane:
        with pytest.raises(VendorTooLong):
            await plane.my_id()
        with pytest.raises(VendorUnavailable):
            await PlanePosts(plane).post(stage.address(), ThreadPost(thread_post_id=RUN, text="Because."))


async def test_an_outsider_is_not_among_the_people(stage):
    said = await stage.plane.say(stage.filed, author="eve", standing="external")
    told = await stage.fetch(stage.address(said["comment"]))

    assert {"maria", "atlas"} == {each.display_name for each in told.people}


async def test_members_are_remembered_and_asked_for_again_when_somebody_is_missing(stage, monkeypatch):
    async with client(stage) as plane:
        first = await plane.members(set())
        await stage.plane.say(stage.filed, author="ada")
        ada = stable_id("person", "ada")
        too_soon = await plane.members({ada})
        monkeypatch.setattr(plane_client, "MEMBERS_AGAIN_SECONDS", 0.0)
        assert ada not in await plane.members(set())
        later = await plane.members({ada})

    assert ada not in first
    assert ada not in too_soon
    assert ada in later


@pytest.mark.parametrize(
    ("api_url", "app_url", "web_url"),
    [
        ("https://api.plane.so", "", "https://app.plane.so/acme"),
        ("https://plane.acme.example/", "", "https://plane.acme.example/acme"),
        ("https://plane.acme.example", "https://work.acme.example/", "https://work.acme.example/acme"),
    ],
)
def test_links_lead_to_where_people_read_plane(tmp_path, api_url, app_url, web_url):
    known = settings(tmp_path, "x:1", PLANE_API_URL=api_url, PLANE_APP_URL=app_url, PLANE_WORKSPACE="acme")

    assert web_url == known.plane.web_url


@pytest.mark.parametrize("missing", ["PLANE_API_KEY", "PLANE_WORKSPACE"])
async def test_half_configured_the_source_is_off(tmp_path, missing):
    given = {"PLANE_API_KEY": KEY, "PLANE_WORKSPACE": WORKSPACE, missing: ""}
    async with serving_astra() as (_, astra), running(settings(tmp_path, astra, **given)) as server:
        channel = connect(server.address, WORKER)
        address = ThreadAddress(plane=PlaneThread(workspace_id=WORKSPACE_ID, work_item_id=RUN))
        request = pb.FetchThreadRequest(address=address, container_ids=[NOWHERE])
        refused = await refusal(ThreadServiceStub(channel).FetchThread(request))
        await channel.close()

    assert (grpc.StatusCode.FAILED_PRECONDITION, "SOURCE_OFF") == refused[:2]
