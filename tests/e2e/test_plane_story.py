"""One comment on a Plane work item, from the signed webhook to the posted answer."""

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


class Project:
    """The project that belongs to the story's repository."""

    def __init__(self, told: Story) -> None:
        self._told = told

    async def admin(self, method: str, path: str, body: dict[str, object] | None = None) -> Any:
        return await sandbox.call(self._told.sandbox_url, method, f"/_sandbox/plane/{path}", body)

    async def file(self, text: str = "") -> dict[str, Any]:
        body: dict[str, object] = {"project": self._told.slug, "name": "Carts are slow", "text": text}
        return await self.admin("POST", "work-items", body)

    async def comment(self, item: dict[str, Any], text: str, **more: object) -> dict[str, Any]:
        return await self.admin("POST", "comments", {"work_item": item["work_item"], "text": text, **more})

    async def comments(self, item: dict[str, Any]) -> list[dict[str, Any]]:
        return (await self.admin("GET", f"threads/{item['work_item']}"))["comments"]

    async def tell_as(self, version: str) -> None:
        url = f"{self._told.stack.gateway_url}/webhooks/plane"
        await self.admin("PUT", "webhook", {"url": url, "version": version})


@pytest.fixture
def plane(story, repository: Path):
    @asynccontextmanager
    async def run(**more: Any) -> AsyncIterator[tuple[Story, Project]]:
        async with story(**more) as told:
            request = repository_service_pb2.RegisterRepositoryRequest(
                slug=told.slug, clone_url=str(repository), source_containers=containers(told.slug)
            )
            await told.clients.repositories.RegisterRepository(request)
            yield told, Project(told)

    return run


async def test_work_items_and_comments_of_both_generations_get_one_labelled_answer_each(plane):
    async with plane() as (told, project):
        item = await project.file("@atlas how is the cart built?")
        await told.settled()
        await project.tell_as("v2")
        asked = await project.comment(item, "@atlas and who pays?")
        await told.settled(events=2)
        await project.comment(item, "thanks, ada")
        await told.until("SELECT id FROM webhook_deliveries WHERE outcome_reason = %s", "NOT_ADDRESSED")
        runs = await told.settled(events=2)
        comments = await project.comments(item)
        posts = await told.rows("SELECT url FROM thread_posts")

    assert [202] == [each["status_code"] for each in asked["deliveries"]]
    assert ["success", "success"] == [each["outcome"] for each in runs]
    assert [True, False, True, False] == [each["by_app"] for each in comments]
    answers = [each for each in comments if each["by_app"]]
    assert all(each["text"].startswith("[T0] The shop is small") for each in answers)
    assert {"astra"} == {each["external_source"] for each in answers}
    assert {each["permalink"] for each in answers} == {each["url"] for each in posts}


async def test_our_own_answer_and_strangers_start_nothing(plane):
    async with plane(script=[{"text": "ask @atlas again"}]) as (told, project):
        item = await project.file("@atlas how is the cart built?")
        await told.settled()
        await project.comment(item, "@atlas why?", author="eve", standing="external")
        for reason in ("SELF_AUTHORED", "AUTHOR_WITHOUT_STANDING"):
            await told.until("SELECT id FROM webhook_deliveries WHERE outcome_reason = %s", reason)
        runs = await told.settled()

    assert 1 == len(runs)


async def test_a_comment_whose_webhook_was_lost_is_answered_once_found(plane):
    async with plane(CATCH_UP_INTERVAL_SECONDS="1") as (told, project):
        await told.until("SELECT cursor FROM source_cursors WHERE source = 'plane' AND cursor <> ''")
        item = await project.file()
        await project.comment(item, "@atlas how is the cart built?", deliver=False)
        runs = await told.settled()
        comments = await project.comments(item)

    assert ["success"] == [each["outcome"] for each in runs]
    assert [False, True] == [each["by_app"] for each in comments]
