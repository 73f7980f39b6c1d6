"""Catch-up against the GitHub stand-in: what is told again and from when on, and what is sent again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr

from aucert.tools.v1.catch_up_service_pb2 import (
    RetryDeliveriesRequest,
    RetryDeliveriesResponse,
    ScanContainerRequest,
    ScanContainerResponse,
)
from services.cli import sandbox
from services.dispatcher.sources import github_payload
from services.dispatcher.sources.github_payload import Act
from services.tools import github_deliveries, github_history
from services.tools.github_client import GitHubApp, GitHubClient
from services.tools.github_deliveries import Cursor, GitHubDeliveries
from services.tools.github_history import GitHubCatcher
from services.tools.vendor_errors import VendorRefused, VendorUnavailable
from tests.service.github_app_kit import APP_ID, app_of, github, new_key, private_pem

SHOP = "acme/shop"


class Stage:
    """A catcher and a log before a GitHub whose App delivers to `received`, which answers `status`."""

    def __init__(self, url: str, key: rsa.RSAPrivateKey) -> None:
        client = GitHubClient(GitHubApp(f"{url}/github", APP_ID, SecretStr(private_pem(key))))
        self._url = url
        self._catcher = GitHubCatcher(client)
        self._log = GitHubDeliveries(client)
        self.received: list[tuple[str, str]] = []
        self.status = 202

    async def hear(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.received.append((request.headers["X-GitHub-Delivery"], body["comment"]["body"]))
        return web.Response(status=self.status)

    async def admin(self, path: str, method: str = "POST", /, **body: object) -> Any:
        return await sandbox.call(self._url, method, f"/_sandbox/github{path}", body)

    async def fault(self, path_pattern: str, action: str) -> None:
        fault = {"method": "POST", "path_pattern": path_pattern, "times": 1, "action": action}
        await sandbox.call(self._url, "POST", "/_sandbox/faults", fault)

    async def say(self, body: str, /, **more: object) -> Any:
        said = {"repository": SHOP, "number": 1, "author": "maria", "body": body, "deliver": False}
        return await self.admin("/comments", **(said | more))

    async def scan(self, cursor: str, container: str = f"github:{SHOP}") -> ScanContainerResponse:
        return await self._catcher.scan(ScanContainerRequest(container=container, cursor=cursor))

    async def whole(self, cursor: str) -> list[Act]:
        """All that is told from a cursor on."""
        found = [await self.scan(cursor)]
        while found[-1].more:
            assert len(found) < 50
            found.append(await self.scan(found[-1].next_cursor))
        return [act for each in found for act in acts(each)]

    async def retry(self, cursor: str = "") -> RetryDeliveriesResponse:
        return await self._log.retry(RetryDeliveriesRequest(source="github", cursor=cursor))

    async def heard(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.received) < count:
                await asyncio.sleep(0.01)


def acts(found: ScanContainerResponse) -> list[Act]:
    told = [github_payload.read(each.headers, each.body) for each in found.deliveries]
    assert all(isinstance(each, Act) for each in told), told
    return [each for each in told if isinstance(each, Act)]


def now() -> str:
    return datetime.now(UTC).isoformat()


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return new_key()


@pytest.fixture
async def stage(key: rsa.RSAPrivateKey) -> AsyncIterator[Stage]:
    async with github(app_of(key)) as url:
        stage, app = Stage(url, key), web.Application()
        app.router.add_post("/hook", stage.hear)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        await stage.admin("/webhook", "PUT", url=f"http://127.0.0.1:{runner.addresses[0][1]}/hook")
        yield stage
        await runner.cleanup()


async def test_the_first_scan_tells_nothing_and_the_next_goes_on_from_there(stage):
    await stage.say("@atlas why?")
    first = await stage.scan("")
    await stage.say("@atlas when?")

    assert [] == list(first.deliveries)
    assert "@atlas when?" == (await stage.whole(first.next_cursor))[-1].text


async def test_what_is_told_is_the_act_the_webhook_tells(stage):
    begun, number = now(), 2
    for kind in ("issues", "pulls"):
        await stage.admin(
            f"/{kind}", repository=SHOP, title="Look", body="@atlas look", author="maria", deliver=False
        )
    said = await stage.say("@atlas here?")
    line = await stage.say("@atlas there?", number=number + 1, kind="review")
    reply = await stage.say("@atlas and?", number=number + 1, kind="review", in_reply_to=line["id"])
    told = {(each.kind, each.item_id): each for each in await stage.whole(begun)}

    assert ["issue", "issue_comment", "pull_request", "review_comment", "review_comment"] == sorted(
        kind for kind, _ in told
    )
    comment = told[github_payload.ItemKind.ISSUE_COMMENT, said["id"]]
    assert ("maria", "MEMBER", 815) == (
        comment.author.login,
        comment.author.standing,
        comment.installation_id,
    )
    assert f"{comment.repository_id}/1" == comment.thread_key
    assert told[github_payload.ItemKind.REVIEW_COMMENT, reply["id"]].review_comment_id == line["id"]


async def test_what_is_told_again_has_the_same_name(stage):
    await stage.say("@atlas why?")
    begun = now()
    scans = [await stage.scan(begun) for _ in range(2)]
    while not scans[0].deliveries:
        scans = [await stage.scan(each.next_cursor) for each in scans]

    assert [each.external_id for each in scans[0].deliveries] == [
        each.external_id for each in scans[1].deliveries
    ]


async def test_what_cannot_be_for_an_agent_is_not_told(stage):
    begun = now()
    await stage.say("talk among people")
    await stage.say("@atlas, says a machine", author="other[bot]", author_type="Bot")

    assert [] == await stage.whole(begun)


async def test_what_changed_but_was_written_before_is_not_told(stage):
    await stage.say("@atlas old")
    times = {"since": timedelta(hours=1), "begun": timedelta(0), "at": timedelta(hours=-1)}
    cursor = {name: (datetime.now(UTC) + delta).isoformat() for name, delta in times.items()}

    assert [] == await stage.whole(json.dumps({**cursor, "list": 1}))
    assert ["@atlas old"] == [each.text for each in await stage.whole(now())]


async def test_many_comments_are_read_a_page_at_a_time_and_none_is_left_out(stage, monkeypatch):
    monkeypatch.setattr(github_history, "PAGE_SIZE", 2)
    begun = now()
    for number in range(7):
        await stage.say(f"@atlas {number}")

    assert {f"@atlas {number}" for number in range(7)} == {each.text for each in await stage.whole(begun)}


async def test_a_repository_the_app_does_not_see_is_refused_at_once(stage):
    for container in ("github:acme/nothing", "github:acme"):
        with pytest.raises(VendorRefused):
            await stage.scan("", container)


async def test_an_app_that_was_installed_anew_is_found_again(key):
    current = {"id": 1}

    async def token(request: web.Request) -> web.Response:
        made = request.match_info["id"] == str(current["id"])
        answer = {"token": f"t{current['id']}", "expires_at": "2999-01-01T00:00:00Z"}
        return web.json_response(answer if made else {}, status=201 if made else 404)

    async def installation(_request: web.Request) -> web.Response:
        return web.json_response(current)

    async def repository(request: web.Request) -> web.Response:
        known = request.headers["Authorization"].endswith(f" t{current['id']}")
        return web.json_response({}, status=200 if known else 401)

    app = web.Application()
    app.router.add_get("/repos/acme/shop/installation", installation)
    app.router.add_post("/app/installations/{id}/access_tokens", token)
    app.router.add_get("/repos/acme/shop", repository)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    catcher = GitHubCatcher(GitHubClient(GitHubApp(url, APP_ID, SecretStr(private_pem(key)))))
    begin = ScanContainerRequest(container=f"github:{SHOP}")

    await catcher.scan(begin)
    current["id"] = 2
    for error in (VendorUnavailable, VendorRefused):  # the old token is dead, then nobody makes another
        with pytest.raises(error):
            await catcher.scan(begin)
    await catcher.scan(begin)
    await runner.cleanup()


async def test_a_failed_delivery_is_asked_for_again_until_one_is_taken(stage, monkeypatch):
    monkeypatch.setattr(github_deliveries, "FIRST_WAIT", timedelta(0))
    first = await stage.retry()
    stage.status = 503
    await stage.say("@atlas lost", deliver=True)
    stage.status = 202
    await stage.say("@atlas heard", deliver=True)
    second = await stage.retry(first.next_cursor)
    await stage.heard(3)
    third = await stage.retry(second.next_cursor)

    assert [(0, 0), (1, 1), (0, 0)] == [
        (each.retried_count, each.open_count) for each in (first, second, third)
    ]
    assert [stage.received[0], stage.received[1], stage.received[0]] == stage.received


async def test_a_delivery_that_is_never_taken_is_given_up(stage, monkeypatch):
    monkeypatch.setattr(github_deliveries, "FIRST_WAIT", timedelta(0))
    monkeypatch.setattr(github_deliveries, "ATTEMPTS_MAX", 3)
    stage.status = 503
    passes = [await stage.retry()]
    await stage.say("@atlas lost", deliver=True)
    for heard in (2, 3, 3, 3):
        passes.append(await stage.retry(passes[-1].next_cursor))
        await stage.heard(heard)

    assert [0, 1, 1, 0, 0] == [each.retried_count for each in passes]
    assert [0, 1, 0, 0, 0] == [each.open_count for each in passes]
    assert 3 == len(stage.received)


async def test_what_is_due_while_github_is_away_or_when_time_is_up_stays_due(stage, monkeypatch):
    monkeypatch.setattr(github_deliveries, "FIRST_WAIT", timedelta(0))
    begun = await stage.retry()
    stage.status = 503
    await stage.say("@atlas lost", deliver=True)
    with monkeypatch.context() as hurry:
        hurry.setattr(github_deliveries, "SECONDS_MAX", 0.0)
        begun = await stage.retry(begun.next_cursor)
    assert (0, 1) == (begun.retried_count, begun.open_count)
    await stage.fault("*/attempts", "status:502")
    second = await stage.retry(begun.next_cursor)
    third = await stage.retry(second.next_cursor)

    assert [(0, 1), (1, 1)] == [(each.retried_count, each.open_count) for each in (second, third)]
    assert [2] == [each.attempts for each in Cursor.read(third.next_cursor).open.values()]
    assert len(json.loads(third.next_cursor)["open"]) == 1
