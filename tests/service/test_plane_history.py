"""CatchUpService against the Plane stand-in: what is told again, from when on, and of what."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from pydantic import SecretStr

from aucert.tools.v1.catch_up_service_pb2 import ScanContainerRequest, ScanContainerResponse
from aucert.tools.v1.catch_up_service_pb2_grpc import CatchUpServiceStub
from services.common.channels import connect
from services.dispatcher.sources import plane_payload
from services.dispatcher.sources.plane_payload import Act
from services.tools import plane_history
from services.tools.main import running
from services.tools.plane_client import PlaneClient, PlaneWorkspace
from services.tools.plane_history import PlaneCatcher
from services.tools.settings import ToolsSettings
from services.tools.vendor_errors import VendorRateLimited, VendorRefused
from tests.service.plane_stage import KEY, WORKSPACE, PlaneStage, plane_stage
from tests.service.tools_stage import WORKER, reason_of, serving_astra


class Stage:
    """A catcher before a Plane in which something was filed."""

    def __init__(self, plane: PlaneStage, catcher: PlaneCatcher, filed: dict[str, Any]) -> None:
        self.plane = plane
        self.filed = filed
        self._catcher = catcher

    async def scan(self, cursor: str = "", container: str = "") -> ScanContainerResponse:
        named = container or f"plane:{self.filed['project']}"
        return await self._catcher.scan(ScanContainerRequest(container=named, cursor=cursor))


def acts(found: ScanContainerResponse) -> list[Act]:
    told = [plane_payload.read(each.body) for each in found.deliveries]
    assert all(isinstance(each, Act) for each in told)
    return [each for each in told if isinstance(each, Act)]


def now() -> str:
    return datetime.now(UTC).isoformat()


@asynccontextmanager
async def staged(*, per_minute: int = 10_000, text: str = "") -> AsyncIterator[Stage]:
    async with plane_stage(wired=False, per_minute=per_minute) as plane:
        client = PlaneClient(PlaneWorkspace(f"{plane.url}/plane", SecretStr(KEY), WORKSPACE))
        yield Stage(plane, PlaneCatcher(client), await plane.file(text))
        await client.aclose()


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with staged() as stage:
        yield stage


async def test_the_first_scan_tells_nothing_and_the_next_goes_on_from_there(stage):
    await stage.plane.say(stage.filed, "@atlas why?")
    first = await stage.scan()
    said = await stage.plane.say(stage.filed, "@atlas when?")
    second = await stage.scan(first.next_cursor)

    assert [] == list(first.deliveries)
    assert first.next_cursor <= second.next_cursor
    assert said["comment"] == acts(second)[-1].comment_id


async def test_what_was_filed_and_said_is_told_oldest_first_as_a_webhook_would(stage):
    item = await stage.plane.file("@atlas look")
    said = [await stage.plane.say(item, f"@atlas {number}?", author="ada") for number in range(2)]
    told = acts(await stage.scan(now()))

    assert [("", "plane"), (said[0]["comment"], "plane"), (said[1]["comment"], "plane")] == [
        (each.comment_id, "plane") for each in told
    ]
    assert {(item["project"], item["work_item"])} == {(each.project_id, each.work_item_id) for each in told}
    assert told[1].author_id == told[2].author_id != told[0].author_id


async def test_what_is_told_again_has_the_same_name(stage):
    await stage.plane.say(stage.filed, "@atlas why?")
    first, second = await stage.scan(now()), await stage.scan(now())

    assert [each.external_id for each in first.deliveries] == [each.external_id for each in second.deliveries]


async def test_what_cannot_be_for_an_agent_is_not_told(stage):
    for text in ("nothing for anybody", "5 > 4 & 3 < 4", ""):
        await stage.plane.say(stage.filed, text)
    await stage.plane.say(stage.filed, "@atlas", author="atlas")
    await stage.plane.say(stage.filed, "@atlas", external_source="astra")
    await stage.plane.say(stage.filed, "@atlas", by_plane=True)

    assert [] == list((await stage.scan(now())).deliveries)


async def test_an_old_work_item_is_not_told_for_a_new_comment_nor_old_comments_with_it(stage, monkeypatch):
    monkeypatch.setattr(plane_history, "OVERLAP", timedelta(0))
    old = await stage.plane.file("@atlas old")
    await stage.plane.say(old, "@atlas before")
    cursor = now()
    said = await stage.plane.say(old, "@atlas after")

    assert [said["comment"]] == [each.comment_id for each in acts(await stage.scan(cursor))]


async def test_many_work_items_are_read_a_few_at_a_time_and_none_is_left_out(stage, monkeypatch):
    monkeypatch.setattr(plane_history, "ITEMS_MAX", 2)
    begun = now()
    items = [await stage.plane.file(f"@atlas {number}") for number in range(5)]
    told, cursor, scans, more = list[str](), begun, 0, True
    while more and scans < 10:
        found = await stage.scan(cursor)
        told += [each.work_item_id for each in acts(found)]
        cursor, more, scans = found.next_cursor, found.more, scans + 1

    assert [item["work_item"] for item in items] == told
    assert 3 == scans


async def test_few_calls_left_end_a_scan_where_it_can_go_on():
    async with staged(per_minute=13) as stage:
        begun = now()
        for number in range(3):
            await stage.plane.file(f"@atlas {number}")
        found = await stage.scan(begun)
        with pytest.raises(VendorRateLimited):
            await stage.scan(found.next_cursor)

    assert found.more
    assert 1 <= len(found.deliveries) < 3


async def test_a_container_that_is_no_project_is_refused(stage):
    for container in ("plane:../users", "plane:00000000-0000-4000-8000-000000000002"):
        with pytest.raises(VendorRefused):
            await stage.scan(now(), container)


async def test_without_a_key_plane_cannot_be_caught_up(tmp_path):
    async with serving_astra() as (_, astra_address):
        settings = ToolsSettings(
            _env_file=None,
            ASTRA_TOKEN="tools-token",
            ASTRA_ADDRESS=astra_address,
            TOOLS_PORT=0,
            WORKSPACE_DIR=tmp_path / "workspace",
        )
        async with running(settings) as server:
            channel = connect(server.address, WORKER)
            request = ScanContainerRequest(container=f"plane:{WORKSPACE}", cursor=now())
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await CatchUpServiceStub(channel).ScanContainer(request)
            await channel.close()

    assert (grpc.StatusCode.FAILED_PRECONDITION, "SOURCE_OFF") == reason_of(caught.value)[:2]
