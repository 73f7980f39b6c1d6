"""The Plane tools that write: once whatever breaks, only where they may, and notifying nobody."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from services.sandbox.plane_domain import stable_id
from tests.service.plane_tools_stage import Stage, plane_tools_stage
from tests.service.tools_stage import reason_of

MARIA = stable_id("person", "maria")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Stage, None]:
    """One for all: each test changes a work item of its own."""
    async with plane_tools_stage(tmp_path_factory.mktemp("workspace")) as stage:
        yield stage


pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Write:
    """A write tool, the request by which Plane does it, its arguments, and how often it was done."""

    tool: str
    method: str
    path: str
    arguments: Callable[[str], dict[str, object]]
    made: Callable[[Stage, dict[str, Any]], Awaitable[int]]


async def opened(stage: Stage, filed: dict[str, Any]) -> int:
    return sum(each["name"] == f"Beside {filed['work_item']}" for each in (await stage.items()).values())


async def changed(stage: Stage, filed: dict[str, Any]) -> int:
    found = next(each for each in (await stage.items()).values() if each["work_item"] == filed["work_item"])
    return int(
        (found["state"], found["priority"], found["html"]) == ("Done", "high", "<p><em>Now</em> fast.</p>")
    )


async def commented(stage: Stage, filed: dict[str, Any]) -> int:
    return len([each for each in await stage.plane.comments(filed) if each["by_app"]])


CREATE = Write(
    "plane_create_issue", "POST", "/work-items/", lambda named: {"title": f"Beside {named}"}, opened
)
UPDATE = Write(
    "plane_update_issue",
    "PATCH",
    "/work-items/*/",
    lambda named: {"issue": named, "state": "done", "priority": "high", "body": "*Now* fast."},
    changed,
)
COMMENT = Write(
    "plane_add_comment", "POST", "/comments/", lambda named: {"issue": named, "body": "Seen."}, commented
)
each_write = pytest.mark.parametrize("write", [CREATE, UPDATE, COMMENT], ids=lambda write: write.tool)


async def fresh(stage: Stage, write: Write) -> tuple[str, dict[str, Any], dict[str, object]]:
    """A run, a work item it is to change, and the call that does."""
    filed = await stage.plane.file("Why?")
    named = filed["work_item"] if write is CREATE else await stage.identifier_of(filed)
    return stage.add_run(), filed, write.arguments(named)


async def refusal(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str, float]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return reason_of(caught.value)


@each_write
@pytest.mark.parametrize("fault", ["drop_after", "status_after:500", "status:502"])
async def test_a_change_plane_failed_to_confirm_is_made_once(stage: Stage, write: Write, fault: str):
    run, filed, wanted = await fresh(stage, write)
    await stage.plane.fault(write.method, write.path, fault)
    await stage.text(write.tool, run=run, **wanted)
    assert await write.made(stage, filed) == 1


@each_write
async def test_a_change_made_and_not_recorded_is_found_when_the_call_is_repeated(stage: Stage, write: Write):
    run, filed, wanted = await fresh(stage, write)
    stage.astra.finish_fails = 1
    code, reason, _ = await refusal(stage.call(write.tool, run=run, **wanted))
    assert (grpc.StatusCode.UNAVAILABLE, "VENDOR_UNAVAILABLE") == (code, reason)
    first = await stage.text(write.tool, run=run, **wanted)
    assert first == await stage.text(write.tool, run=run, **wanted)
    assert await write.made(stage, filed) == 1


@each_write
async def test_while_nobody_can_look_the_same_call_is_to_be_repeated(stage: Stage, write: Write):
    run, filed, wanted = await fresh(stage, write)
    await stage.text("plane_list_projects", run=run)
    await stage.plane.fault(write.method, write.path, "drop_after")
    if write is not CREATE:
        await stage.plane.fault("GET", f"/work-items/{wanted['issue']}/", "delay:0")  # before it is sent
    if write is UPDATE:
        await stage.plane.fault("GET", "/states/", "delay:0")
    await stage.plane.fault("GET", "*", "status:503")
    code, reason, _ = await refusal(stage.call(write.tool, run=run, **wanted))
    assert (grpc.StatusCode.UNAVAILABLE, "VENDOR_UNAVAILABLE") == (code, reason)
    await stage.text(write.tool, run=run, **wanted)
    assert await write.made(stage, filed) == 1


@each_write
async def test_a_run_of_strangers_changes_nothing(stage: Stage, write: Write):
    _, filed, wanted = await fresh(stage, write)
    stranger = stage.add_run(trusted=False)
    assert await stage.reason(write.tool, run=stranger, **wanted) == ("TRUST_REQUIRED", False)
    assert await write.made(stage, filed) == 0


async def test_an_issue_that_plane_does_not_show_yet_is_not_opened_again(stage: Stage):
    run, filed, wanted = await fresh(stage, CREATE)
    await stage.plane.fault(CREATE.method, CREATE.path, "status_after:500")
    await stage.plane.fault("GET", CREATE.path, "status:404")  # so it is sent again, and refused
    told = await stage.text(CREATE.tool, run=run, **wanted)
    assert told.startswith("Opened SHOP-")
    assert await CREATE.made(stage, filed) == 1


async def test_an_issue_is_opened_with_all_that_was_asked_and_mentions_nobody(stage: Stage):
    mention = (
        f'<mention-component entity_identifier="{MARIA}" entity_name="user_mention"></mention-component>'
    )
    told = await stage.text(
        "plane_create_issue",
        run=stage.add_run(),
        project="WEB",
        title="Round once",
        body=f"**Now** @maria {mention}",
        priority="urgent",
        state="In Progress",
    )
    items = await stage.items()
    found = next(each for each in items.values() if each["name"] == "Round once")
    assert told == f"Opened {found['identifier']}: {stage.plane.url}/web/plane/acme/browse/WEB-2/"
    assert (found["state"], found["priority"], found["by_app"]) == ("In Progress", "urgent", True)
    assert found["html"].startswith("<p><strong>Now</strong> @maria &lt;mention-component")


async def test_the_runs_own_issue_may_be_changed_and_what_is_left_out_stays(stage: Stage):
    told = await stage.text("plane_update_issue", run=stage.add_run(), priority="low")
    assert told.startswith("Changed priority of SHOP-1: http")
    found = (await stage.items())["SHOP-1"]
    assert ("Carts are slow", "Backlog", "low") == (found["name"], found["state"], found["priority"])


@pytest.mark.parametrize(("seconds", "waited_for"), [(7, True), (3_000, False)])
async def test_a_short_wait_is_the_platforms_and_a_long_one_is_told(
    tmp_path: Path, seconds: int, waited_for: bool
):
    async with plane_tools_stage(tmp_path) as stage:
        run = stage.add_run()
        await stage.plane.fault("POST", "/comments/", f"rate_limit:{seconds}")
        call = stage.call("plane_add_comment", run=run, issue="WEB-1", body="Seen.")
        if waited_for:
            code, reason, delay = await refusal(call)
            assert (grpc.StatusCode.RESOURCE_EXHAUSTED, "VENDOR_RATE_LIMITED") == (code, reason)
            assert 0 < delay <= seconds
        else:
            answer = await call
            assert (True, "VENDOR_RATE_LIMITED", False) == (answer.failed, answer.reason, answer.fixable)
            assert "Nothing was done" in answer.text
