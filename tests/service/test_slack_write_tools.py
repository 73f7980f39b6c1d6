"""The Slack tools that write: once whatever breaks, only where they may, and notifying nobody."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
import pytest_asyncio

from aucert.tools.v1 import slack_service_pb2
from tests.service.slack_tools_stage import WEB, Stage, slack_tools_stage
from tests.service.tools_stage import in_run, reason_of


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Stage, None]:
    """One for all: each test writes into a thread or channel of its own."""
    async with slack_tools_stage(tmp_path_factory.mktemp("workspace")) as stage:
        yield stage


pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Write:
    """A write tool, what it is given besides a message to write to, and how often it was done."""

    tool: str
    method: str
    arguments: Callable[[dict[str, Any]], dict[str, object]]
    made: Callable[[Stage, dict[str, Any]], Awaitable[int]]


async def posted(stage: Stage, message: dict[str, Any]) -> int:
    call = slack_service_pb2.ListChannelHistoryRequest(channel=message["channel"])
    shown = await stage.typed.ListChannelHistory(call, metadata=in_run(stage.add_run()))
    return shown.text.count(" by you at ")


async def replied(stage: Stage, message: dict[str, Any]) -> int:
    return len(await stage.posts(message))


async def reacted(stage: Stage, message: dict[str, Any]) -> int:
    return len((await stage.slack.thread(message))[0]["reactions"].get("tada", []))


WRITES = [
    Write("slack_post_message", "chat.postMessage", lambda said: {"text": "Out."}, posted),
    Write(
        "slack_reply_in_thread",
        "chat.postMessage",
        lambda said: {"text": "Out.", "thread_ts": said["ts"]},
        replied,
    ),
    Write(
        "slack_add_reaction",
        "reactions.add",
        lambda said: {"name": "tada", "message_ts": said["ts"]},
        reacted,
    ),
]
each_write = pytest.mark.parametrize("write", WRITES, ids=lambda write: write.tool)


async def fresh(stage: Stage, write: Write, case: str) -> tuple[str, dict[str, Any], dict[str, object]]:
    """A run, and a message in a channel of its own that it is to write to."""
    name = f"{write.tool.replace('_', '-')}-{case.replace(':', '-').replace('_', '-')}"
    channel, said = stage.register(name), await stage.slack.say("Ready?", channel=name)
    return stage.add_run(), said, {"channel": channel, **write.arguments(said)}


async def refusal(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str, float]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return reason_of(caught.value)


@each_write
@pytest.mark.parametrize("fault", ["drop_after", "status_after:500", "status:502"])
async def test_a_change_slack_failed_to_confirm_is_made_once(stage: Stage, write: Write, fault: str):
    run, said, wanted = await fresh(stage, write, fault)
    await stage.slack.fault(write.method, fault)
    await stage.text(write.tool, run=run, **wanted)
    assert await write.made(stage, said) == 1


@each_write
async def test_a_change_made_and_not_recorded_is_found_when_the_call_is_repeated(stage: Stage, write: Write):
    run, said, wanted = await fresh(stage, write, "unrecorded")
    stage.astra.finish_fails = 1
    code, reason, _ = await refusal(stage.call(write.tool, run=run, **wanted))
    assert (grpc.StatusCode.UNAVAILABLE, "VENDOR_UNAVAILABLE") == (code, reason)
    first = await stage.text(write.tool, run=run, **wanted)
    assert first == await stage.text(write.tool, run=run, **wanted)
    assert await write.made(stage, said) == 1


@each_write
async def test_while_nobody_can_look_the_same_call_is_to_be_repeated(stage: Stage, write: Write):
    run, said, wanted = await fresh(stage, write, "away")
    await stage.slack.fault(write.method, "drop_after")
    if write.tool != "slack_post_message":
        await stage.slack.fault("conversations.replies", "delay:0")  # the look before it is sent
    await stage.slack.fault("conversations.*", "status:503")
    code, reason, _ = await refusal(stage.call(write.tool, run=run, **wanted))
    assert (grpc.StatusCode.UNAVAILABLE, "VENDOR_UNAVAILABLE") == (code, reason)
    await stage.text(write.tool, run=run, **wanted)
    assert await write.made(stage, said) == 1


@each_write
async def test_a_run_of_strangers_writes_nothing(stage: Stage, write: Write):
    _, said, wanted = await fresh(stage, write, "stranger")
    stranger = stage.add_run(trusted=False)
    assert await stage.reason(write.tool, run=stranger, **wanted) == ("TRUST_REQUIRED", False)
    assert await write.made(stage, said) == 0


@pytest.mark.parametrize("write", WRITES[1:], ids=lambda write: write.tool)
async def test_the_thread_a_run_was_asked_in_is_left_to_its_answer(stage: Stage, write: Write):
    root = await stage.slack.say("@atlas why?", channel="origin")
    reply = await stage.slack.say("Indeed.", channel="origin", thread_ts=root["ts"])
    channel = stage.register("origin")
    run = stage.add_run(channel=channel, thread_ts=root["ts"])
    origin = ("ORIGIN_THREAD_IS_ANSWERED_BY_PLATFORM", True)
    for number, message in enumerate((root, reply)):
        assert await stage.reason(
            write.tool, run=run, call_id=f"t1_{number}", **write.arguments(message)
        ) == (origin)
    # Another thread, though of the same channel.
    other = await stage.slack.say("And this?", channel="origin")
    await stage.text(write.tool, run=run, call_id="t2_0", **write.arguments(other))
    assert await write.made(stage, root) == 0
    assert await write.made(stage, other) == 1


async def test_a_reply_to_a_reply_goes_below_the_first_message(stage: Stage):
    root = await stage.slack.say("Why?", channel="web")
    reply = await stage.slack.say("Indeed.", channel="web", thread_ts=root["ts"])
    told = await stage.text(
        "slack_reply_in_thread", run=stage.add_run(), channel=WEB, thread_ts=reply["ts"], text="So."
    )
    (post,) = await stage.posts(root)
    assert (post["thread_ts"], f"Replied {post['ts']}: {post['permalink']}") == (root["ts"], told)


async def test_what_a_model_writes_notifies_nobody(stage: Stage):
    root = await stage.slack.say("Why?", channel="web")
    text = "<!channel> <!here|x> <!subteam^S012|@ops> <@U0MARIA> @everyone @here **so** `<!channel>`"
    await stage.text(
        "slack_reply_in_thread", run=stage.add_run(), channel=WEB, thread_ts=root["ts"], text=text
    )
    (post,) = await stage.posts(root)
    assert "<" not in post["text"]
    assert not re.search(r"@(everyone|here|channel)", post["text"])
    assert "*so* `&lt;!channel&gt;`" in post["text"]


async def test_a_reaction_that_is_there_already_is_done(stage: Stage):
    said, run = await stage.slack.say("Ready?", channel="web"), stage.add_run()
    for call_id in ("t1_0", "t1_1"):
        told = await stage.text(
            "slack_add_reaction", run=run, call_id=call_id, channel=WEB, message_ts=said["ts"], name="tada"
        )
        assert told == f"Reacted with :tada: to {said['permalink']}"
    assert await reacted(stage, said) == 1


@pytest.mark.parametrize(("seconds", "waited_for"), [(7, True), (3_000, False)])
async def test_a_short_wait_is_the_platforms_and_a_long_one_is_told(
    stage: Stage, no_blocks: None, seconds: int, waited_for: bool
):
    write = WRITES[0]
    run, said, wanted = await fresh(stage, write, f"limit-{seconds}")
    await stage.slack.fault(write.method, f"rate_limit:{seconds}")
    if waited_for:
        code, reason, delay = await refusal(stage.call(write.tool, run=run, **wanted))
        assert (grpc.StatusCode.RESOURCE_EXHAUSTED, "VENDOR_RATE_LIMITED", seconds) == (code, reason, delay)
    else:
        answer = await stage.call(write.tool, run=run, **wanted)
        assert (True, "VENDOR_RATE_LIMITED", False) == (answer.failed, answer.reason, answer.fixable)
    assert await write.made(stage, said) == 0
    await stage.text(write.tool, run=run, **wanted)
    assert await write.made(stage, said) == 1
