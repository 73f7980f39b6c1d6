"""A run that reaches a cap: it says so in the thread, and goes on or gives up as people decide."""

from __future__ import annotations

import json

import psycopg
from psycopg.conninfo import conninfo_to_dict

from services.cli import budget_commands, comparison
from tests.conftest import PostgresCluster
from tests.e2e.story import Story

WAITING = "SELECT id::text FROM task_runs WHERE status = 'waiting' AND waiting_for = 'budget'"
NOTICE = "SELECT seq FROM task_events WHERE event_type = 'notice' AND metadata->>'kind' = %s"
RAISED = """
SELECT author->>'external_id' AS author_id FROM thread_events
WHERE kind = 'raise' AND dispatched_time IS NOT NULL
"""
NEXT_TO_NOTHING = "0.000001"


async def cap_runs(told: Story, dollars: str, **whose: str) -> None:
    """As `astra budget set run` does."""
    await budget_commands.set_cap("run", dollars, **whose, state=told.state, as_json=True)


async def test_a_paused_run_says_so_and_goes_on_when_its_cap_is_raised(story, capsys):
    async with story(SWEEP_INTERVAL_SECONDS="3600") as told:
        await cap_runs(told, NEXT_TO_NOTHING)
        await told.comment("@atlas how is the cart built?")
        waiting = await told.until(WAITING)
        await told.until(NOTICE, "paused")
        paused = await told.posts()
        await cap_runs(told, "0", run=waiting["id"])
        (run,) = await told.settled()
        posts = await told.posts()
        kinds = [
            each["event_type"] for each in await told.rows("SELECT event_type FROM task_events ORDER BY seq")
        ]

        capsys.readouterr()
        await budget_commands.report(first="", last="", by="model", state=told.state, as_json=True)
        report = json.loads(capsys.readouterr().out)
        await comparison.compare(told.state, {}, str(run["thread_event_id"]), as_json=True)
        compared = json.loads(capsys.readouterr().out)

    assert [f"astra budget set run 1 --run {run['id']}"] == [text.split("`")[5] for text in paused]
    assert (2, True) == (len(posts), posts[1].startswith("[T0] "))
    assert "success" == run["outcome"]
    assert ["agent_started", "waiting", "notice", "budget_resumed", "attempt_restarted"] == kinds[:5]
    assert [("scripted", "2")] == [(row["model_alias"], row["call_count"]) for row in report["rows"]]
    cost = run["estimated_cost_usd_micros"]
    assert str(cost) == report["total"]["cost_usd_micros"]
    assert [(str(run["id"]), cost, 2)] == [
        (each["task_run_id"], each["estimated_cost_usd_micros"], each["turns"]) for each in compared["runs"]
    ]


async def test_a_comment_raises_a_cap_once_its_author_is_known_as_an_operator(story, postgres):
    async with story(SWEEP_INTERVAL_SECONDS="3600") as told:
        await cap_runs(told, NEXT_TO_NOTHING)
        await told.comment("@atlas how is the cart built?")
        await told.until(NOTICE, "paused")
        (paused,) = await told.posts()
        raising = paused.split("`")[3]
        await told.comment(raising)
        asked = await told.until(RAISED)
        still_waiting = await told.rows(WAITING)

        await identify_as_operator(told, postgres, f"github:{asked['author_id']}")
        await told.comment(raising)
        (run,) = await told.settled(events=3)
        posts = await told.posts()
    assert "/atlas raise $1" == raising
    assert 1 == len(still_waiting)
    assert ("success", 2) == (run["outcome"], len(posts))


async def identify_as_operator(told: Story, postgres: PostgresCluster, identity: str) -> None:
    """As `astra migrate` does with OPERATOR_IDENTITIES."""
    name = conninfo_to_dict(told.stack.operator_database_url)["dbname"]
    async with await psycopg.AsyncConnection.connect(postgres.urls(str(name)).owner) as owner:
        await owner.execute("UPDATE principals SET identities = %s WHERE name = 'operator'", [[identity]])


async def test_a_paused_run_that_nobody_raises_fails_and_says_why(story):
    async with story(BUDGET_WAIT_SECONDS="1") as told:
        await cap_runs(told, NEXT_TO_NOTHING)
        await told.comment("@atlas how is the cart built?")
        (run,) = await told.settled()
        await told.until(NOTICE, "failed")
        posts = await told.posts()
        calls = told.provider_calls()
    assert ("failure", "BUDGET") == (run["outcome"], run["outcome_reason"])
    assert ["Paused", "This could not be finished"] == [text.partition(":")[0] for text in posts]
    assert 0 == calls
