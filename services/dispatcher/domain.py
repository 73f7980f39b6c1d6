"""What the dispatcher works with: deliveries, the events found in them, and why some start nothing."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import TypeAlias

OPERATION_DEFAULT = "answer"
OPERATION_RESOLVE = "resolve_comment"
AGENT_DEFAULT = "atlas"
MODELS_MAX = 8
MODELS_WITHOUT_STANDING_MAX = 1
"""Models one event may ask for; the second, where its author is let in without standing."""
TEXT_CHARS_MAX = 65_536
"""GitHub's own limit of a comment; nothing beyond it is read."""

Json: TypeAlias = "Mapping[str, object]"


class SourceName(StrEnum):
    """Where deliveries come from."""

    GITHUB = "github"
    SLACK = "slack"
    PLANE = "plane"
    GOOGLE_DRIVE = "google-drive"
    GOOGLE_EVENTS = "google-events"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class SourceState:
    """Whether a source of webhooks is taken from. `off_reason` names what is missing; empty: it is on.

    `title` is its name for people.
    """

    name: SourceName
    title: str
    off_reason: str

    @property
    def on(self) -> bool:
        """Whether nothing is missing."""
        return not self.off_reason


class EventKind(StrEnum):
    """What a person did: said something, asked to stop, or let a waiting run spend more."""

    MESSAGE = "message"
    STOP = "stop"
    RAISE = "raise"


class Command(StrEnum):
    """What can be asked for by name, as in `/atlas resolve`; the values are what people type."""

    RESOLVE = "resolve"
    STOP = "stop"
    STATUS = "status"
    FINALIZE = "finalize"
    GENERATE = "generate"
    SYNTHESIZE = "synthesize"

    @property
    def operation(self) -> str:
        """The operation of the run it starts."""
        match self:
            case Command.RESOLVE:
                return OPERATION_RESOLVE
            case Command.FINALIZE | Command.GENERATE | Command.SYNTHESIZE:
                return f"spec_{self}"
            case Command.STATUS | Command.STOP:
                return str(self)


class IgnoredReason(StrEnum):
    """Why a genuine delivery starts nothing; kept on its inbox row."""

    EVENT_NOT_HANDLED = "EVENT_NOT_HANDLED"
    ACTION_NOT_HANDLED = "ACTION_NOT_HANDLED"
    PAYLOAD_NOT_UNDERSTOOD = "PAYLOAD_NOT_UNDERSTOOD"
    SELF_AUTHORED = "SELF_AUTHORED"
    BOT_AUTHORED = "BOT_AUTHORED"
    NOT_ADDRESSED = "NOT_ADDRESSED"
    REPOSITORY_NOT_REGISTERED = "REPOSITORY_NOT_REGISTERED"
    CONTAINER_NOT_REGISTERED = "CONTAINER_NOT_REGISTERED"
    AUTHOR_WITHOUT_STANDING = "AUTHOR_WITHOUT_STANDING"
    ITEM_GONE = "ITEM_GONE"
    ALREADY_RESOLVED = "ALREADY_RESOLVED"
    CONTAINER_READ = "CONTAINER_READ"
    VENDOR_DROPS_DELIVERIES = "VENDOR_DROPS_DELIVERIES"


@dataclass(frozen=True, slots=True)
class Ignored:
    """The verdict that a delivery holds no event."""

    reason: IgnoredReason


@dataclass(frozen=True, slots=True)
class Author:
    """Who did it, as the source names them. `standing` is the source's word for what they are to it.

    `trusted`: they belong to the place they wrote in, so what they ask for may change things elsewhere.
    """

    login: str
    external_id: str = ""
    standing: str = ""
    trusted: bool = False


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model that shall work on an event."""

    alias: str
    label: str


@dataclass(frozen=True, slots=True)
class ThreadRef:
    """A conversation. `address` is the contract's ThreadAddress in its JSON form.

    `workflow_path` follows the tenant's slug in the workflow id.
    """

    source: str
    key: str
    address: Json
    workflow_path: str


@dataclass(frozen=True, slots=True)
class Event:
    """What one person did, found in a delivery.

    `key` names the act for good: every delivery that tells of it gives the same key. `thread` is a
    conversation the source names, `thread_id` one that is on record already; exactly one of them is set.
    """

    key: str
    kind: EventKind
    source: str
    agent_slug: str
    author: Author
    text: str
    description: str
    address: Json
    models: tuple[ModelChoice, ...] = ()
    thread: ThreadRef | None = None
    thread_id: str | None = None
    operation: str = OPERATION_DEFAULT
    repository_id: str = ""
    source_url: str = ""
    stop_task_run_id: str | None = None
    raise_usd_micros: int | None = None


@dataclass(frozen=True, slots=True)
class RegisteredRepository:
    """The repository of this installation that an act is about. `open_to_all`: standing is not asked for."""

    repository_id: str
    open_to_all: bool


class Standing(StrEnum):
    """What somebody is to the place they write in, as far as vendors tell us by fetching."""

    MEMBER = "member"
    GUEST = "guest"
    EXTERNAL = "external"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in a thread. `ours`: the account we write as, where the fetched thread tells it."""

    name: str
    standing: Standing
    is_bot: bool
    ours: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """One message of a fetched thread, in plain text. `ours`: we wrote it."""

    external_id: str
    author_id: str
    ours: bool
    text: str
    url: str


