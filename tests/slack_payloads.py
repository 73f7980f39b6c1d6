"""Slack's events, key by key as its documentation and its own type declarations show them."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any

TEAM, CHANNEL, DIRECT, BOT, MARIA = "T0ACME", "C0SHOP", "D0MARIA", "U0ATLAS", "U0MARIA"
ROOT_TS, TS = "1763850000.000100", "1763850060.000200"
MENTION = f"<@{BOT}>"


def envelope(event: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "token": "XXYYZZ",
        "team_id": TEAM,
        "context_team_id": TEAM,
        "context_enterprise_id": None,
        "api_app_id": "A0ASTRA",
        "event": event,
        "type": "event_callback",
        "event_id": "Ev0PV52K21",
        "event_time": 1763850060,
        "authorizations": [
            {
                "enterprise_id": None,
                "team_id": TEAM,
                "user_id": BOT,
                "is_bot": True,
                "is_enterprise_install": False,
            }
        ],
        "is_ext_shared_channel": False,
        "event_context": "4-abc",
        **more,
    }


def message(text: str = "hello", **more: Any) -> dict[str, Any]:
    """A message in a channel; `thread_ts` as a further key puts it into a thread."""
    return envelope(
        {
            "client_msg_id": "d7b6c1c2-53a5-4f0c-8d5c-0a6bd0c3b3a1",
            "type": "message",
            "text": text,
            "user": MARIA,
            "ts": TS,
            "team": TEAM,
            "blocks": [{"type": "rich_text", "block_id": "b", "elements": []}],
            "channel": CHANNEL,
            "event_ts": TS,
            "channel_type": "channel",
            **more,
        }
    )


def mention(text: str = f"{MENTION} why?", **more: Any) -> dict[str, Any]:
    """The other event of a message that names the bot: no `channel_type`."""
    told = message(text, **more)
    del told["event"]["channel_type"]
    told["event"]["type"] = "app_mention"
    return told | {"event_id": "Ev0PV52K22"}


def direct(text: str = "why?", **more: Any) -> dict[str, Any]:
    return message(text, channel=DIRECT, channel_type="im", **more)


def reaction(name: str, **more: Any) -> dict[str, Any]:
    item = {"type": "message", "channel": CHANNEL, "ts": TS}
    event = {
        "type": "reaction_added",
        "user": MARIA,
        "reaction": name,
        "item_user": "U0ADA",
        "item": item,
        "event_ts": "1763850090.000300",
    }
    return envelope(event | more)


def signed(body: bytes, secret: str, *, at: float | None = None, **more: str) -> dict[str, str]:
    """Slack's headers over a body."""
    timestamp = str(int(time.time() if at is None else at))
    base = f"v0:{timestamp}:".encode() + body
    return {
        "Content-Type": "application/json",
        "X-Slack-Request-Timestamp": timestamp,
        "X-Slack-Signature": "v0=" + hmac.new(secret.encode(), base, hashlib.sha256).hexdigest(),
        **more,
    }


def encoded(told: dict[str, Any]) -> bytes:
    return json.dumps(told).encode()
