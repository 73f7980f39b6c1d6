"""One message on Slack, from the signed event to the posted answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from aucert.astra.v1 import repository_service_pb2
from services.cli import sandbox
from services.cli.smoke import containers
from tests.e2e.story import Story

ASKED = {"text": "@atlas how is the cart built?"}


class Channel:
    """The channel that belongs to the story's repository."""

    def __init__(self, told: Story) -> None:
        self._told = told
        self._name = told.slug.replace("/", "-")

    async def act(self, what: str, **body: object) -> dict[str, Any]:
        body = {"channel": self._name, **body}
        return await sandbox.call(self._told.sandbox_url, "POST", f"/_sandbox/slack/{what}", body)

    async def thread(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        path = f"/_sandbox/slack/threads/{message['channel']}/{message['ts']}"
        return (await sandbox.call(self._told.sandbox_url, "GET", path))["messages"]


@pytest.fixture
def slack(story, repository: Path):
    @asynccontextmanager
    async def run(**more: Any) -> AsyncIterator[tuple[Story, Channel]]:
        async with story(**more) as told:
            request = repository_service_pb2.RegisterRepositoryRequest(
                slug=told.slug, clone_url=str(repository), source_containers=containers(told.slug)
            )
            await told.clients.repositories.RegisterRepository(request)
            yield told, Channel(told)

    return run


async def test_a_mention_a_follow_up_and_a_reaction_get_one_labelled_answer_each(slack):
    async with slack() as (told, channel):
        asked = await channel.act("messages", **ASKED)
        await told.settled()
        await channel.act("messages", text="and who pays?", thread_ts=asked["ts"])
        await told.settled(events=2)
        talk = await channel.act("messages", text="carts are slow", author="ada")
        await channel.act("reactions", ts=talk["ts"], name="atlas")
        runs = await told.settled(events=3)
        thread, reacted = await channel.thread(asked), await channel.thread(talk)

    assert [202, 202] == [each["status_code"] for each in asked["deliveries"]]
    assert ["success"] * 3 == [each["outcome"] for each in runs]
    assert [False, True, False, True] == [each["by_app"] for each in thread]
    assert all(each["text"].startswith("[T0] The shop is small") for each in thread if each["by_app"])
    assert [{"eyes": ["atlas"]}, {}] == [each["reactions"] for each in thread[:2]]
    assert [False, True] == [each["by_app"] for each in reacted]


async def test_our_own_answer_and_strangers_start_nothing(slack):
    async with slack(script=[{"text": "ask @atlas <@U0ATLAS> again"}]) as (told, channel):
        await channel.act("messages", **ASKED)
        await told.settled()
        await channel.act("messages", **ASKED, author="eve", standing="external")
        for reason in ("SELF_AUTHORED", "AUTHOR_WITHOUT_STANDING"):
            await told.until("SELECT id FROM webhook_deliveries WHERE outcome_reason = %s", reason)
        runs = await told.settled()

    assert 1 == len(runs)


async def test_a_stop_by_reaction_cuts_a_run_at_work(slack):
    async with slack(script=[{"delay_ms": 30_000, "text": "too late"}]) as (told, channel):
        asked = await channel.act("messages", **ASKED)
        await told.until("SELECT id FROM task_runs WHERE status = 'in_progress'")
        await channel.act("reactions", ts=asked["ts"], name="octagonal_sign")
        (run,) = await told.settled(events=2)
        posts = [each["text"] for each in await channel.thread(asked) if each["by_app"]]

    assert ("cancelled", "STOP_REQUESTED") == (run["outcome"], run["outcome_reason"])
    assert 1 == len(posts)
    assert "too late" not in posts[0]


async def test_a_message_whose_events_were_lost_is_answered_by_catch_up(slack):
    async with slack(CATCH_UP_INTERVAL_SECONDS="0.2") as (told, channel):
        await told.until("SELECT FROM source_cursors WHERE cursor <> ''")
        lost = await channel.act("messages", **ASKED, deliver=False)
        (run,) = await told.settled()
        thread = await channel.thread(lost)

    assert ([], "success") == (lost["deliveries"], run["outcome"])
    assert [False, True] == [each["by_app"] for each in thread]


async def test_a_check_mark_on_an_answer_closes_the_thread_once(slack):
    async with slack() as (told, channel):
        asked = await channel.act("messages", **ASKED)
        await told.settled()
        answer = (await channel.thread(asked))[1]
        await channel.act("reactions", ts=answer["ts"], name="white_check_mark")
        runs = await told.settled(events=2)
        await channel.act("messages", text="/atlas resolve", thread_ts=asked["ts"])
        await told.until("SELECT id FROM webhook_deliveries WHERE outcome_reason = 'ALREADY_RESOLVED'")
        thread = await channel.thread(asked)

    assert ["answer", "resolve_comment"] == [each["operation"] for each in runs]
    assert ["atlas"] == thread[0]["reactions"]["white_check_mark"]
    assert [False, True, True, False] == [each["by_app"] for each in thread]
