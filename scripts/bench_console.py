"""Measure how long after its record an event can be seen on an open page of the console, in a real browser.

Prints each event's lag, then figures and aim, and the same as JSON on the last line. Exits 1 only when
something never appears; a missed aim is printed, not punished. The model is scripted and pauses before each
turn, so that the page is open before most of it happens.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

import uvloop
from playwright.async_api import Page
from playwright.async_api import TimeoutError as NotSeen

from aucert.astra.v1 import task_run_service_pb2
from aucert.astra.v1.task_event_pb2 import TaskEvent
from aucert.astra.v1.task_run_pb2 import TaskRun
from aucert.dispatcher.v1 import dispatcher_service_pb2
from scripts.chromium import NoChromium, chromium
from scripts.measured_on import machine, spelled
from services.cli.client import Clients, operator_clients
from services.cli.smoke import register_repository
from services.cli.stack import Ports, running_stack
from services.cli.state import RunningStack, StateDirectory
from services.common.logs import configure_logs

ROUNDS = 3
TURNS = 6
FIRST_PAUSE_MS, PAUSE_MS = 2_500, 400
SEEN_MS_MAX = 60_000
AIM_MS = 1_000
CALL = {"name": "repo_list_files", "arguments": {}}
# Notes when an element that tells of an event is first on the page; a call, when it has its bar: it is over.
NOTE_TIMES = """(root) => {
  const seen = window.seen = {};
  const telling = '[id^=run-], [id^=note-], [id^=turn-], [id^=call-]:has(> details > summary > svg)';
  const keys = () => [...document.querySelectorAll(telling)].map(each => each.id);
  const there = new Set(keys());
  new MutationObserver(() => {
    for (const key of keys()) if (!there.has(key) && !(key in seen)) seen[key] = Date.now();
  }).observe(document.querySelector(root), { subtree: true, childList: true, attributes: true });
}"""


@dataclass(frozen=True, slots=True)
class Lag:
    """From the record to the page, in milliseconds."""

    what: str
    ms: float


@asynccontextmanager
async def signed_in(stack: RunningStack) -> AsyncIterator[Page]:
    """A page of a browser that is signed in."""
    async with chromium() as browser:
        context = await browser.new_context(base_url=stack.gateway_url)
        context.set_default_timeout(SEEN_MS_MAX)
        page = await context.new_page()
        await page.goto("/")
        await page.get_by_label("API key").fill(stack.api_key)
        await page.get_by_role("button", name="Sign in").click()
        await page.get_by_role("heading", name="Runs").wait_for()
        yield page


async def measure() -> tuple[list[Lag], list[Lag]]:
    """Lags on the list, and lags on the pages of the runs."""
    with tempfile.TemporaryDirectory(prefix="astra-bench-") as folder:
        script = Path(folder) / "script.json"
        reads = [{"tool_calls": [CALL, CALL], "delay_ms": PAUSE_MS}] * (TURNS - 2)
        first = {"tool_calls": [CALL], "delay_ms": FIRST_PAUSE_MS}
        script.write_text(json.dumps({"": [first, *reads, {"text": "Done.", "delay_ms": PAUSE_MS}]}))
        state = StateDirectory(Path(folder) / "state")
        environment = {"DEFAULT_MODEL": "scripted", "MODELS_SCRIPT": str(script)}
        async with (
            running_stack(state, Ports.free(), environment) as stack,
            operator_clients(state.path, {}) as clients,
            signed_in(stack) as page,
        ):
            slug = await register_repository(clients, ".")
            on_list: list[Lag] = []
            on_pages: list[Lag] = []
            for number in range(1, ROUNDS + 1):
                seen_listed, seen = await watch_one(page, clients, slug, number)
                on_list += seen_listed
                on_pages += seen
            return on_list, on_pages


async def watch_one(page: Page, clients: Clients, slug: str, number: int) -> tuple[list[Lag], list[Lag]]:
    """One run, from the list to its end."""
    await page.goto("/")
    await page.evaluate(NOTE_TIMES, "#list")
    created = await clients.dispatcher.CreateTask(
        dispatcher_service_pb2.CreateTaskRequest(message="bench", repository=slug)
    )
    run_id = created.task_run_id
    await page.locator(f"#run-{run_id}").wait_for()
    listed = await page.evaluate("() => window.seen")
    await page.goto(f"/runs/{run_id}")
    await page.evaluate(NOTE_TIMES, "#run")
    await page.locator("#run .badge.success").wait_for()
    seen = await page.evaluate("() => window.seen")
    run, events = await record_of(clients, run_id)
    recorded = run.created_time.ToDatetime(tzinfo=UTC).timestamp() * 1000
    return (
        [Lag(f"run {number} on the list", listed[f"run-{run_id}"] - recorded)],
        [Lag(f"run {number} {key}", seen[key] - at) for key, at in keys_of(events) if key in seen],
    )


async def record_of(clients: Clients, run_id: str) -> tuple[TaskRun, list[TaskEvent]]:
    """The run and its events, as Astra has them."""
    run = await clients.runs.GetTaskRun(task_run_service_pb2.GetTaskRunRequest(task_run_id=run_id))
    listing = task_run_service_pb2.ListTaskEventsRequest(task_run_id=run_id, page_size=1000)
    return run.task_run, list((await clients.runs.ListTaskEvents(listing)).task_events)


def keys_of(events: list[TaskEvent]) -> Iterator[tuple[str, float]]:
    """The element that tells of each event, with when it was recorded, in milliseconds."""
    turn, call = 0, 0
    for event in events:
        at = event.created_time.ToDatetime(tzinfo=UTC).timestamp() * 1000
        match event.WhichOneof("detail"):
            case "turn":
                turn, call = event.turn.position, 0
                yield f"turn-{turn}", at
            case "tool_call":
                yield f"call-{turn}-{call}", at
                call += 1
            case _:
                yield f"note-{event.seq}", at


def figures(on_list: list[Lag], on_pages: list[Lag]) -> list[Mapping[str, object]]:
    """Median and worst of each place."""
    return [
        {
            "what": f"recorded to seen, {where} ({name} of {len(lags)})",
            "value": round(value),
            "unit": "ms",
            "aim": aim,
        }
        for where, lags in (("a new run on the list", on_list), ("an event on its run's page", on_pages))
        for name, value, aim in (
            ("median", statistics.median(each.ms for each in lags), ""),
            ("worst", max(each.ms for each in lags), f"<= {AIM_MS}"),
        )
    ]


def main() -> None:
    """Print every lag, then the table, then the JSON."""
    configure_logs(level="ERROR", stream=sys.stderr)
    where = machine()
    try:
        on_list, on_pages = uvloop.run(measure())
    except (NoChromium, NotSeen) as missing:
        sys.exit(f"bench: {missing}")
    for each in (*on_list, *on_pages):
        print(f"{each.what:<28} {each.ms:>6.0f} ms")
    print(spelled(where))
    found = figures(on_list, on_pages)
    for each in found:
        aim = f"aim {each['aim']}" if each["aim"] else ""
        print(f"{each['what']:<62} {each['value']:>6} {each['unit']} {aim}".rstrip())
    print(json.dumps({"machine": where, "figures": found}))


if __name__ == "__main__":
    main()
