"""Hands a thread's events to its workflow, one at a time and in order."""

from __future__ import annotations

from services.common.crashpoints import CrashPoint, reach
from services.dispatcher.domain import ThreadEvent
from services.dispatcher.runs import Runs
from services.dispatcher.thread_store import ThreadStore


class Claims:
    """Claims repeat harmlessly: an event stays the next one until it is named as finished."""

    def __init__(self, threads: ThreadStore, runs: Runs) -> None:
        self._threads = threads
        self._runs = runs

    async def next(
        self, tenant_id: str, thread_id: str, *, finished_event_id: str | None
    ) -> ThreadEvent | None:
        """Put the finished event away, return the next one with its runs on record. None: nothing is left.

        Raises ThreadNotFound for a thread of another tenant.
        """
        event = await self._threads.claim_next(tenant_id, thread_id, finished_event_id=finished_event_id)
        if event is not None:
            await self._runs.ensure(event)  # whoever wrote it may have died before making them
            reach(CrashPoint.EVENT_CLAIMED)
        return event
