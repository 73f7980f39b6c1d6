"""One run: what it is, what happened when, what each turn was sent and what came back, and the answer.

A page that is open gets what happened since by the number of the last event it has, so it misses nothing,
whatever was cut in between.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import UTC
from http import HTTPStatus
from typing import Any

from aiohttp import web

from aucert.astra.v1.task_run_pb2 import TASK_RUN_STATUS_COMPLETED, TaskRun
from aucert.astra.v1.task_run_service_pb2 import WatchTaskRunResponse
from gateway.console.contents import TEXT_CHARS_MAX, Content, Passage, content_of
from gateway.console.gathering import batches
from gateway.console.live import END, Frame
from gateway.console.pages import Visit, followed, page, render, signed_in
from gateway.console.record import Record
from gateway.console.story import Story, TurnStep
from gateway.console.writing import Writing

LAST_EVENT_ID = "Last-Event-ID"
_EVENT_NUMBER = re.compile(r"[0-9]{1,9}")


@signed_in
async def show(request: web.Request, visit: Visit) -> web.Response:
    """The run as it is now."""
    run, story = await _read(visit.record, request.match_info["task_run_id"])
    contents = await _contents(visit.record, run, story.turns())
    asked = Passage(run.message[:TEXT_CHARS_MAX], len(run.message[TEXT_CHARS_MAX:]))
    return page("run.html", session=visit.session, asked=asked, **_seen(run, story, contents))


@signed_in
async def show_turn(request: web.Request, visit: Visit) -> web.Response:
    """One turn whole."""
    run, story = await _read(visit.record, request.match_info["task_run_id"])
    position = int(request.match_info["position"])
    step = next((each for each in story.turns() if each.position == position), None)
    if step is None:
        return page(
            "error.html",
            status=HTTPStatus.NOT_FOUND,
            told="This run has no such turn.",
            session=visit.session,
        )
    transcript = await visit.record.turns(run.task_run_id, step.sent_from, position + 1)
    content = content_of(step, transcript, chars_max=None)
    return page("turn.html", session=visit.session, run=run, step=step, content=content)


@followed
async def follow(request: web.Request, visit: Visit) -> AsyncGenerator[Frame]:
    """What happens after the last event the page has, a frame for each batch of events or pieces of text.

    Turns of which a batch says nothing go without their content, which the page has. After a silence the run
    is looked at too: a wait that ends makes no event. Text that is being written goes by itself, for it comes
    several times a second and changes nothing else.
    """
    task_run_id, record = request.match_info["task_run_id"], visit.record
    after = _event_number(request.headers.get(LAST_EVENT_ID) or request.query.get("after", ""))
    run, story = await _read(record, task_run_id, until=after)
    shown, writing = "", Writing()
    async with aclosing(batches(record.watch_run(task_run_id, after))) as coming:
        async for batch in coming:
            known = story.last_seq
            story.take(each.task_event for each in batch if each.HasField("task_event"))
            _take_text(writing, story, batch)
            if batch and story.last_seq == known:
                yield Frame(render("_writing_now.html", writing=writing))
                continue
            run = await record.run(task_run_id)
            contents = await _contents(record, run, story.turns(known))
            seen = render("_run.html", **_seen(run, story, contents, writing))
            yield Frame(seen, id=str(story.last_seq)) if seen != shown else Frame()
            shown = seen
    yield END


def _take_text(writing: Writing, story: Story, batch: Sequence[WatchTaskRunResponse]) -> None:
    recorded = max((each.position for each in story.turns()), default=-1)
    for each in batch:
        if each.HasField("text"):
            writing.take(each.text, recorded)
    writing.recorded(recorded)


def _event_number(sent: str) -> int:
    """The number a page names; 0, from the beginning, for anything else."""
    return int(sent) if _EVENT_NUMBER.fullmatch(sent) else 0


async def _read(record: Record, task_run_id: str, until: int | None = None) -> tuple[TaskRun, Story]:
    """The run, and its story up to an event; None: so far."""
    run = await record.run(task_run_id)
    story = Story(run.created_time.ToDatetime(tzinfo=UTC))
    events = await record.events(task_run_id)
    story.take(event for event in events if until is None or event.seq <= until)
    return run, story


async def _contents(record: Record, run: TaskRun, steps: Sequence[TurnStep]) -> dict[int, Content]:
    """What was said in these turns, by position."""
    if not steps:
        return {}
    transcript = await record.turns(run.task_run_id, steps[0].sent_from, steps[-1].position + 1)
    return {step.position: content_of(step, transcript) for step in steps}


def _seen(
    run: TaskRun, story: Story, contents: dict[int, Content], writing: Writing | None = None
) -> dict[str, Any]:
    """What the templates show of a run."""
    return {
        "run": run,
        "story": story,
        "contents": contents,
        "writing": writing or Writing(),
        "is_over": run.status == TASK_RUN_STATUS_COMPLETED,
    }
