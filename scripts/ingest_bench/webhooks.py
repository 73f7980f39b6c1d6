"""The webhooks of the bench: Slack's event for a message in a channel, about 10 KB, that is for nobody.

Slack's, because all contenders can take it. Each differs from all others in id, thread and words, and can be
made again from its name, so what a table holds can be compared with what was sent.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import time

SECRET = "bench-signing-secret"  # noqa: S105 - of a bench that sends nothing to anybody
SIZE_BYTES = 10_000
WORDS = (
    *("basket", "checkout", "discount", "flaky", "latency", "migration", "order", "payment", "queue"),
    *("refund", "release", "retry", "rollback", "schema", "shipping", "stock", "timeout", "voucher"),
)


def names(batch: str, count: int) -> list[str]:
    """The names of a batch's webhooks, which are Slack's event ids."""
    return [f"Ev{batch}{number:06}" for number in range(count)]


def body(name: str) -> bytes:
    """The event of this name, SIZE_BYTES long: the words, and once more as the blocks Slack adds."""
    empty = len(json.dumps(_event(name, "", "")))
    half = (SIZE_BYTES - empty) // 2
    words = _words(name, SIZE_BYTES)
    return json.dumps(_event(name, words[:half], words[half : SIZE_BYTES - empty])).encode()


def headers(content: bytes) -> dict[str, str]:
    """Slack's headers over a body, signed now: they are worth something for five minutes."""
    told = str(int(time.time()))
    signature = hmac.new(SECRET.encode(), f"v0:{told}:".encode() + content, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
        "X-Slack-Request-Timestamp": told,
        "X-Slack-Signature": f"v0={signature}",
    }


def _words(name: str, length: int) -> str:
    pick = random.Random(name)  # noqa: S311 - words, not secrets
    return " ".join(pick.choices(WORDS, k=length // 5))[:length]


def _event(name: str, text: str, block: str) -> dict[str, object]:
    digits = int.from_bytes(hashlib.sha256(name.encode()).digest()[:6])
    ts = f"{1_700_000_000 + digits % 10**8}.{digits // 10**8 % 10**6:06}"
    spoken = {"type": "text", "text": block}
    section = {"type": "rich_text_section", "elements": [spoken]}
    return {
        "token": "XXYYZZ",
        "team_id": "T0BENCH",
        "api_app_id": "A0BENCH",
        "type": "event_callback",
        "event_id": name,
        "event_time": 1_700_000_000,
        "authorizations": [{"team_id": "T0BENCH", "user_id": "U0BENCHBOT", "is_bot": True}],
        "event": {
            "type": "message",
            "channel": "C0BENCH",
            "channel_type": "channel",
            "user": "U0MARIA",
            "team": "T0BENCH",
            "ts": ts,
            "event_ts": ts,
            "text": text,
            "blocks": [{"type": "rich_text", "block_id": "b", "elements": [section]}],
        },
    }
