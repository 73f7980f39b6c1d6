"""SlackService: the seven tools that read and write in the Slack channels on the allow-list."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aucert.tools.v1 import slack_service_pb2 as pb
from aucert.tools.v1.slack_service_pb2_grpc import SlackServiceServicer
from services.tools import slack_reading as reading
from services.tools import slack_writing as writing
from services.tools.effects import Effects
from services.tools.failures import told_as_errors
from services.tools.slack_access import SlackAccess, SlackCall

if TYPE_CHECKING:
    from services.common.door import Context


class SlackServicer(SlackServiceServicer):
    """Opens Slack for each call; what is written goes through the ledger."""

    def __init__(self, access: SlackAccess, effects: Effects) -> None:
        self._access = access
        self._effects = effects

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[SlackCall]:
        """A tool's failures leave the block as errors of the door."""
        with told_as_errors():
            yield await self._access.open()

    async def ListChannels(
        self, request: pb.ListChannelsRequest, context: Context
    ) -> pb.ListChannelsResponse:
        """List channels."""
        del context
        async with self._opened() as call:
            return await reading.list_channels(call, request.continuation)

    async def ListChannelHistory(
        self, request: pb.ListChannelHistoryRequest, context: Context
    ) -> pb.ListChannelHistoryResponse:
        """Read what stands in a channel."""
        del context
        async with self._opened() as call:
            return await reading.list_channel_history(call, request)

    async def GetThread(self, request: pb.GetThreadRequest, context: Context) -> pb.GetThreadResponse:
        """Read a thread."""
        del context
        async with self._opened() as call:
            return await reading.get_thread(call, request)

    async def GetUser(self, request: pb.GetUserRequest, context: Context) -> pb.GetUserResponse:
        """Look somebody up."""
        del context
        async with self._opened() as call:
            return await reading.get_user(call, request.user)

    async def PostMessage(self, request: pb.PostMessageRequest, context: Context) -> pb.PostMessageResponse:
        """Write into a channel."""
        del context
        async with self._opened() as call:
            change = writing.message_posting(call, request)
            return await self._effects.once("slack_post_message", request, call.run, change)

    async def ReplyInThread(
        self, request: pb.ReplyInThreadRequest, context: Context
    ) -> pb.ReplyInThreadResponse:
        """Reply in a thread."""
        del context
        async with self._opened() as call:
            change = writing.thread_reply(call, request)
            return await self._effects.once("slack_reply_in_thread", request, call.run, change)

    async def AddReaction(self, request: pb.AddReactionRequest, context: Context) -> pb.AddReactionResponse:
        """React to a message."""
        del context
        async with self._opened() as call:
            change = writing.reaction(call, request)
            return await self._effects.once("slack_add_reaction", request, call.run, change)
