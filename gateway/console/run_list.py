"""The list of runs: filtered by its address, in pages, kept up to date while it is open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from aiohttp import web

from aucert.astra.v1.task_run_pb2 import TASK_RUN_STATUS_COMPLETED
from aucert.astra.v1.task_run_service_pb2 import ListTaskRunsResponse
from gateway.console.filters import Filters, filters_of
from gateway.console.gathering import batches
from gateway.console.live import Frame
from gateway.console.pages import Visit, followed, page, render, signed_in
from gateway.console.words import OUTCOMES, SOURCES, STATUSES

LOOK_SECONDS = 0.5
"""Least time between two looks of one open page: many pages must not crowd out the runs they show."""


@signed_in
async def show(request: web.Request, visit: Visit) -> web.Response:
    """A page of the list."""
    filters = filters_of(request.query)
    listed = await visit.record.runs(filters.request())
    choices = {"status": STATUSES, "outcome": OUTCOMES, "source": SOURCES}
    return page("runs.html", session=visit.session, choices=choices, **_seen(filters, listed))


@followed
async def follow(request: web.Request, visit: Visit) -> AsyncGenerator[Frame]:
    """The same page, again whenever something in it has changed.

    A changed run only says that it is time to look: what belongs on the page, and where, Astra knows. It is
    looked at after silences too, so that nothing said before the watch stood is missed for long.
    """
    filters, record = filters_of(request.query), visit.record
    shown = ""
    async with aclosing(batches(record.watch_runs())) as changes:
        while True:
            listed = await record.runs(filters.request())
            seen = render("_runs.html", **_seen(filters, listed))
            yield Frame(seen if seen != shown else "")
            shown = seen
            if await anext(changes, None) is None:
                return
            await asyncio.sleep(LOOK_SECONDS)


def _seen(filters: Filters, listed: ListTaskRunsResponse) -> dict[str, Any]:
    """What the templates show of a page."""
    return {
        "filters": filters,
        "runs": listed.task_runs,
        "unfinished": sum(run.status != TASK_RUN_STATUS_COMPLETED for run in listed.task_runs),
        "older": filters.at(listed.next_page_token) if listed.next_page_token else None,
    }
