"""A worker that stalls and wakes beside its replacement: two live attempts, one answer."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.cli.embedded import EmbeddedTemporal
from tests.e2e.story import PATIENCE_SECONDS, Story

pytestmark = pytest.mark.crash


@asynccontextmanager
async def worker(
    told: Story, temporal: EmbeddedTemporal, log: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`astra serve worker`, as the chart runs it."""
    environment = {
        "ASTRA_TOKEN": "worker-token",
        "ASTRA_ADDRESS": told.stack.astra_address,
        "DISPATCHER_ADDRESS": told.stack.dispatcher_address,
        "MODELS_ADDRESS": told.stack.models_address,
        "TOOLS_ADDRESS": told.stack.tools_address,
        "TEMPORAL_ADDRESS": temporal.address,
        "WORKER_HEALTH_PORT": "0",
        "WORKER_HEARTBEAT_SECONDS": "2",
    }
    with log.open("w") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.cli.main", "serve", "worker"),
            env={**os.environ, **environment},
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await asyncio.wait_for(process.wait(), PATIENCE_SECONDS)


@pytest.mark.timeout(150)  # Temporal may hand the retry to the stalled worker's open polls a few times first
async def test_a_stalled_attempt_that_wakes_beside_its_retry_changes_nothing(story, temporal, tmp_path):
    script = [
        {"delay_ms": 3_000, "tool_calls": [{"name": "repo_list_files", "arguments": {}}]},
        {"text": "Listed."},
    ]
    async with story(script, with_worker=False) as told:
        await told.comment("@atlas what is here?")
        async with worker(told, temporal, tmp_path / "first.log") as first:
            await told.until("SELECT 1 FROM spend_reservations WHERE status = 'open'")
            first.send_signal(signal.SIGSTOP)
            async with worker(told, temporal, tmp_path / "second.log"):
                await told.until("SELECT 1 FROM task_runs WHERE attempt_fence >= 2", patience=90)
                first.send_signal(signal.SIGCONT)  # its model answers now; so does the second one's
                (run,) = await told.settled(patience=90)
                posts = await told.posts()
        spent = await told.rows("SELECT status, fence FROM spend_reservations ORDER BY created_time")
        turns = await told.rows("SELECT position FROM transcript_turns ORDER BY position")
    assert ("success", 1) == (run["outcome"], len(posts))
    assert {"status": "abandoned", "fence": 1} == spent[0]
    assert ["settled"] * (len(spent) - 1) == [each["status"] for each in spent[1:]]
    assert list(range(4)) == [each["position"] for each in turns]
