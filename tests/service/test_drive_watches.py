"""DriveWatchService over a real dispatcher and database: opened once a target, replaced before they end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import grpc
import pytest
from temporalio.client import Client

from aucert.dispatcher.v1 import drive_watch_service_pb2 as pb
from aucert.dispatcher.v1.drive_watch_service_pb2_grpc import DriveWatchServiceStub
from aucert.tools.v1.catch_up_service_pb2 import MissedDelivery, ScanContainerResponse
from services.cli.embedded import EmbeddedTemporal
from services.common.channels import connect
from services.common.drive_renewals import SCHEDULE_ID
from services.common.errors import Unavailable, from_rpc
from services.dispatcher import drive_schedule
from tests.google_payloads import COMMENT, FILE, TOKEN, encoded, read
from tests.service.dispatcher_parts import Stage, staged, until

BASE = "https://atlas.example"
ADDRESS = f"{BASE}/webhooks/google-drive"


class Watches:
    """A stage with hands on its watches."""

    def __init__(self, stage: Stage, operator: Any, worker: Any) -> None:
        self.stage = stage
        self.world = stage.world
        self._operator = operator
        self._worker = worker

    async def register(self, file_id: str = FILE, **more: Any) -> Any:
        request = pb.RegisterDriveWatchRequest(file_id=file_id, **more)
        return (await self._operator.RegisterDriveWatch(request)).drive_watch

    async def renew(self, watch: Any) -> Any:
        request = pb.RenewDriveWatchRequest(channel_id=watch.channel_id)
        return (await self._operator.RenewDriveWatch(request)).drive_watch

    async def stop(self, watch: Any) -> None:
        await self._operator.StopDriveWatch(pb.StopDriveWatchRequest(channel_id=watch.channel_id))

    async def page(self, **more: Any) -> pb.ListDriveWatchesResponse:
        return await self._operator.ListDriveWatches(pb.ListDriveWatchesRequest(**more))

    async def live(self) -> list[str]:
        return [each.channel_id for each in (await self.page()).drive_watches if not stopped(each)]

    async def renew_due(self) -> tuple[int, int, int]:
        done = await self._worker.RenewDueDriveWatches(pb.RenewDueDriveWatchesRequest())
        return done.renewed_count, done.failed_count, done.purged_count

    async def ends_in(self, watch: Any, left: timedelta) -> None:
        await self.stage.rows(
            "UPDATE drive_watches SET expiration_time = now() + %s WHERE channel_id = %s",
            left,
            watch.channel_id,
        )


def stopped(watch: Any) -> bool:
    return watch.HasField("stopped_time")


@asynccontextmanager
async def watching(urls: Any, **more: Any) -> AsyncIterator[Watches]:
    known = {"DRIVE_CHANNEL_TOKEN": TOKEN, "PUBLIC_BASE_URL": BASE, **more}
    async with staged(urls, **known) as stage:
        channels = [connect(stage.address, f"{name}-token") for name in ("operator", "worker")]
        yield Watches(stage, *map(DriveWatchServiceStub, channels))
        for channel in channels:
            await channel.close()


@pytest.fixture
async def watches(database_urls) -> AsyncIterator[Watches]:
    async with watching(database_urls) as watches:
        yield watches


async def refusal(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc(caught.value).reason


async def test_a_target_is_watched_once_however_often_it_is_registered(watches):
    first, again, log = await watches.register(), await watches.register(), await watches.register("")
    (opened, log_opened) = watches.world.channels.values()

    assert first == again
    assert (ADDRESS, TOKEN, FILE) == (opened.address, opened.token, opened.file_id)
    assert (False, True, "") == (first.watches_log, log.watches_log, log_opened.file_id)
    assert [first.channel_id, log.channel_id] == await watches.live()


async def test_the_operators_query_shows_what_is_watched_for_whom_and_how_long(watches):
    watch = await watches.register()
    (row,) = await watches.stage.rows(
        "SELECT channel_id, file_id, agent_id, expiration_time, expiration_time - now() AS time_left"
        " FROM drive_watches ORDER BY expiration_time ASC"
    )

    assert (watch.channel_id, FILE, watch.agent_id) == (
        str(row["channel_id"]),
        row["file_id"],
        str(row["agent_id"]),
    )
    assert timedelta(hours=23) < row["time_left"] <= timedelta(days=1)


async def test_a_new_channel_is_opened_before_the_old_one_is_closed(watches):
    old = await watches.register()
    new = await watches.renew(old)

    assert [old.channel_id, new.channel_id] == list(watches.world.channels)
    assert [old.channel_id] == watches.world.stopped
    assert [new.channel_id] == await watches.live()
    assert new == await watches.renew(old)


async def test_while_google_is_away_the_old_watch_stays(watches):
    old = await watches.register()
    watches.world.failing["RegisterChannel"] = Unavailable("Google is away.", reason="VENDOR_UNAVAILABLE")
    await watches.ends_in(old, timedelta(hours=1))

    assert "VENDOR_UNAVAILABLE" == await refusal(watches.renew(old))
    assert (0, 1, 0) == await watches.renew_due()
    assert ([old.channel_id], []) == (await watches.live(), watches.world.stopped)
    watches.world.failing.clear()
    assert (1, 0, 0) == await watches.renew_due()


async def test_an_old_channel_that_cannot_be_closed_ends_by_itself(watches):
    old = await watches.register()
    watches.world.failing["StopChannel"] = Unavailable("Google is away.", reason="VENDOR_UNAVAILABLE")
    new = await watches.renew(old)

    assert [new.channel_id] == await watches.live()


@pytest.mark.parametrize(
    ("left", "renewed"),
    [(timedelta(hours=17, minutes=59), 1), (timedelta(hours=18, minutes=1), 0), (timedelta(hours=-1), 1)],
)
async def test_what_ends_within_the_look_ahead_is_renewed_and_what_is_dead_too(watches, left, renewed):
    watch = await watches.register()
    await watches.ends_in(watch, left)

    assert (renewed, 0, 0) == await watches.renew_due()
    assert (0, 0, 0) == await watches.renew_due()


async def test_what_ended_a_week_ago_is_forgotten(watches):
    for days in (6, 8):
        watch = await watches.register()
        await watches.stop(watch)
        await watches.ends_in(watch, timedelta(days=-days))

    assert (0, 0, 1) == await watches.renew_due()
    assert 1 == len((await watches.page()).drive_watches)


async def test_one_watch_that_cannot_be_renewed_keeps_no_other_from_it(watches):
    for file_id in ("", FILE):
        await watches.ends_in(await watches.register(file_id), timedelta(hours=1))
    await watches.stage.rows("UPDATE drive_watches SET address = '' WHERE file_id = %s", FILE)
    watches.world.refused_addresses.add("")

    assert (1, 1, 0) == await watches.renew_due()


async def test_a_watch_that_was_dead_is_read_for_what_happened_meanwhile(watches):
    watch = await watches.register()
    await watches.ends_in(watch, timedelta(hours=-1))
    missed = MissedDelivery(external_id=f"{FILE}/{COMMENT}", body=encoded(read()))
    container = f"google-drive:file/{FILE}"
    watches.world.readings[container] = [ScanContainerResponse(deliveries=[missed], next_cursor="7")]
    assert (1, 0, 0) == await watches.renew_due()

    async def run() -> bool:
        return bool(watches.world.runs)

    await until(run)
    assert [f"default/drive/{FILE}/{COMMENT}"] == [each.workflow_id for each in watches.world.runs.values()]


async def test_a_stopped_watch_is_not_renewed_and_can_be_registered_anew(watches):
    watch = await watches.register()
    for _ in range(2):
        await watches.stop(watch)
    await watches.ends_in(watch, timedelta(hours=1))

    assert (0, 0, 0) == await watches.renew_due()
    assert watch.channel_id != (await watches.register()).channel_id


async def test_watches_are_listed_in_pages_by_the_time_they_end(watches):
    opened = [await watches.register(f"file{number}") for number in range(5)]
    for number, watch in enumerate(opened):
        await watches.ends_in(watch, timedelta(hours=5 - number))
    first = await watches.page(page_size=3)
    second = await watches.page(page_size=3, page_token=first.next_page_token)

    listed = [each.channel_id for each in (*first.drive_watches, *second.drive_watches)]
    assert [each.channel_id for each in reversed(opened)] == listed
    assert "" == second.next_page_token
    assert "PAGE_TOKEN_INVALID" == await refusal(watches.page(page_token="odd"))


async def test_at_a_new_address_a_target_is_watched_anew(watches):
    old = await watches.register()
    new = await watches.register(public_base_url="https://moved.example/")

    assert "https://moved.example/webhooks/google-drive" == new.address
    assert ([new.channel_id], [old.channel_id]) == (await watches.live(), watches.world.stopped)


async def test_a_watch_needs_an_address_an_agent_and_a_source_that_is_on(database_urls):
    async with watching(database_urls, PUBLIC_BASE_URL="") as watches:
        assert "PUBLIC_ADDRESS_MISSING" == await refusal(watches.register())
        assert "AGENT_NOT_FOUND" == await refusal(watches.register(agent="altas"))
    async with watching(database_urls, DRIVE_CHANNEL_TOKEN="") as watches:
        assert "SOURCE_OFF" == await refusal(watches.register())
        assert (0, 0, 0) == await watches.renew_due()


async def test_a_watch_of_nobody_is_not_found(watches):
    watch = await watches.register()
    watch.channel_id = "00000000-0000-4000-8000-000000000001"

    assert "DRIVE_WATCH_NOT_FOUND" == await refusal(watches.renew(watch))
    assert "DRIVE_WATCH_NOT_FOUND" == await refusal(watches.stop(watch))


async def test_only_the_schedule_renews_for_all_tenants(watches):
    channel = connect(watches.stage.address, "operator-token")
    stub = DriveWatchServiceStub(channel)
    assert "SCOPE_MISSING" == await refusal(stub.RenewDueDriveWatches(pb.RenewDueDriveWatchesRequest()))
    await channel.close()


async def test_the_schedule_is_made_once_and_takes_a_new_interval(temporal: EmbeddedTemporal):
    client = await Client.connect(temporal.address)
    handle = client.get_schedule_handle(SCHEDULE_ID)
    intervals = []
    for hours in (12, 6):
        await drive_schedule.ensured(client, timedelta(hours=hours))
        (spec,) = (await handle.describe()).schedule.spec.intervals
        intervals.append(spec.every)
    await handle.pause()
    await drive_schedule.ensure(client, timedelta(hours=12))
    paused = (await handle.describe()).schedule.state.paused
    await handle.delete()

    assert ([timedelta(hours=12), timedelta(hours=6)], True) == (intervals, paused)
