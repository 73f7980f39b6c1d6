"""Comments that come close together: every one is answered, or taken in by an answered run, in order."""

from __future__ import annotations

import asyncio

import pytest

from tests.e2e.story import Story

pytestmark = pytest.mark.crash

ROUNDS = 100
AT_ONCE = 6
WORDS = ("first", "second")
"""What is said in each thread, in this order."""

UNHURRIED = {"RELAY_LEASE_SECONDS": "30", "WORKER_HEARTBEAT_SECONDS": "30"}
"""Nobody dies here: on a busy machine work is not to be taken for lost and done again."""
SETTLED_SECONDS_MAX = 120.0
QUICK = [{"text": "Done."}]
"""Answers at once: what is looked at here lies before the first turn and after the last."""


async def rounds(told: Story, one_round) -> None:
    """Do the round on ROUNDS pull requests, AT_ONCE at a time."""
    places = asyncio.Semaphore(AT_ONCE)

    async def bounded(number: int) -> None:
        async with places:
            await one_round(number)

    numbers = []
    for _ in range(ROUNDS):
        wanted = {"repository": told.slug, "title": "T", "deliver": False}
        opened = await told.admin("POST", "pulls", wanted)
        numbers.append(opened["number"])
    await asyncio.gather(*(bounded(number) for number in numbers))


async def check(told: Story) -> None:
    """Nothing is open, nothing was dropped or answered twice, answers follow the order of the comments."""
    runs = await told.settled(events=ROUNDS * len(WORDS), patience=SETTLED_SECONDS_MAX)
    assert {"success"} == {run["outcome"] for run in runs}
    events = await told.rows("SELECT id, text FROM thread_events")
    words = {each["id"]: each["text"].removeprefix("@atlas ") for each in events}
    by_thread: dict[str, list] = {}
    for run in runs:
        by_thread.setdefault(run["workflow_id"], []).append(run)
    assert ROUNDS == len(by_thread)
    for threads_runs in by_thread.values():
        numbered = [(run["thread_seq"], words[run["thread_event_id"]]) for run in threads_runs]
        assert list(enumerate(WORDS, start=1)) == numbered
        answered = [run for run in threads_runs if run["answered_by_task_run_id"] is None]
        taken_in = {run["answered_by_task_run_id"] for run in threads_runs} - {None}
        assert taken_in <= {run["id"] for run in answered}
        ends = [run["completed_time"] for run in answered]
        assert sorted(ends) == ends
    posts = await told.rows("SELECT count(*) AS n FROM thread_posts WHERE kind = 'answer'")
    answers = [run for run in runs if run["answered_by_task_run_id"] is None]
    assert len(answers) == posts[0]["n"]
    said = dict.fromkeys(range(1, told.number + ROUNDS + 1), 0)
    for number in said:
        thread = await told.admin("GET", f"threads/{told.slug}/{number}")
        said[number] = sum(each["via_app"] for each in thread["comments"])
    assert len(answers) == sum(said.values())


@pytest.mark.timeout(240)
async def test_two_comments_fifty_milliseconds_apart(story):
    async with story(QUICK, **UNHURRIED) as told:

        async def one_round(number: int) -> None:
            await told.comment("@atlas first", number=number)
            await asyncio.sleep(0.05)
            await told.comment("@atlas second", number=number)

        await rounds(told, one_round)
        await check(told)


@pytest.mark.timeout(240)
async def test_a_comment_during_a_run(story):
    script = [{"delay_ms": 500, "tool_calls": [{"name": "repo_list_files", "arguments": {}}]}, *QUICK]
    async with story(script, **UNHURRIED) as told:

        async def one_round(number: int) -> None:
            url = (await told.comment("@atlas first", number=number))["html_url"]
            working = "SELECT id FROM task_runs WHERE source_url = %s AND status = 'in_progress'"
            await told.until(working, url, patience=SETTLED_SECONDS_MAX)
            await told.comment("@atlas second", number=number)

        await rounds(told, one_round)
        await check(told)


@pytest.mark.timeout(240)
async def test_a_comment_at_the_moment_a_run_completes(story):
    async with story(QUICK, **UNHURRIED) as told:

        async def one_round(number: int) -> None:
            url = (await told.comment("@atlas first", number=number))["html_url"]
            await told.until(
                "SELECT p.id FROM thread_posts p JOIN task_runs r ON r.id = p.task_run_id "
                "WHERE r.source_url = %s AND p.posted_time IS NOT NULL",
                url,
                patience=SETTLED_SECONDS_MAX,
            )
            await asyncio.sleep(number % 5 * 0.01)  # before, at and after the run's completion
            await told.comment("@atlas second", number=number)

        await rounds(told, one_round)
        await check(told)
