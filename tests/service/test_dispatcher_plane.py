"""Plane's webhooks on their way through a real dispatcher: kept, fetched, told apart, each act once."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from aucert.common.v1.thread_pb2 import STANDING_MEMBER, PlaneThread, ThreadAddress
from aucert.dispatcher.v1.delivery_pb2 import Delivery, Header
from aucert.dispatcher.v1.dispatcher_service_pb2 import IngestWebhooksRequest
from aucert.tools.v1.thread_service_pb2 import FetchThreadResponse, Person, ThreadMessage
from services.common.errors import Exhausted
from tests.plane_payloads import (
    ATLAS,
    COMMENT,
    ITEM,
    MARIA,
    PROJECT,
    WORKSPACE,
    comment,
    comment_v2,
    encoded,
    first,
    issue,
    issue_v2,
    signed,
)
from tests.service.dispatcher_parts import SECRET, staged, until

LATER = "11111111-c731-4e55-971f-d9cfe1938dfb"
ELSEWHERE = "22222222-0ce0-4d6f-8903-4070f1c67f1b"


@pytest.fixture
async def stage(database_urls):
    async with staged(database_urls) as stage:
        for comment_id in (COMMENT, LATER):
            stage.world.talks[comment_id] = heard(comment_id)
        stage.world.talks[ITEM] = heard()
        yield stage


def heard(comment_id: str = "", text: str = "@atlas why?", project: str = PROJECT) -> FetchThreadResponse:
    """A work item, and with a comment that comment below it."""
    written = [
        ThreadMessage(external_id=ITEM, author_id=MARIA, text=f"Carts\n\n{text}", url="https://plane/1")
    ]
    if comment_id:
        url = f"https://plane/1#comment-{comment_id}"
        written.append(ThreadMessage(external_id=comment_id, author_id=MARIA, text=text, url=url))
    return FetchThreadResponse(
        address=ThreadAddress(
            plane=PlaneThread(
                workspace_id=WORKSPACE, project_id=project, work_item_id=ITEM, comment_id=comment_id
            )
        ),
        messages=written,
        people=[
            Person(person_id=MARIA, display_name="maria", standing=STANDING_MEMBER),
            Person(person_id=ATLAS, display_name="atlas", standing=STANDING_MEMBER, ours=True),
        ],
    )


def delivery(told: Any, **headers: str) -> Delivery:
    body = encoded(told)
    return Delivery(
        source="plane",
        headers=[Header(name=name, value=value) for name, value in signed(body, SECRET, **headers).items()],
        body=body,
    )


async def ingest(stage, *deliveries: Delivery):
    response = await stage.gateway.IngestWebhooks(IngestWebhooksRequest(deliveries=deliveries))
    return list(response.results)


async def settled(stage, told: Any) -> dict[str, Any]:
    (result,) = await ingest(stage, delivery(told))
    return await stage.settled(result.delivery_id)


async def test_both_generations_tell_of_one_event_and_one_run(stage):
    rows = [await settled(stage, told) for told in (comment(), comment_v2())]
    (event,) = await stage.rows("SELECT * FROM thread_events")
    (run,) = stage.world.runs.values()

    assert ["done", "done"] == [each["status"] for each in rows]
    assert f"plane:comment/{COMMENT}" == event["event_key"]
    assert {f"default/plane/{WORKSPACE}/{ITEM}"} == {run.workflow_id, *stage.ringer.rung}
    assert ("maria", f"https://plane/1#comment-{COMMENT}") == (run.requester, run.source_url)
    assert PROJECT == run.address.plane.project_id


async def test_a_repeat_with_another_delivery_id_is_the_same_delivery(stage):
    again = comment_v2() | {"delivery_id": str(uuid.uuid4())}
    results = await ingest(
        stage, delivery(comment()), delivery(comment()), delivery(comment_v2()), delivery(again)
    )

    assert results[0] == results[1]
    assert results[2] == results[3]
    assert [{"count": 2}] == await stage.rows("SELECT count(*) FROM webhook_deliveries")


async def test_a_work_item_and_its_comments_are_one_thread_in_order(stage):
    results = await ingest(stage, delivery(issue()), delivery(comment()), delivery(comment(id=LATER)))
    rows = [await stage.settled(each.delivery_id) for each in results]
    events = await stage.rows("SELECT * FROM thread_events ORDER BY seq")

    assert ["done"] * 3 == [each["status"] for each in rows]
    assert [f"plane:work-item/{ITEM}", f"plane:comment/{COMMENT}", f"plane:comment/{LATER}"] == [
        each["event_key"] for each in events
    ]
    assert 1 == len({each["thread_id"] for each in events})


async def test_a_project_that_is_not_told_is_looked_for_among_the_registered(stage):
    await settled(stage, comment_v2())
    (request,) = stage.world.fetched

    assert ("", [PROJECT]) == (request.address.plane.project_id, list(request.container_ids))


async def test_talk_among_people_is_ignored_without_asking_plane(stage):
    told = [
        comment("<p>nothing for anybody</p>"),
        comment(action="updated"),
        first("issue_comment", "deleted", {"id": COMMENT}),
        comment(project=ELSEWHERE),
        comment(external_source="astra"),
    ]
    reasons = [(await settled(stage, each))["outcome_reason"] for each in told]

    assert [
        "NOT_ADDRESSED",
        "ACTION_NOT_HANDLED",
        "ACTION_NOT_HANDLED",
        "CONTAINER_NOT_REGISTERED",
        "SELF_AUTHORED",
    ] == reasons
    assert [] == stage.world.fetched


async def test_a_comment_in_no_registered_project_starts_nothing(stage):
    stage.world.talks[COMMENT] = FetchThreadResponse()
    row = await settled(stage, comment_v2())

    assert ("ignored", "CONTAINER_NOT_REGISTERED") == (row["status"], row["outcome_reason"])


async def test_our_own_answer_is_known_without_asking_plane_once_we_know_who_we_are(stage):
    await settled(stage, comment_v2())
    row = await settled(stage, comment_v2(id=LATER, actor_id=ATLAS) | {"event_id": "another"})

    assert "SELF_AUTHORED" == row["outcome_reason"]
    assert 1 == len(stage.world.fetched)


async def test_while_planes_calls_are_used_up_the_event_waits(stage):
    limited = Exhausted("Plane asks to slow down.", reason="VENDOR_RATE_LIMITED")
    stage.world.failing["FetchThread"] = limited
    (result,) = await ingest(stage, delivery(issue_v2()))

    async def retried() -> bool:
        return (await stage.delivery(result.delivery_id))["outcome_reason"] == "VENDOR_RATE_LIMITED"

    await until(retried)
    stage.world.failing.clear()
    assert "done" == (await stage.settled(result.delivery_id))["status"]


async def test_a_stop_stops_what_the_thread_has_begun(stage):
    await settled(stage, comment())
    stage.world.talks[LATER] = heard(LATER, "@atlas stop")
    row = await settled(stage, comment(id=LATER))

    assert "done" == row["status"]
    assert [2] == [each.before_thread_seq for each in stage.world.stops]


@pytest.mark.parametrize("headers", [{}, {"X-Plane-Signature": "0" * 64}])
async def test_what_is_not_signed_is_refused(stage, headers):
    unsigned = Delivery(
        source="plane", headers=[Header(name=name, value=headers[name]) for name in headers], body=b""
    )
    (result,) = await ingest(stage, unsigned)

    assert (401, "SIGNATURE_INVALID") == (result.http_status, json.loads(result.body)["reason"])
    assert [] == await stage.rows("SELECT id FROM webhook_deliveries")


async def test_without_its_secret_the_source_is_off(database_urls):
    async with staged(database_urls, PLANE_WEBHOOK_SECRET="") as stage:
        (result,) = await ingest(stage, delivery(comment()))

    assert (404, "SOURCE_OFF") == (result.http_status, json.loads(result.body)["reason"])
