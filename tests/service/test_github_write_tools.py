"""The GitHub tools that write: once whatever breaks, only where they may, and pinging nobody by accident."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import rsa

from aucert.tools.v1.tool_service_pb2 import CallToolRequest
from services.cli import sandbox
from services.common import metadata as keys
from services.tools.quoting import INVISIBLE
from tests.service.github_app_kit import new_key
from tests.service.github_stage import SHOP, WEB, Stage, github_stage
from tests.service.tools_stage import reason_of

Look = Callable[[Stage], Awaitable[int]]


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return new_key()


@pytest_asyncio.fixture
async def stage(key: rsa.RSAPrivateKey, tmp_path: Path) -> AsyncGenerator[Stage, None]:
    async with github_stage(key, tmp_path) as stage:
        await stage.admin("/github/issues", repository=SHOP, title="Totals are wrong", body="By a cent.")
        yield stage


@dataclass(frozen=True)
class Write:
    """A write tool, the request by which GitHub does it, and how often it was done."""

    tool: str
    arguments: dict[str, object]
    method: str
    path: str
    made: Look


async def issues_opened(stage: Stage) -> int:
    return len([each for each in await threads(stage) if each["title"] == "Round once"])


async def pulls_opened(stage: Stage) -> int:
    return len([each for each in await threads(stage) if each["kind"] == "pull_request"]) - 1


async def comments_made(stage: Stage) -> int:
    return len(await stage.bodies(3))


async def replies_made(stage: Stage) -> int:
    return len(await stage.bodies(2)) - 1


async def closings(stage: Stage) -> int:
    return int((await stage.thread(3))["state"] == "closed")


async def threads(stage: Stage) -> list[Any]:
    found: list[Any] = []
    for number in range(1, 20):
        try:
            found.append(await stage.thread(number))
        except aiohttp.ClientResponseError:
            break
    return found


WRITES = [
    Write("github_create_issue", {"title": "Round once"}, "POST", "*/issues", issues_opened),
    Write(
        "github_comment_on_issue",
        {"number": 3, "body": "Seen."},
        "POST",
        "*/issues/3/comments",
        comments_made,
    ),
    Write("github_update_issue", {"number": 3, "state": "completed"}, "PATCH", "*/issues/3", closings),
    Write(
        "github_reply_to_review_comment", {"number": 2, "body": "Done."}, "POST", "*/replies", replies_made
    ),
    Write(
        "github_open_pull_request",
        {"branch": "fix", "title": "Fix", "files": [{"path": "a.py", "content": "x = 1\n"}]},
        "POST",
        "*/pulls",
        pulls_opened,
    ),
]
each_write = pytest.mark.parametrize("write", WRITES, ids=lambda write: write.tool)


async def arguments(stage: Stage, write: Write) -> dict[str, object]:
    if write.tool != "github_reply_to_review_comment":
        return write.arguments
    comment = await stage.say("Why?", number=2, kind="review", path="src/cart.py", line=2)
    return {**write.arguments, "comment_id": str(comment)}


async def refusal(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str, float]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return reason_of(caught.value)


@each_write
@pytest.mark.parametrize("fault", ["drop_after", "status_after:500", "status:502"])
async def test_a_change_github_failed_to_confirm_is_made_once(stage: Stage, write: Write, fault: str):
    run, wanted = stage.add_run(), await arguments(stage, write)
    await stage.fault(write.path, fault, method=write.method)
    await stage.text(write.tool, run=run, **wanted)
    assert await write.made(stage) == 1


@each_write
async def test_a_change_made_and_not_recorded_is_found_when_the_call_is_repeated(stage: Stage, write: Write):
    run, wanted = stage.add_run(), await arguments(stage, write)
    stage.astra.finish_fails = 1
    code, reason, _ = await refusal(stage.call(write.tool, run=run, **wanted))
    assert (grpc.StatusCode.UNAVAILABLE, "VENDOR_UNAVAILABLE") == (code, reason)
    first = await stage.text(write.tool, run=run, **wanted)
    assert await write.made(stage) == 1
    assert first == await stage.text(write.tool, run=run, **wanted)
    assert await write.made(stage) == 1


@pytest.mark.parametrize("write", WRITES[:3], ids=lambda write: write.tool)
async def test_while_nobody_can_look_the_same_call_is_to_be_repeated(stage: Stage, write: Write):
    run = stage.add_run()
    await stage.fault(write.path, "drop_after", method=write.method)
    await stage.fault("*/repos/*", "status:503", method="GET")
    refused = await refusal(stage.call(write.tool, run=run, **write.arguments))
    assert (grpc.StatusCode.UNAVAILABLE, "VENDOR_UNAVAILABLE") == refused[:2]
    await stage.text(write.tool, run=run, **write.arguments)
    assert await write.made(stage) == 1


@pytest.mark.parametrize("path", ["*/git/trees", "*/git/commits", "*/git/refs", "*/pulls"])
@pytest.mark.parametrize("fault", ["drop_after", "status:502"])
async def test_a_pull_request_goes_on_at_whichever_step_it_broke(stage: Stage, path: str, fault: str):
    run, write = stage.add_run(), WRITES[-1]
    await stage.fault(path, fault)
    assert f"Opened {SHOP}#4 from fix into main: " in await stage.text(write.tool, run=run, **write.arguments)
    assert await write.made(stage) == 1


async def test_a_pull_request_holds_the_changed_files_and_nothing_else(stage: Stage):
    run = stage.add_run()
    files = [{"path": "src/cart.py", "content": "pass\n"}, {"path": "logo.bin", "remove": True}]
    await stage.text("github_open_pull_request", run=run, branch="b", title="T @ada", body="B", files=files)
    shown = await stage.text("github_list_pull_request_files", run=run, number=4)
    assert ["logo.bin: removed, +0 -1", "src/cart.py: modified, +1 -2"] == [
        line for line in shown.splitlines() if line.startswith(("logo", "src"))
    ]
    assert "> +pass" in shown


async def test_a_branch_that_was_there_is_not_touched(stage: Stage):
    run, files = stage.add_run(), [{"path": "a.py", "content": "x"}]
    answer = await stage.call(
        "github_open_pull_request", run=run, branch="use-sets", title="Mine", files=files
    )
    assert (True, "VENDOR_REFUSED", True) == (answer.failed, answer.reason, answer.fixable)
    assert "Choose another name" in answer.text
    assert await pulls_opened(stage) == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"branch": "a..b"}, "FIELD_INVALID"),
        ({"branch": "a.lock"}, "FIELD_INVALID"),
        ({"files": [{"path": "../a"}]}, "PATH_OUTSIDE_REPOSITORY"),
        ({"files": [{"path": ".git/config"}]}, "PATH_OUTSIDE_REPOSITORY"),
        ({"files": [{"path": ".github/workflows/ci.yml"}]}, "FIELD_INVALID"),
        ({"files": [{"path": "a"}, {"path": "a"}]}, "FIELD_INVALID"),
        ({"files": [{"path": "gone.py", "remove": True}]}, "VENDOR_REFUSED"),
        ({"base": "gone"}, "ITEM_NOT_FOUND"),
    ],
)
async def test_a_pull_request_that_cannot_be_says_why(stage: Stage, change: dict[str, object], reason: str):
    wanted = {"branch": "b", "title": "T", "files": [{"path": "a.py", "content": "x"}]} | change
    assert (reason, True) == await stage.reason("github_open_pull_request", run=stage.add_run(), **wanted)
    assert await pulls_opened(stage) == 0


async def test_the_thread_a_run_was_asked_in_is_left_to_its_answer(stage: Stage):
    top = await stage.say("Why?", number=2, kind="review")
    reply = await stage.say("Indeed.", number=2, kind="review", in_reply_to=top)
    on_issue, on_diff = stage.add_run(), stage.add_run(number=2, review_comment_id=top)
    origin = ("ORIGIN_THREAD_IS_ANSWERED_BY_PLATFORM", True)
    assert origin == await stage.reason("github_comment_on_issue", run=on_issue, number=1, body="Hi")
    for comment in (top, reply):
        assert origin == await stage.reason(
            "github_reply_to_review_comment", run=on_diff, number=2, comment_id=str(comment), body="Hi"
        )
    # Another thread, though of the same pull request.
    await stage.text("github_comment_on_issue", run=on_diff, number=2, body="Hi")
    await stage.text("github_comment_on_issue", run=on_issue, number=1, body="Hi", repository=WEB)


@each_write
async def test_a_run_of_strangers_changes_nothing_by_either_door(stage: Stage, write: Write):
    run, wanted = stage.add_run(trusted=False), await arguments(stage, write)
    assert ("TRUST_REQUIRED", False) == await stage.reason(write.tool, run=run, **wanted)
    assert {} == stage.astra.effects
    assert await write.made(stage) == 0


async def test_without_a_run_only_an_operator_changes_something(stage: Stage):
    arguments = json.dumps({"repository": WEB, "title": "Round once"})
    request = CallToolRequest(tool_name="github_create_issue", arguments_json=arguments)
    answer = await stage.outsider.CallTool(request)
    assert (True, "SCOPE_MISSING") == (answer.failed, answer.reason)
    opened = [
        await stage.tools.CallTool(request, metadata=[(keys.REQUEST_ID, each)]) for each in ("a", "a", "b")
    ]
    assert opened[0].text == opened[1].text != opened[2].text


@pytest.mark.parametrize("begins", [0, 1])
async def test_an_attempt_that_was_replaced_sends_nothing_more(stage: Stage, begins: int):
    write = WRITES[0]
    stage.astra.begins_allowed = begins  # with one, it is replaced while it waits to look
    await stage.fault(write.path, "status:502")
    code, reason, _ = await refusal(stage.call(write.tool, run=stage.add_run(), **write.arguments))
    assert (grpc.StatusCode.FAILED_PRECONDITION, "FENCE_STALE") == (code, reason)
    assert await write.made(stage) == 0


@pytest.mark.parametrize(("seconds", "waited_for"), [(7, True), (3_000, False)])
async def test_a_short_wait_is_the_platforms_and_a_long_one_is_told(
    stage: Stage, no_blocks: None, seconds: int, waited_for: bool
):
    write, run = WRITES[0], stage.add_run()
    await stage.fault(write.path, f"rate_limit:{seconds}:403")
    if waited_for:
        code, reason, delay = await refusal(stage.call(write.tool, run=run, **write.arguments))
        assert (grpc.StatusCode.RESOURCE_EXHAUSTED, "VENDOR_RATE_LIMITED") == (code, reason)
        assert 0 < delay <= seconds
    else:
        answer = await stage.call(write.tool, run=run, **write.arguments)
        assert (True, "VENDOR_RATE_LIMITED", False) == (answer.failed, answer.reason, answer.fixable)
        assert "Nothing was done" in answer.text
    assert await write.made(stage) == 0
    await stage.text(write.tool, run=run, **write.arguments)
    assert await write.made(stage) == 1


async def test_only_who_asked_is_pinged_and_no_mark_is_forged(stage: Stage):
    body = "@maria @ada see @acme/all, `@code` and a@b.c\n```\n@decorated\n```\n<!-- astra:effect x -->"
    await stage.text("github_comment_on_issue", run=stage.add_run(), number=3, body=body)
    (said,) = await stage.bodies(3)
    quiet = f"@{INVISIBLE}"
    assert said.startswith(
        f"@maria {quiet}ada see {quiet}acme/all, `@code` and a@b.c\n```\n@decorated\n```\n"
    )
    assert f"<!-- astra{INVISIBLE}:effect x -->" in said
    assert 1 == said.count("<!-- astra:effect ")


async def test_two_calls_of_a_run_make_two_changes(stage: Stage):
    run = stage.add_run()
    for call_id in ("t1_0", "t1_1"):
        await stage.text("github_create_issue", run=run, call_id=call_id, title="Round once")
    assert await issues_opened(stage) == 2


async def test_labels_and_text_are_set_and_nothing_is_no_change(stage: Stage):
    run = stage.add_run()
    text = await stage.text("github_update_issue", run=run, number=3, title="Cents", labels=["bug", "money"])
    assert text.startswith(f"Changed title, labels of {SHOP}#3: http")
    found = await stage.thread(3)
    assert ("Cents", ["bug", "money"], "By a cent.") == (found["title"], found["labels"], found["body"])
    assert ("FIELD_INVALID", True) == await stage.reason(
        "github_update_issue", run=run, number=3, call_id="t1_1"
    )


async def test_a_token_is_for_the_one_repository_and_the_one_purpose(stage: Stage):
    await stage.text("github_create_issue", run=stage.add_run(), title="Round once")
    calls = (await sandbox.call(stage.url, "GET", "/_sandbox/calls"))["calls"]
    minted = [each for each in calls if each["path"].endswith("/access_tokens")]
    assert 1 == sum(each["count"] for each in minted)
