"""Which channel on Slack a tool call may touch, and how what Slack refuses is told to a model.

A channel is named `slack:<team>/<channel>` on the allow-list. Direct messages are open to the run that was
asked in them and to no other, whatever the list says: people do not expect to be read elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from aucert.astra.v1.task_run_pb2 import TaskRun
from aucert.common.v1.thread_pb2 import SlackThread
from services.tools.containers import ContainerAccess, Containers
from services.tools.errors import (
    ArgumentsRefused,
    ContainerNotRegistered,
    FieldInvalid,
    ItemNotFound,
    OriginThread,
)
from services.tools.slack_client import ERROR_FIELD, Json, Me, SlackClient
from services.tools.slack_history import DIRECT_MESSAGES
from services.tools.slack_people import SlackPeople
from services.tools.vendor_errors import VendorRefused

ORIGIN_TEXT = (
    "This is the thread you were asked in. Your last message is posted there for you, so say it in that, and "
    "write here only elsewhere."
)
_MISSING = frozenset(
    {"channel_not_found", "message_not_found", "thread_not_found", "user_not_found", "user_not_visible"}
)
_REFUSED = {
    "invalid_name": "Slack has no emoji of this name. Use a common one, as in eyes, +1 or white_check_mark.",
    "is_archived": "The channel is archived and takes no more messages.",
    "msg_too_long": "The text is too long for Slack: make it shorter.",
    "not_in_channel": "The app is not in this channel: somebody there has to invite it first.",
    "restricted_action": "The workspace does not let the app write there.",
    "restricted_action_read_only_channel": "Only few people may write in this channel, and the app may not.",
    "restricted_action_thread_locked": "The thread is locked.",
    "too_many_emoji": "The message has as many different reactions as Slack allows.",
    "too_many_reactions": "The message has as many reactions of the app as Slack allows.",
}


@dataclass(frozen=True, slots=True)
class SlackPlace:
    """A channel this call may touch. `is_own`: the run was asked in it."""

    channel_id: str
    is_own: bool

    @property
    def is_direct(self) -> bool:
        """Whether it is somebody's direct messages with the app."""
        return self.channel_id.startswith("D")


@dataclass(frozen=True, slots=True)
class SlackCall:
    """One tool call's way to Slack.

    Calls raise ItemNotFound, ArgumentsRefused and the errors of `vendor_errors`.
    """

    client: SlackClient
    people: SlackPeople
    containers: Containers

    @property
    def run(self) -> TaskRun | None:
        """The run of the call. None: it has none."""
        return self.containers.run

    def origin(self, me: Me) -> SlackThread | None:
        """The thread its run was asked in, if that was in our workspace."""
        run = self.run
        here = run.address.slack if run is not None and run.address.HasField("slack") else None
        return here if here is not None and here.team_id == me.team_id else None

    async def place(self, named: str) -> SlackPlace:
        """The channel a call names; empty: the one its run was asked in.

        Raises FieldInvalid where it was asked in none, ContainerNotRegistered for one it may not touch.
        """
        me = await self.client.me()
        here = self.origin(me)
        channel_id = named or (here.channel_id if here else "")
        if not channel_id:
            raise FieldInvalid("This call has no channel of its own: name one by its id.")
        place = SlackPlace(channel_id, is_own=here is not None and here.channel_id == channel_id)
        names = [container(me.team_id, channel_id)]
        if place.is_direct:
            names = [*names, container(me.team_id, DIRECT_MESSAGES)] if place.is_own else []
        await self.containers.check(f"the channel {channel_id}", names, is_own=place.is_own)
        return place

    async def open_channels(self, me: Me) -> frozenset[str]:
        """The ids of the channels this call may touch, direct messages left out."""
        here = self.origin(me)
        listed = {each.upper() for each in await self.containers.listed(container(me.team_id, ""))}
        if not self.containers.is_trusted:
            listed &= {here.channel_id} if here else set()
        return frozenset(listed - {DIRECT_MESSAGES})

    async def check_people(self) -> None:
        """Raise ContainerNotRegistered for a run of strangers from elsewhere: people here are not theirs."""
        if not self.containers.is_trusted and self.origin(await self.client.me()) is None:
            raise ContainerNotRegistered("This run cannot look people up: it was not asked on Slack.")

    async def refuse_origin(self, place: SlackPlace, root_ts: str) -> None:
        """Raise OriginThread for the thread the run answers in."""
        here = self.origin(await self.client.me())
        if place.is_own and here is not None and here.thread_ts == root_ts:
            raise OriginThread(ORIGIN_TEXT)

    async def message(self, place: SlackPlace, ts: str) -> Json:
        """A message, with the thread it stands in."""
        page = await self.read("conversations.replies", channel=place.channel_id, ts=ts, limit=1)
        if not page["messages"]:
            raise ItemNotFound(f"No message of {place.channel_id} has the timestamp {ts}.")
        return page["messages"][0]

    async def read(self, method: str, **arguments: str | int | bool) -> Json:
        """Call a method that changes nothing."""
        with told():
            return await self.client.read(method, **arguments)

    async def write(self, method: str, **arguments: object) -> Json:
        """Call a method that does something."""
        with told():
            return await self.client.write(method, **arguments)


class SlackAccess:
    """Opens Slack for calls."""

    def __init__(self, client: SlackClient, containers: ContainerAccess) -> None:
        self._client = client
        self._containers = containers

    async def open(self) -> SlackCall:
        """The current call's way to Slack; asks the record alone."""
        return SlackCall(self._client, SlackPeople(self._client), await self._containers.open())


def container(team_id: str, channel_id: str) -> str:
    """How a channel is named on the allow-list."""
    return f"slack:{team_id}/{channel_id}".lower()


def root_of(message: Json) -> str:
    """The message that opens its thread, perhaps itself."""
    return str(message.get("thread_ts") or message["ts"])


@contextmanager
def told() -> Iterator[None]:
    """Let refusals that other arguments may avoid leave the block as failures for a model."""
    try:
        yield
    except VendorRefused as refused:
        code = refused.metadata.get(ERROR_FIELD, "")
        if code in _MISSING:
            raise ItemNotFound(
                f"Slack has nothing there, or does not show it to us ({code}). Check channel, timestamp, id."
            ) from None
        if code in _REFUSED:
            raise ArgumentsRefused(_REFUSED[code]) from None
        raise
