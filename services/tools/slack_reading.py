"""Read Slack: its channels, what stands in them, their threads, the people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from aucert.tools.v1 import slack_service_pb2 as pb
from services.tools.errors import FieldInvalid
from services.tools.repo_pages import Place
from services.tools.slack_access import SlackCall, SlackPlace, root_of, told
from services.tools.slack_client import Json
from services.tools.slack_format import mentions
from services.tools.slack_items import channel_lines, channel_of, message_lines, message_of, user_of
from services.tools.slack_pages import show_messages
from services.tools.slack_threads import author_of
from services.tools.vendor_errors import VendorTooLong
from services.tools.vendor_pages import Entry, Part, show

MESSAGES_MAX = 100
CHANNELS_A_PAGE, CHANNEL_PAGES_MAX = 200, 20
Arguments = dict[str, str | int | bool]


async def list_channels(call: SlackCall, continuation: str) -> pb.ListChannelsResponse:
    """The channels on the allow-list that the app is in. Raises ContinuationInvalid."""
    open_ids = await call.open_channels(await call.client.me())
    found = [each for each in await _joined(call) if each["id"] in open_ids]
    found.sort(key=lambda each: str(each.get("name")))

    async def fetch(page: int) -> Part[pb.SlackChannel]:
        del page
        return Part([Entry(channel_of(each), channel_lines(each)) for each in found], last=True)

    place = Place("", "slack_list_channels", tuple(each["id"] for each in found))
    shown = await show(place, continuation, fetch)
    absent = len(open_ids) - len(found)
    note = f" {absent} more are registered, but the app is not in them." if absent else ""
    return pb.ListChannelsResponse(
        text=shown.text(f"Channels of Slack that are open to you: {len(found)}.{note}"),
        channels=shown.items,
        continuation=shown.continuation,
    )


async def list_channel_history(
    call: SlackCall, request: pb.ListChannelHistoryRequest
) -> pb.ListChannelHistoryResponse:
    """What stands in a channel, newest first. Raises FieldInvalid, ContinuationInvalid."""
    oldest, latest = _time("oldest", request.oldest), _time("latest", request.latest)
    channel = await call.place(request.channel)

    async def fetch(first_ts: str) -> Part[pb.SlackMessage]:
        arguments: Arguments = {"channel": channel.channel_id, "limit": MESSAGES_MAX, "inclusive": True}
        arguments |= {"oldest": oldest} if oldest else {}
        arguments |= {"latest": first_ts or latest} if first_ts or latest else {}
        page = await call.read("conversations.history", **arguments)
        return Part(await _entries(call, channel, page["messages"]), last=not page.get("has_more"))

    place = Place("", "slack_list_channel_history", (channel.channel_id, oldest, latest))
    shown = await show_messages(place, request.continuation, fetch)
    return pb.ListChannelHistoryResponse(
        text=shown.text(f"Messages in {channel.channel_id}, newest first:", empty="(none)"),
        messages=shown.items,
        continuation=shown.continuation,
    )


async def get_thread(call: SlackCall, request: pb.GetThreadRequest) -> pb.GetThreadResponse:
    """A thread, oldest first. Raises FieldInvalid, ContinuationInvalid."""
    channel = await call.place(request.channel)
    here = call.origin(await call.client.me())
    named = request.thread_ts or (here.thread_ts if here and channel.is_own else "")
    if not named:
        raise FieldInvalid("This call has no thread of its own there: name one by thread_ts.")
    root_ts = root_of(await call.message(channel, named))

    async def fetch(first_ts: str) -> Part[pb.SlackMessage]:
        arguments: Arguments = {"channel": channel.channel_id, "ts": root_ts, "limit": MESSAGES_MAX}
        arguments |= {"oldest": first_ts, "inclusive": True} if first_ts else {}
        page = await call.read("conversations.replies", **arguments)
        # Slack tells the first message whatever is asked for.
        messages = [each for each in page["messages"] if float(each["ts"]) >= float(first_ts or 0)]
        return Part(await _entries(call, channel, messages), last=not page.get("has_more"))

    place = Place("", "slack_get_thread", (channel.channel_id, root_ts))
    shown = await show_messages(place, request.continuation, fetch)
    return pb.GetThreadResponse(
        text=shown.text(f"Thread {root_ts} in {channel.channel_id}, oldest first:"),
        messages=shown.items,
        continuation=shown.continuation,
    )


async def get_user(call: SlackCall, user_id: str) -> pb.GetUserResponse:
    """Somebody by their id. Raises ItemNotFound."""
    await call.check_people()
    with told():
        found = await call.client.person(user_id)
    return user_of(found, await call.client.me())


async def _joined(call: SlackCall) -> list[Json]:
    """The channels the app is in. Raises VendorTooLong for more than are read."""
    arguments: Arguments = {"types": "public_channel,private_channel", "limit": CHANNELS_A_PAGE}
    found: list[Json] = []
    for _ in range(CHANNEL_PAGES_MAX):
        page = await call.read("users.conversations", **arguments)
        found += page["channels"]
        arguments["cursor"] = (page.get("response_metadata") or {}).get("next_cursor") or ""
        if not arguments["cursor"]:
            return found
    raise VendorTooLong("The app is in too many channels to list them.")


async def _entries(
    call: SlackCall, channel: SlackPlace, messages: Sequence[Json]
) -> list[Entry[pb.SlackMessage]]:
    me = await call.client.me()
    said = [each for message in messages for each in mentions(str(message.get("text") or ""))]
    ids = dict.fromkeys([*(str(each.get("user") or "") for each in messages), *said])
    with told():
        people = await call.people.find([each for each in ids if each], me)
    bots = {author_of(each): str(each.get("username") or "") for each in messages if not each.get("user")}
    names = bots | {each.person_id: each.display_name for each in people}
    return [
        Entry(message_of(each, channel.channel_id, me), message_lines(each, me, names)) for each in messages
    ]


def _time(name: str, told_time: str) -> str:
    """A time as Slack counts it. Empty: none was given."""
    if not told_time:
        return ""
    try:
        when = datetime.fromisoformat(told_time)
        return f"{(when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp():.6f}"
    except (ValueError, OverflowError):
        raise FieldInvalid(f'{name} is no time: write it as in "2026-11-20T00:00:00Z".') from None
