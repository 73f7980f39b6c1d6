"""How a message of ours is found again on Slack: by an id in its metadata, which people do not see.

Slack has no idempotency key, so whoever wrote something and never heard how it went has to look.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from services.tools.slack_client import Json, SlackClient
from services.tools.vendor_errors import VendorUnavailable

PAGE_SIZE = 200
PAGES_MAX = 20
CLOCK_SKEW = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Mark:
    """What a message of ours carries: the id of the ledger's row, under a name that tells its kind."""

    event_type: str
    field: str
    row_id: str

    @property
    def metadata(self) -> Json:
        """As `chat.postMessage` takes it."""
        return {"event_type": self.event_type, "event_payload": {self.field: self.row_id}}

    def is_on(self, message: Json) -> bool:
        """Whether a message carries it; only the app that wrote it can have set it."""
        payload = (message.get("metadata") or {}).get("event_payload") or {}
        return str(payload.get(self.field, "")) == self.row_id


async def find_marked(
    slack: SlackClient, mark: Mark, channel: str, thread_ts: str, since: Timestamp | None
) -> Json | None:
    """The message with the mark in a thread, or with no `thread_ts` in the channel itself.

    `since`: when the row was written, None: look through all. Raises VendorUnavailable for too much of it.
    """
    method = "conversations.replies" if thread_ts else "conversations.history"
    arguments: dict[str, str | int | bool] = {
        "channel": channel,
        "include_all_metadata": True,
        "limit": PAGE_SIZE,
    }
    if thread_ts:
        arguments["ts"] = thread_ts
    if since is not None:
        arguments["oldest"] = f"{(since.ToDatetime(UTC) - CLOCK_SKEW).timestamp():.6f}"
    for _ in range(PAGES_MAX):
        page = await slack.read(method, **arguments)
        for message in page["messages"]:
            if mark.is_on(message):
                return message
        arguments["cursor"] = (page.get("response_metadata") or {}).get("next_cursor") or ""
        if not arguments["cursor"]:
            return None
    raise VendorUnavailable("There is too much to look through for an earlier message.")
