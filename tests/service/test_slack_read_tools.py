"""The Slack tools that read: what a model is told, where it may look, and how long results go on."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from aucert.common.v1.thread_pb2 import SOURCE_GITHUB, GitHubThread, ThreadAddress
from aucert.tools.v1 import slack_service_pb2, tool_service_pb2
from services.sandbox.slack_domain import channel_id, stable_id
from services.tools.repo_pages import TEXT_BYTES_MAX
from tests.service.slack_tools_stage import SECRET, SHOP, WEB, Stage, slack_tools_stage
from tests.service.tools_stage import in_run, reason_of

CONTINUED = re.compile(r'continuation "([^"]+)"')
MARIA = stable_id("U", "maria")
NOWHERE = "CONTAINER_NOT_REGISTERED", True


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Stage, None]:
    """One for all: each test writes into a thread or channel of its own."""
    async with slack_tools_stage(tmp_path_factory.mktemp("workspace")) as stage:
        yield stage


pytestmark = pytest.mark.asyncio(loop_scope="module")
READS: dict[str, dict[str, object]] = {
    "slack_get_thread": {},
    "slack_get_user": {"user": MARIA},
    "slack_list_channel_history": {},
}


@pytest.mark.parametrize("tool", READS)
async def test_each_tool_answers_about_where_the_run_was_asked_and_a_stranger_may_read_that(
    stage: Stage, tool: str
):
    known, stranger = stage.add_run(), stage.add_run(trusted=False)
    told = await stage.text(tool, run=known, **READS[tool])
    assert told == await stage.text(tool, run=stranger, **READS[tool])


async def test_channels_are_listed_that_are_registered_and_have_the_app(stage: Stage):
    await stage.slack.admin("POST", "/slack/channels", name="web", topic="All of <web>", is_private=True)
    told = await stage.text("slack_list_channels", run=stage.add_run())
    assert told.splitlines() == [
        "Channels of Slack that are open to you: 2.",
        f"{SHOP}  #shop",
        f"{WEB}  #web  private",
        "topic:",
        "> All of <web>",
    ]
    stranger = await stage.text("slack_list_channels", run=stage.add_run(trusted=False))
    assert [SHOP] == re.findall(r"^(C\w+)  #", stranger, re.MULTILINE)


async def test_a_channel_without_the_app_is_told_of_and_cannot_be_read(tmp_path: Path):
    async with slack_tools_stage(tmp_path) as stage:
        await stage.slack.admin("POST", "/slack/channels", name="web", joined=False)
        run = stage.add_run()
        told = await stage.text("slack_list_channels", run=run)
        assert "1 more are registered, but the app is not in them." in told
        refused = await stage.call("slack_list_channel_history", run=run, channel=WEB)
        assert (refused.failed, refused.reason, refused.fixable) == (True, "VENDOR_REFUSED", True)
        assert "invite it" in refused.text


async def test_a_channels_messages_are_shown_newest_first_and_quoted(stage: Stage):
    name = "history"
    channel = stage.register(name)
    first = await stage.slack.say("One\nTwo <b>", channel=name, author="ada")
    await stage.slack.say("Below", channel=name, thread_ts=first["ts"])
    await stage.slack.admin("POST", "/slack/reactions", channel=name, ts=first["ts"], name="eyes")
    second = await stage.slack.say("@atlas and?", channel=name)
    told = await stage.text("slack_list_channel_history", run=stage.add_run(), channel=channel)
    newest, oldest = told.index(second["ts"]), told.index(f"{first['ts']} by ada ({stable_id('U', 'ada')})")
    assert newest < oldest
    assert ", 1 replies, reactions :eyes: 1:\n> One\n> Two <b>\n" in told
    assert "> @atlas and?" in told
    assert "Below" not in told


@pytest.mark.parametrize(
    ("times", "found"),
    [
        ({}, True),
        ({"oldest": "2020-01-01T00:00:00Z", "latest": "2100-01-01"}, True),
        ({"oldest": "2100-01-01T00:00:00+00:00"}, False),
        ({"latest": "2020-01-01"}, False),
    ],
)
async def test_history_is_read_between_times(stage: Stage, times: dict[str, str], found: bool):
    told = await stage.text("slack_list_channel_history", run=stage.add_run(), **times)
    assert found == (stage.asked["ts"] in told)


async def test_a_long_channel_goes_on_until_all_of_it_was_shown_once(stage: Stage):
    name = "long"
    channel, run = stage.register(name), stage.add_run()
    texts = ["é" * 900 + "\n" * 3 + f"end {number}" for number in range(40)]
    said = [await stage.slack.say(text, channel=name, deliver=False) for text in texts]
    shown, continuation, pages = "", "", 0
    while pages == 0 or continuation:
        more = {"continuation": continuation} if continuation else {}
        told = await stage.text("slack_list_channel_history", run=run, channel=channel, **more)
        assert len(told.encode()) <= TEXT_BYTES_MAX
        found = CONTINUED.search(told)
        shown, continuation, pages = shown + told, found[1] if found else "", pages + 1
    assert pages > 2
    assert re.findall(r"> end (\d+)", shown) == [str(number) for number in reversed(range(40))]
    assert [each["ts"] for each in reversed(said)] == re.findall(r"^(\d+\.\d+) by", shown, re.MULTILINE)
    assert await stage.reason(
        "slack_list_channel_history", run=run, channel=channel, oldest="2020-01-01", continuation="1-0" * 6
    ) == ("CONTINUATION_INVALID", True)


async def test_a_thread_is_read_by_any_of_its_messages_and_goes_on(stage: Stage):
    name = "threads"
    channel, run = stage.register(name), stage.add_run()
    root = await stage.slack.say("Root", channel=name)
    long = "x" * 4_000
    replies = [
        await stage.slack.say(f"{number} {long}", channel=name, thread_ts=root["ts"]) for number in range(10)
    ]
    wanted: dict[str, object] = {"channel": channel, "thread_ts": replies[3]["ts"]}
    first = await stage.text("slack_get_thread", run=run, **wanted)
    assert first.startswith(f"Thread {root['ts']} in {channel}, oldest first:\n{root['ts']} by maria")
    found = CONTINUED.search(first)
    assert found
    second = await stage.text("slack_get_thread", run=run, continuation=found[1], **wanted)
    assert re.findall(r"> (\d) x", first + second) == [str(number) for number in range(10)]
    assert "Root" not in second


async def test_somebody_is_described(stage: Stage):
    await stage.slack.say("hello", author="eve", standing="external")
    told = await stage.text("slack_get_user", run=stage.add_run(), user=stable_id("U", "eve"))
    assert told.splitlines() == [
        f"eve ({stable_id('U', 'eve')})",
        "full name: Eve",
        "time zone: Europe/Berlin",
        "here as: external",
    ]


async def test_what_is_not_on_the_allow_list_is_neither_read_nor_written(stage: Stage):
    said, direct = await stage.slack.say(channel="secret"), await stage.slack.say(channel="@ada")
    run = stage.add_run()
    for channel, ts in ((SECRET, said["ts"]), (direct["channel"], direct["ts"])):
        assert await stage.reason("slack_list_channel_history", run=run, channel=channel) == NOWHERE
        assert await stage.reason("slack_get_thread", run=run, channel=channel, thread_ts=ts) == NOWHERE
        for tool, more in (
            ("slack_post_message", {"text": "Hi"}),
            ("slack_reply_in_thread", {"text": "Hi", "thread_ts": ts}),
            ("slack_add_reaction", {"name": "eyes", "message_ts": ts}),
        ):
            assert await stage.reason(tool, run=run, call_id=f"{tool}{channel}", channel=channel, **more) == (
                NOWHERE
            )
    assert len(await stage.slack.thread(said)) == 1


async def test_a_run_of_strangers_reads_where_it_was_asked_and_nowhere_else(stage: Stage):
    stranger = stage.add_run(trusted=False)
    assert await stage.reason("slack_list_channel_history", run=stranger, channel=WEB) == NOWHERE
    elsewhere = stage.astra.add_run(
        None,
        source=SOURCE_GITHUB,
        address=ThreadAddress(github=GitHubThread(repository="acme/shop", repository_id=1, number=1)),
    )
    for tool, more in (
        ("slack_list_channel_history", {"channel": SHOP}),
        ("slack_get_user", {"user": MARIA}),
    ):
        assert await stage.reason(tool, run=elsewhere, **more) == NOWHERE
    assert "open to you: 0." in await stage.text("slack_list_channels", run=elsewhere)


async def test_direct_messages_are_read_by_their_own_run_and_left_to_its_answer(stage: Stage):
    said = await stage.slack.say("@atlas why?", channel="@maria")
    run = stage.add_run(channel=channel_id("@maria"), thread_ts=said["ts"])
    assert "> @atlas why?" in await stage.text("slack_list_channel_history", run=run)
    origin = ("ORIGIN_THREAD_IS_ANSWERED_BY_PLATFORM", True)
    assert await stage.reason("slack_post_message", run=run, text="Hi") == origin
    assert len(await stage.slack.thread(said)) == 1


@pytest.mark.parametrize(
    ("tool", "arguments", "reason"),
    [
        ("slack_get_thread", {"channel": WEB}, "FIELD_INVALID"),
        ("slack_get_thread", {"thread_ts": "1600000000.000001"}, "ITEM_NOT_FOUND"),
        ("slack_get_user", {"user": "U0NOBODY"}, "ITEM_NOT_FOUND"),
        ("slack_list_channel_history", {"oldest": "yesterday"}, "FIELD_INVALID"),
        ("slack_post_message", {"text": "&" * 9_000}, "FIELD_INVALID"),
        ("slack_reply_in_thread", {"thread_ts": "1600000000.000001", "text": "Hi"}, "ITEM_NOT_FOUND"),
        ("slack_add_reaction", {"message_ts": "1600000000.000001", "name": "eyes"}, "ITEM_NOT_FOUND"),
    ],
)
async def test_what_cannot_be_done_says_why(
    stage: Stage, tool: str, arguments: dict[str, object], reason: str
):
    assert await stage.reason(tool, run=stage.add_run(), **arguments) == (reason, True)


async def test_without_a_run_a_channel_must_be_named(stage: Stage):
    assert await stage.reason("slack_list_channel_history", run="") == ("FIELD_INVALID", True)
    assert stage.asked["ts"] in await stage.text("slack_list_channel_history", run="", channel=SHOP)


async def test_the_typed_rpc_answers_the_same_with_typed_fields(stage: Stage):
    run = stage.add_run()
    request = slack_service_pb2.GetThreadRequest(channel=SHOP, thread_ts=stage.asked["ts"])
    typed = await stage.typed.GetThread(request, metadata=in_run(run))
    assert typed.text == await stage.text("slack_get_thread", run=run)
    assert (stage.asked["ts"], MARIA) == (typed.messages[0].ts, typed.messages[0].author_id)
    assert stage.asked["permalink"] == typed.messages[0].url
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stage.typed.ListChannelHistory(
            slack_service_pb2.ListChannelHistoryRequest(channel=SECRET), metadata=in_run(run)
        )
    assert (grpc.StatusCode.NOT_FOUND, "CONTAINER_NOT_REGISTERED") == reason_of(caught.value)[:2]


async def test_without_credentials_the_tools_of_plane_are_absent_and_say_why(stage: Stage):
    listed = await stage.tools.ListTools(tool_service_pb2.ListToolsRequest())
    assert 7 == sum(each.name.startswith("slack_") for each in listed.tools)
    (absent,) = [each for each in listed.absent if each.integration == "plane"]
    assert (7, "PLANE_API_KEY is not set") == (absent.tool_count, absent.off_reason)
    assert await stage.reason("plane_get_issue", run=stage.add_run()) == ("SOURCE_OFF", False)
