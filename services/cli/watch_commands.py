"""What `astra watches` does: the channels by which Google tells of changes in Drive."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from aucert.dispatcher.v1 import drive_watch_service_pb2 as pb
from aucert.dispatcher.v1.drive_watch_pb2 import DriveWatch
from services.cli.client import operator_clients
from services.cli.show import as_json as message_json
from services.cli.smoke_source import say

PAGE_SIZE = 200
PAGES_MAX = 50


async def list_watches(state_dir: Path, environment: Mapping[str, str], *, as_json: bool) -> None:
    """Print the watches, those that end first before the others."""
    found: list[DriveWatch] = []
    request = pb.ListDriveWatchesRequest(page_size=PAGE_SIZE)
    async with operator_clients(state_dir, environment) as clients:
        for _ in range(PAGES_MAX):
            page = await clients.watches.ListDriveWatches(request)
            found += page.drive_watches
            request.page_token = page.next_page_token
            if not page.next_page_token:
                break
    _show(found, as_json=as_json)


async def register(
    state_dir: Path,
    environment: Mapping[str, str],
    file_id: str,
    drive_id: str,
    agent: str,
    public_base_url: str,
    *,
    as_json: bool,
) -> None:
    """Watch a file, a folder, a shared drive or all that changes."""
    request = pb.RegisterDriveWatchRequest(
        file_id=file_id, drive_id=drive_id, agent=agent, public_base_url=public_base_url
    )
    async with operator_clients(state_dir, environment) as clients:
        watch = (await clients.watches.RegisterDriveWatch(request)).drive_watch
    _show([watch], as_json=as_json)


async def renew(state_dir: Path, environment: Mapping[str, str], channel_id: str, *, as_json: bool) -> None:
    """Replace a watch by a new one."""
    async with operator_clients(state_dir, environment) as clients:
        renewed = await clients.watches.RenewDriveWatch(pb.RenewDriveWatchRequest(channel_id=channel_id))
    _show([renewed.drive_watch], as_json=as_json)


async def stop(state_dir: Path, environment: Mapping[str, str], channel_id: str) -> None:
    """Close a watch."""
    async with operator_clients(state_dir, environment) as clients:
        await clients.watches.StopDriveWatch(pb.StopDriveWatchRequest(channel_id=channel_id))
    say(f"stopped {channel_id}")


def watch_line(watch: DriveWatch, now: datetime) -> str:
    """One line a watch: channel, what it watches, how long it lives, where it tells."""
    target = f"file {watch.file_id}" if watch.file_id else "all changes"
    target += f" in drive {watch.drive_id}" if watch.drive_id else ""
    left = watch.expiration_time.ToDatetime(UTC) - now
    hours = left.total_seconds() / 3600
    life = f"ends in {hours:.1f} h" if hours > 0 else f"ended {-hours:.1f} h ago"
    life = "stopped" if watch.HasField("stopped_time") else life
    return f"{watch.channel_id}  {life}  {target}  {watch.address}"


def _show(watches: list[DriveWatch], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([message_json(each) for each in watches]))
        return
    now = datetime.now(UTC)
    for each in watches:
        print(watch_line(each, now))
