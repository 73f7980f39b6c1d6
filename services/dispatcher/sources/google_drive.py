"""Google Drive: notifications of watch channels, and the comments found by reading where they point to.

A notification says that a file, or something, changed. What people wrote is read from Drive then, comes into
the inbox as a delivery for each act, and only that holds an event. Everything outside `GoogleDriveSource` but
`read_instead` is a function of values.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus

from services.dispatcher.domain import (
    MODELS_MAX,
    MODELS_WITHOUT_STANDING_MAX,
    OPERATION_DEFAULT,
    Author,
    Command,
    Content,
    Event,
    EventKind,
    Found,
    Ignored,
    IgnoredReason,
    Json,
    RegisteredRepository,
    SourceName,
    SourceState,
    Standing,
    ThreadRef,
)
from services.dispatcher.lookups import Lookups
from services.dispatcher.sources import google_payload
from services.dispatcher.sources.google_addressing import Asked, asked
from services.dispatcher.sources.google_description import describe
from services.dispatcher.sources.google_payload import (
    CHANNEL_HEADER,
    NUMBER_HEADER,
    STATE_HEADER,
    SYNC,
    URI_HEADER,
    Act,
)
from services.dispatcher.sources.source import (
    Answered,
    Genuine,
    Refused,
    Verdict,
    off_reason,
    signature_invalid,
)

TOKEN_HEADER = "x-goog-channel-token"  # noqa: S105 - a header's name
KEPT_HEADERS = frozenset({CHANNEL_HEADER, NUMBER_HEADER, STATE_HEADER, URI_HEADER, "x-goog-resource-id"})
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)


class GoogleDriveSource:
    """Notifications of the channels we opened, known by `token`, and comments that were read."""

    def __init__(self, token: str) -> None:
        self.state = SourceState(
            SourceName.GOOGLE_DRIVE, "Google Drive", off_reason({"DRIVE_CHANNEL_TOKEN": token})
        )
        self._token = token

    async def admit(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Verdict:
        """Check the channel's token; the first notification of a channel only says that it is open."""
        del body, now
        if not is_genuine(self._token, headers):
            return signature_invalid("X-Goog-Channel-Token")
        if headers.get(STATE_HEADER) == SYNC:
            return Answered("text/plain", b"")
        channel_id, number = headers.get(CHANNEL_HEADER, ""), headers.get(NUMBER_HEADER, "")
        if not (_NAME.fullmatch(channel_id) and _NUMBER.fullmatch(number)):
            detail = "X-Goog-Channel-ID or X-Goog-Message-Number is missing or odd."
            return Refused(HTTPStatus.BAD_REQUEST, "DELIVERY_ID_MISSING", detail)
        kept = {name: value for name, value in headers.items() if name in KEPT_HEADERS}
        external_id = f"{channel_id}/{number}"
        return Genuine(external_id, read_key(google_payload.notified(kept), external_id), kept)

    async def find(self, content: Content, lookups: Lookups) -> list[Found] | Ignored:
        """The event of a comment that was read. A notification holds none: it has its container read."""
        if CHANNEL_HEADER in content.headers:
            return await read_instead(google_payload.notified(content.headers), content, lookups)
        act = google_payload.read(content.body)
        if isinstance(act, Ignored):
            return act
        thread_agent = await lookups.agent_of(SourceName.GOOGLE_DRIVE, act.thread_key)
        request = asked(act, await lookups.handles(SourceName.GOOGLE_DRIVE), thread_agent)
        repository = await _repository(act, lookups) if request else None
        found = classify(act, request, repository)
        return found if isinstance(found, Ignored) else [found]


async def read_instead(container: str | Ignored, content: Content, lookups: Lookups) -> Ignored:
    """Have read what a notification or an event points to; what is found are deliveries of their own."""
    if isinstance(container, Ignored):
        return container
    await lookups.read(SourceName.GOOGLE_DRIVE, container, told_time=content.received_time)
    return Ignored(IgnoredReason.CONTAINER_READ)


async def _repository(act: Act, lookups: Lookups) -> RegisteredRepository | None:
    for name in act.containers:
        if found := await lookups.repository_of(name):
            return found
    return None


def is_genuine(token: str, headers: Mapping[str, str]) -> bool:
    """Whether a notification is of a channel of ours. An empty token proves nothing."""
    return bool(token) and hmac.compare_digest(token.encode(), headers.get(TOKEN_HEADER, "").encode())


def read_key(container: str | Ignored, external_id: str) -> str:
    """One container is read once at a time; what has nothing read waits for nobody."""
    return f"delivery/{external_id}" if isinstance(container, Ignored) else f"read/{container}"


def order_key(external_id: str, body: bytes) -> str:
    """The thread of a comment that was read; its own name where it cannot be understood."""
    act = google_payload.read(body)
    return f"delivery/{external_id}" if isinstance(act, Ignored) else f"google-drive/{act.thread_key}"


def classify(act: Act, request: Asked | None, repository: RegisteredRepository | None) -> Found | Ignored:
    """The event in an act, or why it starts nothing."""
    if request is None:
        return Ignored(IgnoredReason.NOT_ADDRESSED)
    if repository is None:
        return Ignored(IgnoredReason.CONTAINER_NOT_REGISTERED)
    is_stranger = act.standing is Standing.EXTERNAL
    if is_stranger and not repository.open_to_all:
        return Ignored(IgnoredReason.AUTHOR_WITHOUT_STANDING)
    if request.command is Command.RESOLVE and act.resolved and not act.action:
        return Ignored(IgnoredReason.ALREADY_RESOLVED)
    return Found(
        event=_event(act, request, repository),
        tags=request.tags,
        models_max=MODELS_WITHOUT_STANDING_MAX if is_stranger else MODELS_MAX,
    )


def event_key(act: Act) -> str:
    """The name of an act for good, whichever channel, event or reading told of it."""
    key = f"drive:{act.thread_key}"
    return f"{key}/{act.reply_id}" if act.reply_id else key


def _event(act: Act, request: Asked, repository: RegisteredRepository) -> Event:
    stop = request.command is Command.STOP
    address: Json = {
        "google_drive": {
            "file_id": act.file_id,
            "comment_id": act.comment_id,
            "reply_id": act.reply_id,
            "file_url": act.file_url,
        }
    }
    return Event(
        key=event_key(act),
        kind=EventKind.STOP if stop else EventKind.MESSAGE,
        source=SourceName.GOOGLE_DRIVE,
        agent_slug=request.agent,
        author=Author(
            login=act.item.author_id,
            standing=act.standing,
            trusted=act.standing is Standing.MEMBER,
        ),
        text=act.item.text,
        description=describe(act, resolve=request.command is Command.RESOLVE),
        address=address,
        thread=ThreadRef(
            source=SourceName.GOOGLE_DRIVE,
            key=act.thread_key,
            address=address,
            workflow_path=f"drive/{act.thread_key}",
        ),
        operation=request.command.operation if request.command else OPERATION_DEFAULT,
        repository_id=repository.repository_id,
        source_url=act.link,
    )
