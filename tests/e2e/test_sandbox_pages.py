"""A person types a comment on the stand-in's page of each source and sees the answer arrive there."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import aiohttp

from aucert.astra.v1.repository_service_pb2 import RegisterRepositoryRequest
from services.cli.smoke import SOURCES, containers
from tests.e2e.story import PATIENCE_SECONDS, Story

ASKED = "how is the cart built?"
ANSWER = "[T0] The shop is small: see README.md:1."
PLACE = re.compile(r'<select name="place"><option value="([^"]*)"')
STANDING = re.compile(r'<select name="standing"><option>([^<]*)<')
POST = re.compile(r'<article id="[^"]*" class="(bot|person)">.*?<pre>(.*?)</pre>', re.DOTALL)


async def test_what_a_person_types_on_each_page_is_answered_on_that_page(story, repository: Path):
    async with story() as told, aiohttp.ClientSession() as browser:
        request = RegisterRepositoryRequest(
            slug=told.slug, clone_url=str(repository), source_containers=containers(told.slug)
        )
        await told.clients.repositories.RegisterRepository(request)
        pages = await invited(told)
        for page in pages:
            await comment(browser, page)
        shown = [await answered(browser, page) for page in pages]

    assert 4 == len(shown)
    assert [("person", True)] * 4 == [(kind, ASKED in words) for (kind, words), _ in shown]
    assert [("bot", ANSWER)] * 4 == [(kind, words.partition("\n")[0]) for _, (kind, words) in shown]


async def invited(told: Story) -> list[str]:
    """The pages of the stand-in that `astra up` tells people to try."""
    invitations = [await source.invite(told.stack, told.slug) for source in SOURCES.values()]
    return re.findall(rf"{re.escape(told.sandbox_url)}/web/[^\s;]*[^\s;.]", " ".join(invitations))


async def comment(browser: aiohttp.ClientSession, page: str) -> None:
    """Fill the form in, with what it begins with where a person would leave it so, and send it."""
    async with browser.get(page) as answer:
        text = await answer.text()
    form = {"place": PLACE.findall(text)[0], "standing": STANDING.findall(text)[0], "author": "maria"}
    async with browser.post(page, data={**form, "body": f"@atlas {ASKED}"}) as answer:
        assert 200 == answer.status


async def answered(browser: aiohttp.ClientSession, page: str) -> list[tuple[str, str]]:
    """Look at the page, as its own script does, until its last post is the agent's; returns the last two."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            async with browser.get(page) as answer:
                posts = POST.findall(await answer.text())
            if posts and posts[-1][0] == "bot":
                return posts[-2:]
            await asyncio.sleep(0.1)
