"""How Google tells of changes: notifications of watch channels, and Workspace events pushed by Pub/Sub.

A notification has no body and says only that a file, or anything at all, changed. An event names the
comment and holds neither its words nor its author. Google tries a notification again after 500, 502, 503 and
504, with growing pauses; Pub/Sub tries a push again after anything but a success.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from email.utils import format_datetime

from services.sandbox.google_domain import Action, Channel, Comment, File, Reply
from services.sandbox.google_oauth import GoogleAuth
from services.sandbox.google_state import GoogleState
from services.sandbox.google_wire import JsonObject, resource_uri, rfc3339
from services.sandbox.settings import GoogleSettings
from services.sandbox.webhooks import Courier, Delivery, Letter

VENDOR = "google-drive"
RECEIVER_SECONDS_MAX = 10.0
RETRIED = frozenset({0, 500, 502, 503, 504})
SUBSCRIPTION = "projects/sandbox/subscriptions/atlas"


class GoogleHooks:
    """Writes the letters and sees to their repeats; `events_url` may be changed while running."""

    def __init__(
        self,
        settings: GoogleSettings,
        state: GoogleState,
        auth: GoogleAuth,
        courier: Courier,
        clock: Callable[[], datetime],
    ) -> None:
        self.events_url = settings.events_url
        self._settings = settings
        self._state = state
        self._auth = auth
        self._courier = courier
        self._clock = clock
        self._messages = 0

    def sync(self, channel: Channel) -> None:
        """The first notification of a channel; it may arrive before the call that opens it returns."""
        self._courier.later(self.deliver(self._notification(channel, "sync")))

    def told(self, comment: Comment, reply: Reply | None) -> list[Letter]:
        """What a comment or a reply causes: a notification of each channel that sees it, and an event."""
        letters = [self._notification(each, _state(each)) for each in self._watching(comment.file)]
        if self.events_url:
            noun, verb = ("reply", "created") if reply else ("comment", "created")
            if reply and reply.action:
                noun, verb = "comment", "resolved" if reply.action is Action.RESOLVE else "reopened"
            letters.append(self._event(f"google.workspace.drive.{noun}.v3.{verb}", comment, reply))
        return letters

    def changed(self, comment: Comment, reply_id: str, *, deleted: bool) -> list[Letter]:
        """An edit or a deletion."""
        letters = [self._notification(each, _state(each)) for each in self._watching(comment.file)]
        if self.events_url:
            noun, verb = "reply" if reply_id else "comment", "deleted" if deleted else "edited"
            reply = self._state.reply(comment, reply_id) if reply_id else None
            letters.append(self._event(f"google.workspace.drive.{noun}.v3.{verb}", comment, reply))
        return letters

    async def deliver(self, letter: Letter) -> Delivery:
        """Send a letter and see to its repeats in the background; returns how the first attempt went."""
        first = await self._courier.deliver(self._signed(letter))
        if self._is_tried_again(letter, first):
            self._courier.later(self._repeat(letter))
        return first

    async def _repeat(self, letter: Letter) -> None:
        for delay in self._settings.retry_delays_seconds:
            await self._courier.pause(delay)
            again = await self._courier.deliver(self._signed(replace(letter, redelivery=True)))
            if not self._is_tried_again(letter, again):
                return

    def _is_tried_again(self, letter: Letter, last: Delivery) -> bool:
        return not last.ok if letter.action == "push" else last.status_code in RETRIED

    def _watching(self, file: File) -> list[Channel]:
        if not self._settings.comments_reach_log:
            return []
        return [
            each
            for each in self._state.channels()
            if each.file_id == file.id or (not each.file_id and each.drive_id == file.drive_id)
        ]

    def _notification(self, channel: Channel, state: str) -> Letter:
        channel.numbers += 1
        headers = {
            "Accept": "*/*",
            "Content-Type": "application/json; utf-8",
            "User-Agent": "APIs-Google; (+https://developers.google.com/webmasters/APIs-Google.html)",
            "X-Goog-Channel-ID": channel.id,
            "X-Goog-Channel-Expiration": format_datetime(channel.expires, usegmt=True),
            "X-Goog-Message-Number": str(channel.numbers),
            "X-Goog-Resource-ID": channel.resource_id,
            "X-Goog-Resource-State": state,
            "X-Goog-Resource-URI": resource_uri(channel),
        }
        if channel.token:
            headers["X-Goog-Channel-Token"] = channel.token
        guid = f"{channel.id}/{channel.numbers}"
        return Letter(VENDOR, guid, state, None, channel.address, headers, b"")

    def _event(self, kind: str, comment: Comment, reply: Reply | None) -> Letter:
        self._messages += 1
        told: JsonObject = {"id": comment.id, "file_id": comment.file.id}
        data: JsonObject = {"comment": told}
        if ".reply." in kind and reply is not None:
            data = {"reply": {"id": reply.id, "comment_id": comment.id, "file_id": comment.file.id}}
        message_id = f"{self._messages:016d}"
        now = rfc3339(self._clock())
        body = {
            "message": {
                "attributes": {
                    "ce-datacontenttype": "application/json",
                    "ce-id": f"sandbox-{message_id}",
                    "ce-source": "//workspaceevents.googleapis.com/subscriptions/sandbox",
                    "ce-specversion": "1.0",
                    "ce-subject": f"//drive.googleapis.com/files/{comment.file.id}",
                    "ce-time": now,
                    "ce-type": kind,
                },
                "data": base64.b64encode(json.dumps(data).encode()).decode(),
                "messageId": message_id,
                "message_id": message_id,
                "orderingKey": comment.file.id,
                "publishTime": now,
                "publish_time": now,
            },
            "subscription": SUBSCRIPTION,
        }
        headers = {"Content-Type": "application/json", "User-Agent": "APIs-Google"}
        return Letter(VENDOR, message_id, kind, "push", self.events_url, headers, json.dumps(body).encode())

    def _signed(self, letter: Letter) -> Letter:
        """A push shows who pushes, anew each time."""
        if letter.action != "push":
            return letter
        authorization = f"Bearer {self._auth.identity_token()}"
        return replace(letter, headers={**letter.headers, "Authorization": authorization})


def _state(channel: Channel) -> str:
    """Google says nothing of comments: neither kind of channel names what was changed."""
    return "update" if channel.file_id else "change"
