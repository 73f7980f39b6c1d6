"""Write on Slack, each message and reaction once: what to send, and how it is recognised later.

A message carries the effect's id in its metadata, which people do not see; a reaction is recognised by being
there. What a model writes mentions nobody: `slack_format` makes every mention typed characters.
"""

from __future__ import annotations

from aucert.astra.v1.effect_pb2 import Effect
from aucert.tools.v1 import slack_service_pb2 as pb
from services.tools.effects import Change
from services.tools.errors import FieldInvalid, OriginThread
from services.tools.slack_access import ORIGIN_TEXT, SlackCall, SlackPlace, root_of
from services.tools.slack_client import Json, is_refusal
from services.tools.slack_format import to_mrkdwn
from services.tools.slack_items import message_of
from services.tools.slack_marks import Mark, find_marked
from services.tools.slack_posts import AS_WRITTEN, TEXT_CHARS_MAX
from services.tools.vendor_errors import VendorRefused


def message_posting(call: SlackCall, request: pb.PostMessageRequest) -> Change[pb.PostMessageResponse]:
    """A new message in a channel. Raises FieldInvalid for a text that is too long for Slack."""
    text = _said(request.text)

    async def send(effect: Effect) -> pb.PostMessageResponse:
        place = await call.place(request.channel)
        if place.is_direct:
            raise OriginThread(ORIGIN_TEXT)
        return await told(place, await _post(call, place, "", text, effect))

    async def find(effect: Effect) -> pb.PostMessageResponse | None:
        place = await call.place(request.channel)
        found = await _find(call, place, "", effect)
        return await told(place, found) if found else None

    async def told(place: SlackPlace, found: Json) -> pb.PostMessageResponse:
        message = message_of(found, place.channel_id, await call.client.me())
        return pb.PostMessageResponse(text=f"Posted {message.ts}: {message.url}", message=message)

    return Change(send, find, pb.PostMessageResponse, lambda done: done.message.url)


def thread_reply(call: SlackCall, request: pb.ReplyInThreadRequest) -> Change[pb.ReplyInThreadResponse]:
    """A reply; OriginThread for the run's own thread is raised when it is sent.

    Slack takes replies to the message that opens a thread only, so that one is looked up.
    """
    text = _said(request.text)

    async def send(effect: Effect) -> pb.ReplyInThreadResponse:
        place = await call.place(request.channel)
        root_ts = root_of(await call.message(place, request.thread_ts))
        await call.refuse_origin(place, root_ts)
        return await told(place, await _post(call, place, root_ts, text, effect))

    async def find(effect: Effect) -> pb.ReplyInThreadResponse | None:
        place = await call.place(request.channel)
        root_ts = root_of(await call.message(place, request.thread_ts))
        found = await _find(call, place, root_ts, effect)
        return await told(place, found) if found else None

    async def told(place: SlackPlace, found: Json) -> pb.ReplyInThreadResponse:
        message = message_of(found, place.channel_id, await call.client.me())
        return pb.ReplyInThreadResponse(text=f"Replied {message.ts}: {message.url}", message=message)

    return Change(send, find, pb.ReplyInThreadResponse, lambda done: done.message.url)


def reaction(call: SlackCall, request: pb.AddReactionRequest) -> Change[pb.AddReactionResponse]:
    """A reaction of ours; Slack keeps one of a kind on a message."""

    async def send(effect: Effect) -> pb.AddReactionResponse:
        del effect
        place = await call.place(request.channel)
        message = await call.message(place, request.message_ts)
        await call.refuse_origin(place, root_of(message))
        try:
            await call.write(
                "reactions.add", channel=place.channel_id, timestamp=request.message_ts, name=request.name
            )
        except VendorRefused as refused:
            if not is_refusal(refused, "already_reacted"):
                raise
        return await told(place, message)

    async def find(effect: Effect) -> pb.AddReactionResponse | None:
        del effect
        place, me = await call.place(request.channel), await call.client.me()
        message = await call.message(place, request.message_ts)
        ours = [each["name"] for each in message.get("reactions") or () if me.user_id in each["users"]]
        return await told(place, message) if request.name in ours else None

    async def told(place: SlackPlace, message: Json) -> pb.AddReactionResponse:
        url = message_of(message, place.channel_id, await call.client.me()).url
        return pb.AddReactionResponse(text=f"Reacted with :{request.name}: to {url}", url=url)

    return Change(send, find, pb.AddReactionResponse, lambda done: done.url)


async def _post(call: SlackCall, place: SlackPlace, root_ts: str, text: str, effect: Effect) -> Json:
    in_thread = {"thread_ts": root_ts} if root_ts else {}
    answer = await call.write(
        "chat.postMessage",
        channel=place.channel_id,
        text=text,
        metadata=_mark(effect).metadata,
        **in_thread,
        **AS_WRITTEN,
    )
    return {**answer.get("message", {}), **in_thread, "ts": answer["ts"]}


async def _find(call: SlackCall, place: SlackPlace, root_ts: str, effect: Effect) -> Json | None:
    mark = _mark(effect)
    return await find_marked(call.client, mark, place.channel_id, root_ts, effect.created_time)


def _mark(effect: Effect) -> Mark:
    return Mark("astra_effect", "effect_id", effect.effect_id)


def _said(text: str) -> str:
    formatted = to_mrkdwn(text)
    if len(formatted) > TEXT_CHARS_MAX:
        raise FieldInvalid(f"text has {len(formatted):,} characters on Slack, of {TEXT_CHARS_MAX:,} at most.")
    return formatted
