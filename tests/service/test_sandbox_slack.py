"""The Slack stand-in, driven by Slack's own SDK."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.signature import SignatureVerifier
from slack_sdk.web.async_client import AsyncWebClient

from tests.service.slack_stage import SECRET, TOKEN, SlackStage, slack_stage

BOT = "U0ATLAS"


@pytest.fixture
async def stage() -> AsyncIterator[SlackStage]:
    async with slack_stage() as stage:
        yield stage


@pytest.fixture
def bot(stage: SlackStage) -> AsyncWebClient:
    return client(stage)


def client(stage: SlackStage, token: str = TOKEN) -> AsyncWebClient:
    return AsyncWebClient(token=token, base_url=f"{stage.url}/slack/api/", retry_handlers=[])


async def refusal(call) -> str:
    with pytest.raises(SlackApiError) as caught:
        await call
    return caught.value.response["error"]


async def test_events_are_signed_as_slacks_own_verifier_wants_it(stage):
    await stage.say()
    event = await stage.receiver.next()

    assert SignatureVerifier(SECRET).is_valid_request(event.body, dict(event.headers))
    assert not SignatureVerifier("another").is_valid_request(event.body, dict(event.headers))


async def test_a_mention_in_a_channel_is_two_events_of_one_message(stage):
    said = await stage.say("@atlas why?")
    told = [json.loads((await stage.receiver.next()).body) for _ in range(2)]

    assert ["message", "app_mention"] == [each["event"]["type"] for each in told]
    assert {said["ts"]} == {each["event"]["ts"] for each in told}
    assert {f"<@{BOT}> why?"} == {each["event"]["text"] for each in told}
    assert told[0]["event_id"] != told[1]["event_id"]
    assert "channel_type" not in told[1]["event"]
    assert [(BOT, True)] == [(each["user_id"], each["is_bot"]) for each in told[0]["authorizations"]]


async def test_a_direct_message_is_one_event(stage):
    await stage.say("@atlas why?", channel="@maria")
    told = json.loads((await stage.receiver.next()).body)

    assert ("message", "im") == (told["event"]["type"], told["event"]["channel_type"])
    assert stage.receiver.queue.empty()


async def test_an_event_that_is_not_taken_comes_three_times_more_and_says_so(stage):
    stage.receiver.statuses = [500, 503, 500, 500, 500]
    await stage.say()
    came = [await stage.receiver.next() for _ in range(4)]

    assert [None, "1", "2", "3"] == [each.headers.get("X-Slack-Retry-Num") for each in came]
    assert ["http_error"] * 3 == [each.headers["X-Slack-Retry-Reason"] for each in came[1:]]
    assert 1 == len({each.body for each in came})
    assert all(SignatureVerifier(SECRET).is_valid_request(each.body, dict(each.headers)) for each in came)


async def test_an_event_that_is_taken_comes_once(stage):
    stage.receiver.statuses = [500]
    await stage.say()
    await stage.say("later")
    came = [json.loads((await stage.receiver.next()).body)["event"]["text"] for _ in range(3)]

    assert sorted(came) == ["hello", "hello", "later"]
    assert stage.receiver.queue.empty()


async def test_edits_deletions_and_reactions_are_told_as_slack_tells_them(stage):
    said = await stage.say()
    await stage.admin("PUT", "/slack/messages", channel="shop", ts=said["ts"], text="changed")
    await stage.admin("POST", "/slack/reactions", channel="shop", ts=said["ts"], name="atlas")
    await stage.admin("PUT", "/slack/messages", channel="shop", ts=said["ts"])
    _, changed, reacted, deleted = [json.loads((await stage.receiver.next()).body)["event"] for _ in range(4)]

    assert ("message_changed", "changed") == (changed["subtype"], changed["message"]["text"])
    assert ("message_deleted", said["ts"]) == (deleted["subtype"], deleted["deleted_ts"])
    item = {"type": "message", "channel": said["channel"], "ts": said["ts"]}
    assert ("atlas", item) == (reacted["reaction"], reacted["item"])
    assert {"text", "thread_ts"}.isdisjoint(reacted)


async def test_the_challenge_must_come_back(stage):
    assert (await stage.admin("POST", "/slack/challenge"))["verified"]
    stage.receiver.statuses = [401]
    assert not (await stage.admin("POST", "/slack/challenge"))["verified"]


async def test_the_bot_answers_in_a_thread_with_metadata_and_hears_of_itself(stage, bot):
    said = await stage.say("@atlas why?")
    metadata = {"event_type": "astra_post", "event_payload": {"thread_post_id": "one"}}
    posted = await bot.chat_postMessage(
        channel=said["channel"], text="Because.", thread_ts=said["ts"], metadata=metadata
    )
    events = [json.loads((await stage.receiver.next()).body)["event"] for _ in range(3)]
    found = await bot.conversations_replies(channel=said["channel"], ts=said["ts"], include_all_metadata=True)
    bare = await bot.conversations_replies(channel=said["channel"], ts=said["ts"])

    assert [posted["ts"]] == [each["ts"] for each in events if each.get("bot_id")]
    assert metadata == found["messages"][1]["metadata"]
    assert "metadata" not in bare["messages"][1]
    assert [False, True] == [each["by_app"] for each in await stage.thread(said)]


async def test_the_replies_of_a_reply_are_itself_alone(stage, bot):
    said = await stage.say()
    reply = await stage.say("below", thread_ts=said["ts"])
    found = await bot.conversations_replies(channel=said["channel"], ts=reply["ts"])

    assert [(reply["ts"], said["ts"])] == [(each["ts"], each["thread_ts"]) for each in found["messages"]]


async def test_threads_come_in_pages_with_a_cursor_and_within_times(stage, bot):
    said = await stage.say()
    replies = [await stage.say(f"{n}", thread_ts=said["ts"]) for n in range(5)]
    channel = said["channel"]
    first = await bot.conversations_replies(channel=channel, ts=said["ts"], limit=4)
    cursor = first["response_metadata"]["next_cursor"]
    second = await bot.conversations_replies(channel=channel, ts=said["ts"], limit=4, cursor=cursor)
    since = await bot.conversations_replies(channel=channel, ts=said["ts"], oldest=replies[3]["ts"])

    assert (4, True, 2, False) == (
        len(first["messages"]),
        first["has_more"],
        len(second["messages"]),
        second["has_more"],
    )
    assert [said["ts"], replies[4]["ts"]] == [each["ts"] for each in since["messages"]]
    history = await bot.conversations_history(channel=channel, latest=said["ts"], inclusive=True)
    assert [said["ts"]] == [each["ts"] for each in history["messages"]]


async def test_people_are_described_with_what_they_are_to_the_workspace(stage, bot):
    await stage.say(author="eve", standing="external")
    outsider = json.loads((await stage.receiver.next()).body)
    user = (await bot.users_info(user=outsider["event"]["user"]))["user"]

    assert outsider["is_ext_shared_channel"]
    assert user["team_id"] == outsider["event"]["team"] != outsider["team_id"]


@pytest.mark.parametrize(
    ("method", "arguments", "error"),
    [
        ("chat.postMessage", {"channel": "C0", "text": "x"}, "channel_not_found"),
        ("chat.postMessage", {"chanel": "C0", "text": "x"}, "invalid_arguments"),
        ("chat.postMessage", {"text": "x"}, "invalid_arguments"),
        ("reactions.add", {"channel": "C0", "name": "eyes", "timestamp": "soon"}, "invalid_arguments"),
        ("users.info", {"user": "U0"}, "user_not_found"),
        ("chat.unheardOf", {}, "unknown_method"),
    ],
)
async def test_a_call_slack_would_refuse_is_refused(stage, bot, method, arguments, error):
    assert error == await refusal(bot.api_call(method, json=arguments))


async def test_only_the_bots_token_is_let_in(stage):
    assert "invalid_auth" == await refusal(client(stage, "xoxb-another").auth_test())
    assert (await client(stage).auth_test())["user_id"] == BOT


async def test_a_reaction_is_taken_once(stage, bot):
    said = await stage.say()
    await bot.reactions_add(channel=said["channel"], timestamp=said["ts"], name="eyes")
    again = bot.reactions_add(channel=said["channel"], timestamp=said["ts"], name="eyes")

    assert "already_reacted" == await refusal(again)
    assert {"eyes": ["atlas"]} == (await stage.thread(said))[0]["reactions"]


@pytest.mark.parametrize(
    ("action", "status", "posts"),
    [("rate_limit:7", 429, 0), ("status:500", 500, 0), ("status_after:500", 500, 1)],
)
async def test_a_fault_fails_in_slacks_words_before_or_after_the_work(stage, bot, action, status, posts):
    said = await stage.say()
    await stage.fault("chat.postMessage", action)
    with pytest.raises(SlackApiError) as caught:
        await bot.chat_postMessage(channel=said["channel"], text="x", thread_ts=said["ts"])

    assert status == caught.value.response.status_code
    assert ("ratelimited" if status == 429 else "internal_error") == caught.value.response["error"]
    assert posts == len(await stage.thread(said)) - 1


async def test_the_page_shows_a_channel_and_takes_a_message(stage):
    said = await stage.say("first & foremost")
    await stage.receiver.next()
    page = f"{stage.url}/web/slack/archives/{said['channel']}"
    form = {"place": "channel", "author": "ada", "standing": "member", "body": "@atlas why?"}
    async with stage.http.post(page, data=form, allow_redirects=False) as answer:
        assert 303 == answer.status
    told = json.loads((await stage.receiver.next()).body)["event"]
    async with aiohttp.ClientSession() as http, http.get(said["permalink"]) as shown:
        text = await shown.text()

    assert f"<@{BOT}> why?" == told["text"]
    assert "first &amp;amp; foremost" in text
