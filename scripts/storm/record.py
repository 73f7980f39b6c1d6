"""The record as an operator asks it, and what Temporal still runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row
from temporalio.client import Client

from scripts.storm.verdict import Row, Run
from services.common.drive_renewals import SCHEDULE_ID

POLL_SECONDS = 1.0
_OPEN = """
SELECT (SELECT count(*) FROM thread_events WHERE finished_time IS NULL) AS "events",
       (SELECT count(*) FROM webhook_deliveries WHERE status IN ('pending', 'leased')) AS "deliveries",
       (SELECT count(*) FROM task_runs WHERE status <> 'completed') AS "runs",
       (SELECT count(*) FROM spend_reservations WHERE status = 'open') AS "reservations"
"""
_RUNS = """
SELECT r.id::text AS id, e.source_url AS comment, coalesce(r.outcome, '') AS outcome,
       r.outcome_reason AS reason, coalesce(r.answered_by_task_run_id::text, '') AS answered_by,
       ARRAY(SELECT p.url FROM thread_posts p WHERE p.task_run_id = r.id AND p.kind = 'answer') AS posts
FROM task_runs r JOIN thread_events e ON e.id = r.thread_event_id
"""
_INBOX = """
SELECT source, status, outcome_reason AS reason, count(*) AS count FROM webhook_deliveries
GROUP BY source, status, outcome_reason ORDER BY source, status, outcome_reason
"""
_READ = "SELECT container FROM source_cursors WHERE cursor <> ''"
_ATTEMPTS = "SELECT coalesce(sum(attempt_fence), 0)::int AS n FROM task_runs"


class Record:
    """Asked over a new connection each time: none outlives a storm."""

    def __init__(self, database_url: str, temporal_address: str) -> None:
        self._database_url = database_url
        self._temporal_address = temporal_address

    async def settled(self, comments: Sequence[str], seconds_max: float) -> Mapping[str, int]:
        """Wait until each comment has a run and nothing is open; returns how much of what still is.

        Empty: nothing. Otherwise `seconds_max` went by.
        """
        still_open: Mapping[str, int] = {}
        try:
            async with asyncio.timeout(seconds_max):
                while True:
                    if not (still_open := await self._still_open(comments)):
                        break
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            pass
        return still_open

    async def begun(self, containers: Sequence[str], seconds_max: float) -> None:
        """Wait until catch-up has read each container once: nothing written before that is its to find.

        Raises TimeoutError.
        """
        async with asyncio.timeout(seconds_max):
            while True:
                read = {row["container"] for row in await self._rows(_READ)}
                if read.issuperset(containers):
                    return
                await asyncio.sleep(POLL_SECONDS)

    async def runs(self) -> list[Run]:
        """All of them."""
        return [Run(**row) for row in await self._rows(_RUNS)]

    async def inbox(self) -> list[Row]:
        """What became of the deliveries."""
        return [Row(**row) for row in await self._rows(_INBOX)]

    async def attempts(self) -> int:
        """How often a run was begun: what is above the number of runs was cut."""
        return (await self._rows(_ATTEMPTS))[0]["n"]

    async def workflows(self) -> list[str]:
        """The ids of workflows that are not closed; the schedule's own are no thread's."""
        client = await Client.connect(self._temporal_address)
        running = [each.id async for each in client.list_workflows('ExecutionStatus = "Running"')]
        return [each for each in running if not each.startswith(SCHEDULE_ID)]

    async def _still_open(self, comments: Sequence[str]) -> Mapping[str, int]:
        (counts,) = await self._rows(_OPEN)
        known = {run.comment for run in await self.runs()}
        counts["comments without a run"] = sum(comment not in known for comment in comments)
        counts["workflows"] = len(await self.workflows())
        return {what: count for what, count in counts.items() if count}

    async def _rows(self, query: LiteralString) -> list[dict[str, Any]]:
        async with (
            await psycopg.AsyncConnection.connect(self._database_url, autocommit=True) as connection,
            connection.cursor(row_factory=dict_row) as cursor,
        ):
            return await (await cursor.execute(query)).fetchall()
