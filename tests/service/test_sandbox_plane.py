"""The Plane stand-in: its API driven by Plane's own SDK, its webhooks as each generation sends them."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import plane
import pytest
from plane.errors import HttpError
from plane.models.query_params import RetrieveQueryParams, WorkItemQueryParams
from plane.models.work_items import (
    CreateWorkItem,
    CreateWorkItemComment,
    UpdateWorkItem,
    WorkItem,
    WorkItemComment,
    WorkItemExpand,
)

from services.sandbox.plane import COMMENT_FIELDS
from tests.service.plane_stage import ANSWER_SECONDS, KEY, SECRET, WORKSPACE, PlaneStage, plane_stage

T = TypeVar("T")


@pytest.fixture
async def stage() -> AsyncIterator[PlaneStage]:
    async with plane_stage() as stage:
        yield stage


def sdk(stage: PlaneStage, key: str = KEY) -> Any:
    return plane.PlaneClient(base_url=f"{stage.url}/plane", api_key=key)


async def asked(call: Callable[..., T], *arguments: object, **named: object) -> T:
    """The SDK blocks: each call waits in a thread of its own."""
    return await asyncio.to_thread(call, *arguments, **named)


async def refusal(call: Callable[..., object], *arguments: object, **named: object) -> HttpError:
    with pytest.raises(HttpError) as caught:
        await asked(call, *arguments, **named)
    return caught.value


def place(item: dict[str, Any]) -> tuple[str, str, str]:
    return WORKSPACE, item["project"], item["work_item"]


async def next_told(stage: PlaneStage) -> dict[str, Any]:
    return json.loads((await stage.receiver.next()).body)


def unknown_fields(told: dict[str, Any], model: Any, *known: str) -> set[str]:
    return told.keys() - model.model_fields.keys() - set(known)


async def test_a_comment_by_the_sdk_is_there_and_its_webhook_comes_like_any_other(stage):
    item = await stage.file()
    await stage.receiver.next()
    told = CreateWorkItemComment(comment_html="<p>Because.</p>", external_source="astra", external_id="one")
    made = await asked(sdk(stage).work_items.comments.create, *place(item), told)
    webhook = await next_told(stage)
    listed = await asked(sdk(stage).work_items.comments.list, *place(item))
    alone = await asked(sdk(stage).work_items.comments.retrieve, *place(item), made.id)

    assert ("<p>Because.</p>", "astra", "one", "INTERNAL") == (
        made.comment_html,
        made.external_source,
        made.external_id,
        made.access,
    )
    assert [made] == listed.results
    assert made == alone
    assert ("issue_comment", "created", made.id) == (
        webhook["event"],
        webhook["action"],
        webhook["data"]["id"],
    )
    me = await asked(sdk(stage).users.get_me)
    assert me.id == made.actor == webhook["activity"]["actor"]["id"]


async def test_a_pair_of_external_source_and_id_is_taken_once_in_a_project(stage):
    first, second = await stage.file(), await stage.file()
    told = CreateWorkItemComment(comment_html="<p>x</p>", external_source="astra", external_id="one")
    made = await asked(sdk(stage).work_items.comments.create, *place(first), told)
    for item in (first, second):
        refused = await refusal(sdk(stage).work_items.comments.create, *place(item), told)
        assert (409, made.id) == (refused.status_code, refused.response["id"])

    assert [1, 0] == [len(await stage.comments(item)) for item in (first, second)]


async def test_comments_come_newest_first_in_pages_with_a_cursor(stage):
    item = await stage.file()
    for number in range(5):
        await stage.say(item, str(number), deliver=False)
    first = await asked(sdk(stage).work_items.comments.list, *place(item), {"per_page": 3})
    cursor = {"per_page": 3, "cursor": first.next_cursor}
    second = await asked(sdk(stage).work_items.comments.list, *place(item), cursor)

    words = [[each.comment_html[-5] for each in page.results] for page in (first, second)]
    assert [["4", "3", "2"], ["1", "0"]] == words
    assert (True, False, 5) == (first.next_page_results, second.next_page_results, first.total_results)


async def test_a_work_item_is_described_as_the_sdk_reads_it(stage):
    item = await stage.file("@atlas & <b>?", name="Carts", author="ada")
    expanded = RetrieveQueryParams(expand="project")
    found = await asked(sdk(stage).work_items.retrieve, *place(item), expanded)
    newest = await asked(
        sdk(stage).work_items.list, *place(item)[:2], WorkItemQueryParams(order_by="-updated_at")
    )

    assert ("Carts", 1, "SHOP") == (found.name, found.sequence_id, found.project["identifier"])
    assert "&amp; &lt;b&gt;?" in found.description_html
    assert [item["work_item"]] == [each.id for each in newest.results]


async def test_work_items_are_filed_found_and_changed_by_the_sdk(stage):
    item, client = await stage.file(name="Carts"), sdk(stage)
    project = item["project"]
    listed = await asked(client.projects.list, WORKSPACE)
    states = {each.name: each.id for each in (await asked(client.states.list, WORKSPACE, project)).results}
    marked = {"external_source": "astra", "external_id": "one"}
    told = CreateWorkItem(name="Round once", priority="high", state=states["Todo"], **marked)
    made = await asked(client.work_items.create, WORKSPACE, project, told)
    refused = await refusal(client.work_items.create, WORKSPACE, project, told)
    change = UpdateWorkItem(name="Round twice", state=states["Done"])
    await asked(client.work_items.update, WORKSPACE, project, made.id, change)
    expanded = RetrieveQueryParams(expand="state")
    found = await asked(client.work_items.retrieve_by_identifier, WORKSPACE, "SHOP", 2, expanded)
    matches = await asked(client.work_items.search, WORKSPACE, "round")

    assert [(project, "SHOP")] == [(each.id, each.identifier) for each in listed.results]
    assert (409, made.id) == (refused.status_code, refused.response["id"])
    assert ("Round twice", "Done", "high", made.id) == (
        found.name,
        found.state.name,
        found.priority,
        found.id,
    )
    assert [made.id] == [each.id for each in matches.issues]
    fields = [(await next_told(stage))["activity"]["field"] for _ in range(4)]
    assert ["", "", "name", "state"] == sorted(each or "" for each in fields)


async def test_what_plane_does_not_take_of_a_work_item_is_refused(stage):
    item = await stage.file()
    url = f"{stage.url}/plane/api/v1/workspaces/{WORKSPACE}/projects/{item['project']}/work-items/"
    for body in ({}, {"name": "x" * 256}, {"name": "x", "priority": "p1"}, {"name": "x", "state": "Todo"}):
        async with stage.http.post(url, json=body, headers={"X-Api-Key": KEY}) as answer:
            assert 400 == answer.status, body
    async with stage.http.get(
        url, params={"external_source": "astra", "external_id": "none"}, headers={"X-Api-Key": KEY}
    ) as answer:
        assert 404 == answer.status


async def test_members_are_told_with_their_role_and_outsiders_are_none(stage):
    item = await stage.file()
    for author, standing in (("ada", "guest"), ("eve", "external")):
        await stage.say(item, author=author, standing=standing, deliver=False)
    members = await asked(sdk(stage).workspaces.get_members, WORKSPACE)

    assert {"atlas": 15, "maria": 15, "ada": 5} == {each.display_name: each.role for each in members}


async def test_every_field_told_is_one_plane_has(stage):
    item = await stage.file()
    comment = await stage.say(item)
    told = [await next_told(stage) for _ in range(2)]
    base = f"{stage.url}/plane/api/v1/workspaces/{WORKSPACE}/projects/{item['project']}/work-items"
    answers: list[dict[str, Any]] = []
    for path in ("", f"comments/{comment['comment']}/"):
        url = f"{base}/{item['work_item']}/{path}"
        async with stage.http.get(url, headers={"X-Api-Key": KEY}) as answer:
            answers.append(await answer.json())

    assert set() == unknown_fields(told[0]["data"], WorkItemExpand, "assignees")
    assert set() == unknown_fields(told[1]["data"], WorkItemComment)
    assert set() == unknown_fields(answers[0], WorkItem, "assignees", "labels")
    assert set() == unknown_fields(answers[1], WorkItemComment)
    WorkItemExpand.model_validate(told[0]["data"])
    assert set(CreateWorkItemComment.model_fields) == COMMENT_FIELDS


async def test_a_call_plane_would_refuse_is_refused(stage):
    item = await stage.file()
    workspace, project, work_item = place(item)
    comments = sdk(stage).work_items.comments

    assert 401 == (await refusal(sdk(stage, "another").users.get_me)).status_code
    for wrong in (
        ("other", project, work_item),
        (workspace, work_item, work_item),
        (workspace, project, "x"),
    ):
        assert 404 == (await refusal(comments.list, *wrong)).status_code
    url = (
        f"{stage.url}/plane/api/v1/workspaces/{workspace}/projects/{project}/work-items/{work_item}/comments/"
    )
    for body in ({"commentHtml": "<p>x</p>"}, {"access": "PUBLIC"}, []):
        async with stage.http.post(url, json=body, headers={"X-Api-Key": KEY}) as answer:
            assert 400 == answer.status


async def test_a_key_may_call_so_often_a_minute_and_is_told_how_long_to_wait():
    async with plane_stage(wired=False, per_minute=3) as stage:
        url, headers = f"{stage.url}/plane/api/v1/users/me/", {"X-Api-Key": KEY}
        answers = [await stage.http.get(url, headers=headers) for _ in range(4)]

    assert [200, 200, 200, 429] == [each.status for each in answers]
    assert ["2", "1", "0"] == [each.headers["X-RateLimit-Remaining"] for each in answers[:3]]
    assert 0 < int(answers[3].headers["Retry-After"]) <= 60


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_webhooks_are_signed_over_their_bytes(version):
    async with plane_stage(version=version) as stage:
        await stage.file("é")
        came = await stage.receiver.next()

    told = json.loads(came.body)
    assert (
        hmac.new(SECRET.encode(), came.body, hashlib.sha256).hexdigest() == came.headers["X-Plane-Signature"]
    )
    assert json.dumps(told).encode() == came.body
    assert told["event"] == came.headers["X-Plane-Event"]
    assert told.get("delivery_id", came.headers["X-Plane-Delivery"]) == came.headers["X-Plane-Delivery"]


async def test_the_first_generation_tells_of_one_changed_field_at_a_time_and_of_no_deletion(stage):
    item = await stage.file()
    comment = await stage.say(item)
    named = {"work_item": item["work_item"], "comment": comment["comment"]}
    await stage.admin("PUT", "/plane/comments", **named, text="changed")
    await stage.admin("PUT", "/plane/comments", **named)
    await stage.admin("PUT", "/plane/work-items", work_item=item["work_item"], text="described")
    told = [await next_told(stage) for _ in range(5)]

    assert [
        ("issue", "created", None),
        ("issue_comment", "created", None),
        ("issue_comment", "updated", "comment_html"),
        ("issue_comment", "updated", "comment_json"),
        ("issue", "updated", "description_html"),
    ] == [(each["event"], each["action"], each["activity"]["field"]) for each in told]


async def test_the_second_generation_tells_of_everything_by_name():
    async with plane_stage(version="v2") as stage:
        item = await stage.file()
        comment = await stage.say(item, "@atlas why & how?")
        named = {"work_item": item["work_item"], "comment": comment["comment"]}
        await stage.admin("PUT", "/plane/comments", **named, text="changed")
        await stage.admin("PUT", "/plane/comments", **named)
        await stage.admin("PUT", "/plane/work-items", work_item=item["work_item"], text="described")
        told = [await next_told(stage) for _ in range(5)]

    assert [
        "workitem.created",
        "workitem.comment.created",
        "workitem.comment.updated",
        "workitem.comment.deleted",
        "workitem.updated",
    ] == [each["event"] for each in told]
    shown = told[1]["data"]
    assert (item["work_item"], comment["comment"]) == (shown["id"], shown["comment"]["id"])
    assert " why &amp; how?" == shown["comment"]["comment_stripped"]
    assert "project" not in json.dumps(shown)


@pytest.mark.parametrize(
    ("version", "statuses", "attempts"),
    [
        ("v1", [500], 1),
        ("v1", [0, 0, 200], 3),
        ("v2", [500, 0, 503, 200], 4),
        ("v2", [404], 1),
    ],
)
async def test_each_generation_tries_again_after_what_it_takes_for_a_failure(version, statuses, attempts):
    async with plane_stage(version=version) as stage:
        stage.receiver.statuses = list(statuses)
        await stage.file()
        came = [await stage.receiver.next() for _ in range(attempts)]
        await stage.file(name="later")
        later = await next_told(stage)

    told = [json.loads(each.body) for each in came]
    assert "later" == later["data"]["name"]
    assert attempts == len({each.headers["X-Plane-Delivery"] for each in came})
    assert 1 == len({each.get("event_id") for each in told})
    if version == "v1":
        assert 1 == len({each.body for each in came})


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_after_the_last_attempt_the_webhook_is_off_until_it_is_set_anew(version):
    async with plane_stage(version=version) as stage:
        stage.receiver.statuses = [0] * 6
        await stage.file()
        for _ in range(6):
            await stage.receiver.next()
        async with asyncio.timeout(ANSWER_SECONDS):
            while (await stage.admin("POST", "/plane/projects", name="shop"))["wired"]:
                await asyncio.sleep(0)
        await stage.file(name="lost")
        await stage.admin("PUT", "/plane/webhook", url=stage.receiver.url)
        await stage.file(name="told")

        assert "told" == (await next_told(stage))["data"]["name"]


@pytest.mark.parametrize(
    ("action", "status", "comments"),
    [("rate_limit:7", 429, 0), ("status:500", 500, 0), ("status_after:500", 500, 1)],
)
async def test_a_fault_fails_in_planes_words_before_or_after_the_work(stage, action, status, comments):
    item = await stage.file()
    await stage.fault("POST", "/comments/", action)
    told = CreateWorkItemComment(comment_html="<p>x</p>")
    refused = await refusal(sdk(stage).work_items.comments.create, *place(item), told)

    assert status == refused.status_code
    assert comments == len(await stage.comments(item))


async def test_the_page_shows_a_work_item_and_takes_a_comment(stage):
    item = await stage.file("first & foremost")
    await stage.receiver.next()
    form = {"place": "comment", "author": "ada", "standing": "member", "body": "@atlas why?"}
    async with stage.http.post(item["permalink"], data=form, allow_redirects=False) as answer:
        assert 303 == answer.status
    told = await next_told(stage)
    async with stage.http.get(item["permalink"]) as shown:
        text = await shown.text()

    assert 'entity_name="user_mention"' in told["data"]["comment_html"]
    assert "first &amp; foremost" in text
    assert "@atlas why?" in text
