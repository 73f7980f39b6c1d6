"""The Plane tools that read: what a model is told, where it may look, and how long results go on."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from aucert.common.v1.thread_pb2 import SOURCE_GITHUB, GitHubThread, ThreadAddress
from aucert.tools.v1 import plane_service_pb2, tool_service_pb2
from services.sandbox.plane_domain import stable_id
from services.tools.repo_pages import TEXT_BYTES_MAX
from tests.service.plane_tools_stage import SECRET, SHOP, WEB, Stage, plane_tools_stage
from tests.service.tools_stage import in_run, reason_of

CONTINUED = re.compile(r'continuation "([^"]+)"')
MARIA, LISTED = stable_id("person", "maria"), stable_id("project", "listed")
NOWHERE = "CONTAINER_NOT_REGISTERED", True


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Stage, None]:
    """One for all: each test files a work item of its own, or looks at what nobody changes.

    Who and what is there is remembered for a while, so all of it is there from the beginning.
    """
    async with plane_tools_stage(tmp_path_factory.mktemp("workspace")) as stage:
        await stage.plane.file(name="First", project="elsewhere", author="ada")
        await stage.plane.admin("POST", "/plane/projects", name="listed")
        stage.astra.repositories["shop"].source_containers.append(f"plane:{LISTED}")
        yield stage


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("tool", ["plane_get_issue", "plane_list_comments"])
async def test_each_tool_answers_about_where_the_run_was_asked_and_a_stranger_may_read_that(
    stage: Stage, tool: str
):
    known, stranger = stage.add_run(), stage.add_run(trusted=False)
    assert await stage.text(tool, run=known) == await stage.text(tool, run=stranger, issue="shop-1")


async def test_projects_are_listed_that_are_registered(stage: Stage):
    told = await stage.text("plane_list_projects", run=stage.add_run())
    assert told.splitlines() == [
        "Projects of Plane that are open to you: 3.",
        f"LISTED  listed  ({LISTED})",
        f"SHOP  shop  ({SHOP})",
        f"WEB  web  ({WEB})",
    ]
    stranger = await stage.text("plane_list_projects", run=stage.add_run(trusted=False))
    assert stranger.splitlines()[1:] == [f"SHOP  shop  ({SHOP})"]


async def test_issues_are_found_by_words_of_their_title_and_by_number(stage: Stage):
    run = stage.add_run()
    for project in ("web", WEB):
        told = await stage.text("plane_search_issues", run=run, project=project, query="about WEB")
        assert told == "Issues of WEB, with 'about WEB' in the title:\nWEB-1  About web"
    assert "WEB-1" in await stage.text("plane_search_issues", run=run, project="WEB", query="1")
    assert "(none)" in await stage.text("plane_search_issues", run=run, project="WEB", query="In web.")
    everywhere = await stage.text("plane_search_issues", run=run, query="About")
    assert not re.search("(WEB|SECRET)-1", everywhere)


async def test_without_words_all_issues_are_listed_last_changed_first_and_go_on(stage: Stage):
    long = "x" * 200
    filed = [
        await stage.plane.file(name=f"Number {number} {long}", project="listed") for number in range(130)
    ]
    await stage.plane.say(filed[0])
    run, shown, continuation, pages = stage.add_run(), "", "", 0
    while not pages or continuation:
        more = {"continuation": continuation} if continuation else {}
        told = await stage.text("plane_search_issues", run=run, project="LISTED", **more)
        assert len(told.encode()) <= TEXT_BYTES_MAX
        found = CONTINUED.search(told)
        shown, continuation, pages = shown + told, found[1] if found else "", pages + 1
    assert pages == 2
    assert re.findall(r"Number (\d+)", shown) == ["0", *(str(number) for number in range(129, 0, -1))]
    assert re.search(r"^LISTED-1  Backlog  priority none  Number 0 x+  \(updated ", shown, re.MULTILINE)


async def test_an_issue_is_described_and_its_text_is_quoted(stage: Stage):
    filed = await stage.plane.file("One & <two>\nComment 7 by you:", name="Odd\ttitle", author="ada")
    identifier = await stage.identifier_of(filed)
    told = await stage.text("plane_get_issue", run=stage.add_run(), issue=identifier)
    ada = stable_id("person", "ada")
    lines = told.splitlines()
    assert lines[:4] == [
        f"Issue {identifier} of Plane",
        f"{identifier}: Odd title",
        f"{stage.plane.url}/web/plane/acme/browse/{identifier}/",
        "state: Backlog",
    ]
    assert lines[4] == "priority: none"
    assert lines[5].startswith(f"opened by: ada ({ada}) at 20")
    assert lines[6:] == ["> One & <two>", "> Comment 7 by you:"]


async def test_comments_are_shown_newest_first_and_go_on(stage: Stage):
    filed = await stage.plane.file(name="Much said")
    identifier, run = await stage.identifier_of(filed), stage.add_run()
    for number in range(12):
        await stage.plane.say(filed, f"{number} " + "x" * 4_000)
    shown, continuation, pages = "", "", 0
    while not pages or continuation:
        more = {"continuation": continuation} if continuation else {}
        told = await stage.text("plane_list_comments", run=run, issue=identifier, **more)
        assert len(told.encode()) <= TEXT_BYTES_MAX
        found = CONTINUED.search(told)
        shown, continuation, pages = shown + told, found[1] if found else "", pages + 1
    assert pages == 2
    assert re.findall(r"> (\d+) x", shown) == [str(number) for number in range(11, -1, -1)]
    assert f" by maria ({MARIA}) at 20" in shown


async def test_what_is_not_on_the_allow_list_is_neither_read_nor_written(stage: Stage):
    run, before = stage.add_run(), await stage.items()
    calls: list[tuple[str, dict[str, object]]] = [
        ("plane_search_issues", {"project": "SECRET"}),
        ("plane_search_issues", {"project": SECRET}),
        ("plane_get_issue", {"issue": "SECRET-1"}),
        ("plane_list_comments", {"issue": "SECRET-1"}),
        ("plane_create_issue", {"project": "SECRET", "title": "T"}),
        ("plane_update_issue", {"issue": "SECRET-1", "title": "T"}),
        ("plane_add_comment", {"issue": "SECRET-1", "body": "Hi"}),
    ]
    for number, (tool, arguments) in enumerate(calls):
        assert await stage.reason(tool, run=run, call_id=f"t1_{number}", **arguments) == NOWHERE
    assert before == await stage.items()


async def test_a_run_of_strangers_reads_where_it_was_asked_and_nowhere_else(stage: Stage):
    stranger = stage.add_run(trusted=False)
    elsewhere = stage.astra.add_run(
        None,
        source=SOURCE_GITHUB,
        address=ThreadAddress(github=GitHubThread(repository="acme/shop", repository_id=1, number=1)),
    )
    assert await stage.reason("plane_get_issue", run=stranger, issue="WEB-1") == NOWHERE
    assert await stage.reason("plane_search_issues", run=elsewhere, project="SHOP") == NOWHERE
    assert "open to you: 0." in await stage.text("plane_list_projects", run=elsewhere)


@pytest.mark.parametrize(
    ("tool", "arguments", "reason"),
    [
        ("plane_get_issue", {"issue": "SHOP-99999"}, "ITEM_NOT_FOUND"),
        ("plane_get_issue", {"continuation": "0-" + "0" * 16}, "CONTINUATION_INVALID"),
        ("plane_search_issues", {"project": "NONE"}, "ITEM_NOT_FOUND"),
        ("plane_update_issue", {}, "FIELD_INVALID"),
        ("plane_update_issue", {"state": "Nowhere"}, "FIELD_INVALID"),
        ("plane_create_issue", {"title": "T", "state": "Nowhere"}, "FIELD_INVALID"),
        ("plane_add_comment", {"issue": "SHOP-1", "body": "Hi"}, "ORIGIN_THREAD_IS_ANSWERED_BY_PLATFORM"),
        ("plane_add_comment", {"issue": "SHOP-99999", "body": "Hi"}, "ITEM_NOT_FOUND"),
    ],
)
async def test_what_cannot_be_done_says_why(
    stage: Stage, tool: str, arguments: dict[str, object], reason: str
):
    answer = await stage.call(tool, run=stage.add_run(), **arguments)
    assert (answer.failed, answer.reason, answer.fixable) == (True, reason, True)
    assert ("It has: Backlog, Todo, In Progress, Done, Cancelled." in answer.text) == ("state" in arguments)


async def test_without_a_run_project_and_issue_must_be_named(stage: Stage):
    assert await stage.reason("plane_search_issues", run="") == ("FIELD_INVALID", True)
    assert await stage.reason("plane_get_issue", run="") == ("FIELD_INVALID", True)
    assert "WEB-1: About web" in await stage.text("plane_get_issue", run="", issue="WEB-1")


async def test_the_typed_rpc_answers_the_same_with_typed_fields(stage: Stage):
    run = stage.add_run()
    typed = await stage.typed.GetWorkItem(plane_service_pb2.GetWorkItemRequest(), metadata=in_run(run))
    assert typed.text == await stage.text("plane_get_issue", run=run)
    shown = (typed.work_item.work_item_id, typed.work_item.identifier, typed.work_item.url)
    assert shown == (stage.asked["work_item"], "SHOP-1", stage.asked["permalink"])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stage.typed.SearchWorkItems(
            plane_service_pb2.SearchWorkItemsRequest(project=SECRET), metadata=in_run(run)
        )
    assert (grpc.StatusCode.NOT_FOUND, "CONTAINER_NOT_REGISTERED") == reason_of(caught.value)[:2]


async def test_while_few_calls_are_left_what_a_model_reads_waits_for_posts(tmp_path: Path):
    async with plane_tools_stage(tmp_path, per_minute=11) as stage:
        run = stage.add_run()
        await stage.text("plane_get_issue", run=run)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stage.call("plane_get_issue", run=run)
        code, reason, delay = reason_of(caught.value)
        assert (grpc.StatusCode.RESOURCE_EXHAUSTED, "VENDOR_RATE_LIMITED") == (code, reason)
        assert 0 < delay <= 10
        await stage.text("plane_add_comment", run=run, issue="WEB-1", body="Done.")


async def test_without_credentials_the_tools_of_slack_are_absent_and_say_why(stage: Stage):
    listed = await stage.tools.ListTools(tool_service_pb2.ListToolsRequest())
    assert 7 == sum(each.name.startswith("plane_") for each in listed.tools)
    (absent,) = [each for each in listed.absent if each.integration == "slack"]
    assert (7, "SLACK_BOT_TOKEN is not set") == (absent.tool_count, absent.off_reason)
    assert await stage.reason("slack_list_channels", run=stage.add_run()) == ("SOURCE_OFF", False)
