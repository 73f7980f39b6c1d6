"""Each service replaced in turn, then all at once, while a run works: nothing is lost or done twice."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.story import SCRIPT, Story
from tests.processes.conftest import RunInstallation
from tests.processes.pods import PORTS
from tests.processes.traffic import Traffic, flowing

TURN_MS = 6_000
"""Long enough for all replacements within the agent's 40 turns, short enough for every drain."""
SCRIPTS = {
    "": SCRIPT,
    "take your time": [{"delay_ms": TURN_MS, "tool_calls": [{"name": "repo_list_files", "arguments": {}}]}],
    "and now come to an end": [{"text": "It took a while: see README.md:1."}],
}
"""A run that works until it is told to end, and short ones beside it."""


@pytest.mark.timeout(300)
async def test_replacing_the_services_during_a_run_loses_nothing_and_does_nothing_twice(
    installation: RunInstallation, repository: Path, tmp_path: Path
):
    script = tmp_path / "script.json"
    script.write_text(json.dumps(SCRIPTS))
    async with installation(
        "scripted", MODELS_SCRIPT=str(script), MODELS_SCRIPT_LOG=str(tmp_path / "provider-calls.log")
    ) as (cluster, told):
        await told.open_pull_request(repository)
        await told.comment("@atlas how is the cart built? take your time")
        begun = await told.until("SELECT task_run_id FROM transcript_turns WHERE role = 'assistant'")

        traffic = Traffic()
        async with flowing(told, lambda: cluster.gateway_url, traffic):
            in_turn = {role: await cluster.replace(role) for role in PORTS}
            at_once = await asyncio.gather(*map(cluster.replace, PORTS))
        (long_run,) = await told.rows("SELECT * FROM task_runs WHERE id = %s", begun["task_run_id"])
        await told.comment("@atlas and now come to an end")
        runs = await told.settled(events=2 + len(traffic.task_run_ids))

        assert dict.fromkeys(PORTS, 0) == in_turn == dict(zip(PORTS, at_once, strict=True))
        assert "in_progress" == long_run["status"]
        assert {"success"} == {run["outcome"] for run in runs}
        (answer,) = await told.posts()
        assert answer.startswith("[T0] It took a while")
        await every_webhook_was_taken_and_kept_once(told, traffic)
        asked = {str(run["id"]) for run in runs if run["thread_id"] != long_run["thread_id"]}
        assert sorted(traffic.task_run_ids) == sorted(asked)
        await no_turn_was_paid_twice(told)
        assert [] == await told.rows("SELECT tool_name, reason FROM tool_calls WHERE failed")
        assert long_run["attempt_fence"] > 1, "another worker took it up"
    assert [] == cluster.errors()


async def every_webhook_was_taken_and_kept_once(told: Story, traffic: Traffic) -> None:
    assert [] == [each for each in traffic.deliveries if not each["ok"]]
    guids = [each["guid"] for each in traffic.deliveries]
    kept = await told.rows("SELECT external_id FROM webhook_deliveries WHERE external_id = ANY(%s)", guids)
    assert sorted(guids) == sorted(each["external_id"] for each in kept)


async def no_turn_was_paid_twice(told: Story) -> None:
    """A call is on record as a turn, or as abandoned by an attempt that was cut."""
    counted: list[dict[str, Any]] = await told.rows(
        """
        SELECT (SELECT count(*) FROM transcript_turns WHERE role = 'assistant') AS turns,
               (SELECT count(*) FROM spend_reservations WHERE status = 'abandoned') AS abandoned
        """
    )
    turns, abandoned = counted[0]["turns"], counted[0]["abandoned"]
    assert turns <= told.provider_calls() <= turns + abandoned