@dataclass(frozen=True, slots=True)
class Talk:
    """A thread as fetched, up to the item that was asked about.

    `address` is where the item truly belongs. The first message comes first; `left_out` stood after it.
    `people`: who is known of them, by the vendor's id.
    """

    address: Json
    messages: tuple[Said, ...]
    left_out: int
    people: Mapping[str, Person]
    resolved: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """An event the source found, before the models are chosen.

    `tags` are the words in brackets. At most `models_max` of the models they ask for are run.
    """

    event: Event
    tags: tuple[str, ...]
    models_max: int


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A genuine delivery, to be kept. Those with one `order_key` are worked through oldest first."""

    source: str
    external_id: str
    order_key: str
    headers: Mapping[str, str]
    body: bytes
    received_time: datetime
    id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass(frozen=True, slots=True)
class Missed:
    """A delivery in a webhook's shape that was read from its vendor. Header names are lower-case."""

    external_id: str
    headers: Mapping[str, str]
    body: bytes


OrderKey: TypeAlias = Callable[[Missed], str]
"""The order key of a delivery that was read from its vendor."""


@dataclass(frozen=True, slots=True)
class KeptDelivery:
    """A delivery in the inbox. `is_new` is false when it, or a repeat of it, was there before."""

    id: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries of the inbox are asked for; what is empty or None lets all through."""

    source: str = ""
    status: str = ""
    received_after: datetime | None = None
    received_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """How far a delivery in the inbox got. `next_attempt_time` None: it is over."""

    id: str
    source: str
    external_id: str
    order_key: str
    position: int
    status: str
    outcome_reason: str
    attempts: int
    received_time: datetime
    next_attempt_time: datetime | None
    finished_time: datetime | None
    thread_event_id: str
    redelivered_by: str
    redelivered_time: datetime | None
    body_size_bytes: int


@dataclass(frozen=True, slots=True)
class Refusals:
    """How many deliveries of a source were refused for a reason on a day of UTC."""

    day: date
    source: str
    reason: str
    count: int
    last_time: datetime


@dataclass(frozen=True, slots=True)
class LeasedDelivery:
    """A delivery this relay may work on until its lease runs out. `lease` proves it at the end.

    `attempts` counts the failures that were the delivery's own.
    """

    id: str
    tenant_id: str
    lease: str
    source: str
    external_id: str
    attempts: int
    received_time: datetime


@dataclass(frozen=True, slots=True)
class Content:
    """What a delivery holds. Header names are lower-case."""

    headers: Mapping[str, str]
    body: bytes
    received_time: datetime


@dataclass(frozen=True, slots=True)
class ThreadEvent:
    """An event on record, numbered in its thread, with what is needed to start its runs.

    `author_id` is the source's id of who did it.
    """

    id: str
    tenant_id: str
    thread_id: str
    workflow_id: str
    seq: int
    kind: EventKind
    source: str
    agent_slug: str
    address: Json
    operation: str
    models: tuple[ModelChoice, ...]
    description: str
    requester: str
    author_id: str
    requester_trusted: bool
    source_url: str
    repository_id: str
    stop_task_run_id: str | None
    raise_usd_micros: int | None
    dispatched: bool


@dataclass(frozen=True, slots=True)
class DriveTarget:
    """What is watched in Drive: a file or folder, or with no `file_id` all that changes.

    `drive_id`: in this shared drive, instead of what is the account's own or shared with it.
    """

    file_id: str = ""
    drive_id: str = ""


@dataclass(frozen=True, slots=True)
class DriveWatch:
    """A channel by which Google tells of changes. `stopped_time` None: it is ours still."""

    channel_id: str
    tenant_id: str
    target: DriveTarget
    watches_log: bool
    agent_id: str
    resource_id: str
    address: str
    expiration_time: datetime
    created_time: datetime
    stopped_time: datetime | None

    @property
    def container(self) -> str:
        """What is read for it."""
        target = self.target
        if target.file_id:
            return f"google-drive:file/{target.file_id}"
        return f"google-drive:changes/{target.drive_id}" if target.drive_id else "google-drive:changes"


@dataclass(frozen=True, slots=True)
class Bell:
    """What it takes to ring a thread's workflow."""

    tenant_id: str
    thread_id: str
    workflow_id: str


def thread_event_id(tenant_id: str, event_key: str) -> str:
    """The id of an event: the same whoever computes it, so an answer can name it before it is written."""
    return str(uuid.uuid5(uuid.UUID(tenant_id), event_key))


def task_run_id(event_id: str, model_alias: str) -> str:
    """The id of the run of an event by a model."""
    return str(uuid.uuid5(uuid.UUID(event_id), model_alias))
