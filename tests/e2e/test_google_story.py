"""One comment on a document, from what Google tells to the posted answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from temporalio.client import Client

from aucert.astra.v1 import repository_service_pb2
from aucert.dispatcher.v1 import drive_watch_service_pb2 as watch_pb
from services.cli import sandbox
from services.cli.embedded import EmbeddedTemporal
from services.cli.smoke import containers
from services.common.drive_renewals import SCHEDULE_ID
from services.sandbox.google_domain import file_id
from tests.conftest import PostgresCluster
from tests.e2e.story import PATIENCE_SECONDS, Story

ASKED = "@atlas how is the cart built?"
ALMOST_A_DAY = "23.9999"
"""A look-ahead that makes a file's watch due a moment after it was opened."""


class Document:
    """The document that belongs to the story's repository."""

    def __init__(self, told: Story) -> None:
        self._told = told
        self.id = file_id(told.slug)

    async def call(self, method: str, what: str, **body: object) -> Any:
        path = f"/_sandbox/google-drive/{what}"
        return await sandbox.call(self._told.sandbox_url, method, path, body or None)

    async def comment(self, content: str = ASKED, **more: object) -> dict[str, Any]:
        return await self.call("POST", "comments", file_id=self.id, content=content, **more)

    async def reply(self, comment: dict[str, Any], **more: object) -> dict[str, Any]:
        return await self.call("POST", "replies", file_id=self.id, comment_id=comment["comment_id"], **more)

    async def thread(self, comment: dict[str, Any]) -> Any:
        return await self.call("GET", f"threads/{self.id}/{comment['comment_id']}")

    async def watch(self) -> Any:
        request = watch_pb.RegisterDriveWatchRequest(
            file_id=self.id, public_base_url=self._told.stack.gateway_url
        )
        return (await self._told.clients.watches.RegisterDriveWatch(request)).drive_watch


async def renewed(told: Story, temporal: EmbeddedTemporal) -> None:
    """Have the schedule run until it has replaced a watch."""
    client = await Client.connect(temporal.address)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await told.rows("SELECT FROM drive_watches WHERE stopped_time IS NOT NULL"):
            await client.get_schedule_handle(SCHEDULE_ID).trigger()
            await asyncio.sleep(0.2)


@pytest.fixture
def google(story, repository: Path):
    @asynccontextmanager
    async def run(**more: Any) -> AsyncIterator[tuple[Story, Document]]:
        async with story(**more) as told:
            request = repository_service_pb2.RegisterRepositoryRequest(
                slug=told.slug, clone_url=str(repository), source_containers=containers(told.slug)
            )
            await told.clients.repositories.RegisterRepository(request)
            document = Document(told)
            await document.call("POST", "files", name=told.slug)
            yield told, document

    return run


async def test_watch_and_event_tell_of_one_comment_and_its_thread_gets_one_answer_each(google):
    async with google() as (told, document):
        await document.watch()
        asked = await document.comment(quoted="the cart")
        await told.settled()
        await document.reply(asked, content="and who pays?")
        await told.settled(events=2)
        await document.reply(asked, action="resolve", author="ada")
        runs = await told.settled(events=3)
        thread = await document.thread(asked)
        (message,) = await told.rows("SELECT description FROM thread_events WHERE seq = 1")

    assert [202, 202] == [each["status_code"] for each in asked["deliveries"]]
    assert ["success"] * 3 == [each["outcome"] for each in runs]
    assert ["answer", "answer", "resolve_comment"] == [each["operation"] for each in runs]
    ours = [each["content"] for each in thread["messages"] if each["by_account"]]
    assert ["[T0] The shop is small: see README.md:1."] * 3 == ours
    assert [""] * 3 == [each["action"] for each in thread["messages"] if each["by_account"]]
    assert "the cart" in message["description"]
    assert 1 == len({each["workflow_id"] for each in runs})


async def test_a_command_has_the_comment_resolved_after_the_answer(google):
    async with google() as (told, document):
        asked = await document.comment("/atlas resolve")
        (run,) = await told.settled()
        thread = await document.thread(asked)

    assert ("success", "resolve_comment") == (run["outcome"], run["operation"])
    assert ["", "resolve"] == [each["action"] for each in thread["messages"] if each["by_account"]]
    assert thread["resolved"]


async def test_comments_made_while_a_watch_was_dead_for_an_hour_are_answered_once_the_schedule_renews_it(
    google, postgres: PostgresCluster, temporal: EmbeddedTemporal
):
    async with google() as (told, document):
        await document.watch()
        assert {"expired": 1} == await document.call("DELETE", "channels")
        lost = [await document.comment(deliver=False) for _ in range(2)]
        name = str(conninfo_to_dict(told.stack.operator_database_url)["dbname"])
        async with await psycopg.AsyncConnection.connect(postgres.urls(name).owner) as owner:
            await owner.execute("UPDATE drive_watches SET expiration_time = now() - interval '1 hour'")
        await renewed(told, temporal)
        runs = await told.settled(events=2)
        threads = [await document.thread(each) for each in lost]

    assert ["success"] * 2 == [each["outcome"] for each in runs]
    assert [[False, True]] * 2 == [[each["by_account"] for each in thread["messages"]] for thread in threads]


async def test_a_comment_nobody_told_of_is_answered_by_catch_up(google):
    async with google(CATCH_UP_INTERVAL_SECONDS="0.2") as (told, document):
        lost = await document.comment(deliver=False)
        (run,) = await told.settled()
        thread = await document.thread(lost)

    assert ([], "success") == (lost["deliveries"], run["outcome"])
    assert [False, True] == [each["by_account"] for each in thread["messages"]]


async def test_the_schedule_replaces_a_watch_before_it_ends(google, temporal: EmbeddedTemporal):
    async with google(DRIVE_WATCH_LOOK_AHEAD_HOURS=ALMOST_A_DAY) as (told, document):
        old = await document.watch()
        await renewed(told, temporal)
        rows = await told.rows("SELECT channel_id, stopped_time FROM drive_watches ORDER BY created_time")
        channels = (await document.call("GET", "channels"))["channels"]

    assert old.channel_id == str(rows[0]["channel_id"])
    assert rows[0]["stopped_time"]
    assert str(rows[-1]["channel_id"]) in {each["id"] for each in channels}
    assert old.channel_id not in {each["id"] for each in channels}
