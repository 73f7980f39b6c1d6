"""One comment on GitHub, from the signed webhook to the posted answer."""

from __future__ import annotations

import asyncio
import re

import aiohttp
import pytest
from githubkit import AppAuthStrategy, GitHub

from aucert.astra.v1 import task_run_service_pb2
from services.cli.state import StateDirectory
from tests.e2e.story import PATIENCE_SECONDS, Story

LABEL = "[T0] "


async def test_a_comment_gets_one_labelled_answer_and_an_acknowledgement(story):
    async with story() as told:
        comment = await told.comment("@atlas how is the cart built?")
        (run,) = await told.settled()
        posts = await told.posts()
        (first, *_) = [each for each in await told.thread() if not each["via_app"]]

    assert 202 == comment["delivery"]["status_code"]
    assert ("success", "") == (run["outcome"], run["outcome_reason"])
    assert 1 == len(posts)
    assert posts[0].startswith(LABEL + "The shop is small")
    assert [("eyes", "astra-atlas[bot]")] == [
        (each["content"], each["author"]) for each in first["reactions"]
    ]


async def test_a_review_thread_is_resolved_once_by_command_and_closed_with_a_summary_when_a_person_did(story):
    async with story() as told:
        review = {"kind": "review"}
        asked = await told.comment("@atlas how is the cart built?", **review)
        await told.settled()
        await told.comment("/atlas resolve", **review, in_reply_to=asked["id"])
        await told.settled(2)
        other = await told.comment("@atlas is the cart tested?", **review)
        await told.settled(3)
        await told.admin("POST", "resolutions", {"repository": told.slug, "comment": other["id"]})
        runs = await told.settled(4)
        ours = "SELECT 1 FROM webhook_deliveries WHERE outcome_reason = 'SELF_AUTHORED'"
        await told.until(f"{ours} HAVING count(*) = 5")  # four answers, and the thread that we resolved
        comments = await told.thread()
        events = await told.rows("SELECT operation, description FROM thread_events ORDER BY created_time")

    assert ["success"] * 4 == [each["outcome"] for each in runs]
    expected = ["answer", "resolve_comment", "answer", "resolve_comment"]
    assert expected == [each["operation"] for each in events]
    assert {asked["id"], other["id"]} == {each["id"] for each in comments if each["resolved"]}
    assert 4 == len([each for each in comments if each["via_app"]])
    assert "(you): [T0] The shop is small" in events[1]["description"], "it knows its earlier answer"


async def test_the_queries_operators_rely_on_hold(story):
    async with story() as told:
        await told.comment("@atlas how is the cart built?")
        (run,) = await told.settled()
        figures = await told.rows(
            "SELECT outcome, duration_ms, tokens_input, tokens_output FROM task_runs WHERE id = %s::uuid",
            str(run["id"]),
        )
        answer = await told.rows(
            "SELECT metadata->'output_payload'->>'text' AS text FROM task_events "
            "WHERE task_run_id = %s::uuid AND event_type = 'agent_completed'",
            str(run["id"]),
        )
        (post,) = await told.posts()
    assert figures[0]["duration_ms"] > 0
    assert figures[0]["tokens_input"] > 0
    assert post.startswith(answer[0]["text"])


async def test_events_tell_the_run_in_order_without_gaps(story):
    async with story() as told:
        await told.comment("@atlas how is the cart built?")
        (run,) = await told.settled()
        events = await told.rows("SELECT seq, event_type FROM task_events ORDER BY seq")
    assert list(range(1, len(events) + 1)) == [each["seq"] for each in events]
    kinds = [each["event_type"] for each in events]
    assert ["agent_started", "turn", "tool_call", "tool_call", "turn", "agent_completed"] == kinds
    assert re.fullmatch("[0-9a-f]{64}", run["prompt_sha256"])
    assert re.fullmatch("[0-9a-f]{40}", run["pinned_commit"])


async def test_a_review_comment_is_answered_in_its_own_thread(story):
    async with story() as told:
        await told.comment("@atlas why append here?", kind="review", path="src/cart.py", line=2)
        (run,) = await told.settled()
        question, answer = await told.thread()
    assert run["workflow_id"].endswith(f"/{told.number}/r{question['id']}")
    assert (True, question["id"]) == (answer["via_app"], answer["in_reply_to"])


@pytest.mark.parametrize(
    ("comment", "reason"),
    [
        ({"text": "nice work"}, "NOT_ADDRESSED"),
        ({"text": "@atlas run", "association": "NONE"}, "AUTHOR_WITHOUT_STANDING"),
        ({"text": "@atlas run", "author": "other[bot]", "author_type": "Bot"}, "BOT_AUTHORED"),
    ],
)
async def test_what_is_not_for_us_starts_nothing_and_says_why(story, comment, reason):
    async with story() as told:
        await told.comment(**comment)
        ignored = await told.until(
            "SELECT outcome_reason FROM webhook_deliveries WHERE status = 'ignored' AND outcome_reason = %s",
            reason,
        )
        runs = await told.rows("SELECT id FROM task_runs")
    assert (reason, []) == (ignored["outcome_reason"], runs)


