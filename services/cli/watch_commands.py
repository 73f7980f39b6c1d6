"""`astra watches`: the channels by which Google tells of changes in Drive."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated

import typer

from aucert.dispatcher.v1 import drive_watch_service_pb2 as pb
from aucert.dispatcher.v1.drive_watch_pb2 import DriveWatch
from services.cli.client import operator_clients
from services.cli.configuration import environment
from services.cli.reporting import say
from services.cli.show import as_json as message_json
from services.cli.spelling import JsonOption, StateOption, command, group
from services.cli.state import DEFAULT_STATE_DIR

PAGE_SIZE = 200
PAGES_MAX = 50
app = group("See to the channels by which Google tells of changes.")


@command(app, "list")
async def list_watches(state: StateOption = DEFAULT_STATE_DIR, as_json: JsonOption = False) -> None:
    """List the watches, those that end first before the others."""
    found: list[DriveWatch] = []
    request = pb.ListDriveWatchesRequest(page_size=PAGE_SIZE)
    async with operator_clients(state, environment()) as clients:
        for _ in range(PAGES_MAX):
            page = await clients.watches.ListDriveWatches(request)
            found += page.drive_watches
            request.page_token = page.next_page_token
            if not page.next_page_token:
                break
    _show(found, as_json=as_json)


@command(app, "register")
async def register(
    file_id: Annotated[str, typer.Argument(help="File or folder. Empty: all that changes.")] = "",
    drive: Annotated[str, typer.Option(help="Shared drive, where all that changes is meant.")] = "",
    agent: Annotated[str, typer.Option(help="Slug of the agent it is for.")] = "",
    public_base_url: Annotated[str, typer.Option(help="Where Google reaches the gateway.")] = "",
    state: StateOption = DEFAULT_STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """Have Google tell of changes; comments are found without it too, only later."""
    request = pb.RegisterDriveWatchRequest(
        file_id=file_id, drive_id=drive, agent=agent, public_base_url=public_base_url
    )
    async with operator_clients(state, environment()) as clients:
        watch = (await clients.watches.RegisterDriveWatch(request)).drive_watch
    _show([watch], as_json=as_json)


@command(app, "renew")
async def renew(channel_id: str, state: StateOption = DEFAULT_STATE_DIR, as_json: JsonOption = False) -> None:
    """Replace a watch by a new one now."""
    async with operator_clients(state, environment()) as clients:
        renewed = await clients.watches.RenewDriveWatch(pb.RenewDriveWatchRequest(channel_id=channel_id))
    _show([renewed.drive_watch], as_json=as_json)


@command(app, "stop")
async def stop(channel_id: str, state: StateOption = DEFAULT_STATE_DIR) -> None:
    """Close a watch."""
    async with operator_clients(state, environment()) as clients:
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
