"""Slack's Events API: which event tells what, how it is signed, and when it is sent again.

Slack waits three seconds, takes any 2xx, and tries three times more: almost at once, after a minute, after
five. A repeat is the same event with the same `event_id`, signed anew, and says its number and the reason.
A receiver that fails may ask for no repeats of that event, by `x-slack-no-retry: 1`.
Not here: that Slack gives up on an app that keeps failing.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from services.sandbox.settings import SlackSettings
from services.sandbox.slack_domain import Message, Person
from services.sandbox.slack_state import SlackState
from services.sandbox.slack_wire import JsonObject, SlackWire
from services.sandbox.webhooks import Courier, Delivery, Letter

VENDOR = "slack"
RECEIVER_SECONDS_MAX = 3.0
"""How long Slack waits for the receiver's answer."""


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """The value of `X-Slack-Signature`, over the time and the raw bytes sent."""
    signed = hmac.new(secret.encode(), f"v0:{timestamp}:".encode() + body, hashlib.sha256)
    return f"v0={signed.hexdigest()}"


class SlackHooks:
    """Writes the letters and sees to their repeats; `url` may be changed while running."""

    def __init__(
        self,
        settings: SlackSettings,
        state: SlackState,
        courier: Courier,
        clock: Callable[[], datetime],
    ) -> None:
        self.url = settings.webhook_url
        self._settings = settings
        self._state = state
        self._courier = courier
        self._clock = clock

    def said(self, message: Message, wire: SlackWire) -> list[Letter]:
        """What a message causes: `message`, and `app_mention` too where the bot is named in a channel."""
        letters = [self._event(wire.said(message), message)]
        if message.channel.kind != "im" and f"<@{self._state.bot.id}>" in message.text:
            letters.append(self._event(wire.mentioned(message), message))
        return letters

    def changed(self, before: Message, after: Message | None, wire: SlackWire) -> list[Letter]:
        """An edit, or with nothing after it a deletion."""
        return [self._event(wire.changed(before, after, self._now_ts()), before)]

    def reacted(self, message: Message, by: Person, name: str, wire: SlackWire) -> list[Letter]:
        """A reaction."""
        return [self._event(wire.reacted(message, by, name, self._now_ts()), message)]

    def challenge(self) -> Letter:
        """What Slack sends when the address is set: it wants the challenge back."""
        challenge = secrets.token_urlsafe(24)
        body: JsonObject = {"type": "url_verification", "token": "unused", "challenge": challenge}
        return self._letter("url_verification", challenge, body)

    async def deliver(self, letter: Letter) -> Delivery:
        """Send an event and see to its repeats in the background; returns how the first attempt went."""
        first = await self._courier.deliver(self._signed(letter))
        if _is_tried_again(first):
            self._courier.later(self._repeat(letter, first))
        return first

    async def _repeat(self, letter: Letter, last: Delivery) -> None:
        for number, delay in enumerate(self._settings.retry_delays_seconds, start=1):
            await self._courier.pause(delay)
            headers = {**letter.headers, "X-Slack-Retry-Num": str(number)}
            headers["X-Slack-Retry-Reason"] = _reason(last)
            again = replace(letter, headers=headers, url=self.url, redelivery=True)
            last = await self._courier.deliver(self._signed(again))
            if not _is_tried_again(last):
                return

    def _event(self, event: JsonObject, message: Message) -> Letter:
        event_id = f"Ev{secrets.token_hex(5).upper()}"
        bot = self._state.bot
        authorization: JsonObject = {
            "enterprise_id": None,
            "team_id": bot.team_id,
            "user_id": bot.id,
            "is_bot": True,
            "is_enterprise_install": False,
        }
        body: JsonObject = {
            "token": "unused",
            "team_id": bot.team_id,
            "api_app_id": self._settings.app_id,
            "event": event,
            "type": "event_callback",
            "event_id": event_id,
            "event_time": int(self._clock().timestamp()),
            "authorizations": [authorization],
            "is_ext_shared_channel": message.by.team_id != bot.team_id,
            "event_context": f"4-{secrets.token_hex(8)}",
        }
        return self._letter(str(event["type"]), event_id, body)

    def _letter(self, event: str, guid: str, body: JsonObject) -> Letter:
        headers = {
            "Accept": "*/*",
            "Content-Type": "application/json",
            "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
        }
        sent = json.dumps(body, separators=(",", ":")).encode()
        return Letter(VENDOR, guid, event, None, self.url, headers, sent)

    def _signed(self, letter: Letter) -> Letter:
        timestamp = str(int(self._clock().timestamp()))
        headers = {
            **letter.headers,
            "X-Slack-Request-Timestamp": timestamp,
            "X-Slack-Signature": signature(self._settings.signing_secret, timestamp, letter.body),
        }
        return replace(letter, headers=headers)

    def _now_ts(self) -> str:
        return f"{self._clock().timestamp():.6f}"


def _is_tried_again(last: Delivery) -> bool:
    return not last.ok and last.response_headers.get("X-Slack-No-Retry") != "1"


def _reason(failed: Delivery) -> str:
    if failed.status_code:
        return "http_error"
    return "http_timeout" if failed.problem == "timed out" else "connection_failed"