async def test_our_own_answer_starts_nothing(story):
    async with story([{"text": "ask @atlas again"}]) as told:
        await told.comment("@atlas who are you?")
        await told.settled()
        await told.until("SELECT id FROM webhook_deliveries WHERE outcome_reason = 'SELF_AUTHORED'")
        runs = await told.rows("SELECT id FROM task_runs")
    assert 1 == len(runs)


async def test_a_redelivery_gets_the_same_answer_and_starts_nothing_new(story):
    async with story() as told:
        comment = await told.comment("@atlas how is the cart built?")
        await told.settled()
        async with aiohttp.ClientSession(told.sandbox_url) as session:
            deliveries = await (await session.get("/_sandbox/deliveries")).json()
        first = next(each for each in deliveries["deliveries"] if each["guid"] == comment["delivery"]["guid"])
        again = await redeliver(told, first["id"])
        await told.settled()
        posts, runs = await told.posts(), await told.rows("SELECT id FROM task_runs")
    assert (first["status_code"], first["response_body"]) == (again["status_code"], again["response_body"])
    assert (1, 1) == (len(posts), len(runs))


async def redeliver(told: Story, delivery_id: int) -> dict:
    """Redeliver as the App does, and return how that attempt went."""
    key = StateDirectory(told.state).secrets().app_private_key
    github = GitHub(AppAuthStrategy("1", key), base_url=f"{told.sandbox_url}/github")
    await github.rest.apps.async_redeliver_webhook_delivery(delivery_id)
    async with asyncio.timeout(PATIENCE_SECONDS), aiohttp.ClientSession(told.sandbox_url) as session:
        while True:
            listed = await (await session.get("/_sandbox/deliveries")).json()
            if again := [each for each in listed["deliveries"] if each["redelivery"]]:
                return again[0]
            await asyncio.sleep(0.02)


async def test_comments_whose_webhooks_were_lost_or_refused_are_answered_by_catch_up(story):
    async with story(CATCH_UP_INTERVAL_SECONDS="0.5") as told:
        await told.until(
            "SELECT FROM source_cursors WHERE container = %s AND cursor <> ''", f"github:{told.slug}"
        )
        await told.comment("@atlas how is the cart built?", deliver=False)
        await told.comment("@atlas why append here?", kind="review", path="src/cart.py", deliver=False)
        runs = await told.settled(events=2)
        posts = await told.posts()

    assert ["success"] * 2 == [each["outcome"] for each in runs]
    assert 2 == len(posts)


async def test_the_model_writes_its_own_label_and_it_still_stands_once(story):
    async with story([{"text": "**[T0]** [T0] Hello."}]) as told:
        await told.comment("@atlas hello?")
        await told.settled()
        (post,) = await told.posts()
    assert post.startswith("[T0] Hello.")


async def test_a_run_that_fails_says_so_once_in_the_thread(story):
    async with story([{"error": "context_exceeded"}]) as told:
        await told.comment("@atlas summarise everything")
        (run,) = await told.settled()
        posts = await told.posts()
    assert ("failure", "MODEL_CONTEXT_EXCEEDED") == (run["outcome"], run["outcome_reason"])
    assert 1 == len(posts)
    assert not posts[0].startswith("[")
    assert str(run["id"]) in posts[0]


async def test_a_stop_comment_cuts_a_run_at_work(story):
    async with story([{"delay_ms": 30_000, "text": "too late"}]) as told:
        await told.comment("@atlas think long")
        await told.until("SELECT id FROM task_runs WHERE status = 'in_progress'")
        await told.comment("@atlas stop")
        (run,) = await told.settled(events=2)
        posts = await told.posts()
    assert ("cancelled", "STOP_REQUESTED") == (run["outcome"], run["outcome_reason"])
    assert 1 == len(posts)
    assert "too late" not in posts[0]


async def test_a_task_by_http_is_committed_run_and_readable(story):
    async with story() as told, aiohttp.ClientSession(told.stack.gateway_url) as session:
        body = {"message": "how is the cart built?", "repository": told.slug, "request_id": "r-1"}
        headers = {"X-API-Key": told.stack.api_key}
        first = await session.post("/api/tasks", json=body, headers=headers)
        again = await session.post("/api/tasks", json=body, headers=headers)
        ids = [await first.json(), await again.json()]
        (run,) = await told.settled()
    assert (201, 201) == (first.status, again.status)
    assert ids[0] == ids[1] == {"task_run_id": str(run["id"]), "workflow_id": run["workflow_id"]}
    assert run["output"]["text"].startswith(LABEL)


async def test_watchers_see_a_run_from_its_first_event_to_its_last(story):
    async with story() as told:
        runs = told.clients.runs
        seen: list[int] = []

        async def watch() -> None:
            listing = runs.WatchTaskRuns(task_run_service_pb2.WatchTaskRunsRequest())
            async for response in listing:
                found = response.task_run.task_run_id
                break
            request = task_run_service_pb2.WatchTaskRunRequest(task_run_id=found)
            seen.extend([each.task_event.seq async for each in runs.WatchTaskRun(request)])

        watching = asyncio.create_task(watch())
        await told.comment("@atlas how is the cart built?")
        await asyncio.wait_for(watching, 30)
    assert list(range(1, 7)) == seen
