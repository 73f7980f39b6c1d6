"""What the dispatcher works with: deliveries, the events found in them, and why some start nothing."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

OPERATION_DEFAULT = "answer"
TEXT_CHARS_MAX = 65_536
"""GitHub's own limit of a comment; nothing beyond it is read."""

Json: TypeAlias = "Mapping[str, object]"


class SourceName(StrEnum):
    """Where deliveries come from."""

    GITHUB = "github"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class SourceState:
    """Whether a source of webhooks is taken from. `off_reason` names what is missing; empty: it is on."""

    name: SourceName
    off_reason: str

    @property
    def on(self) -> bool:
        """Whether nothing is missing."""
        return not self.off_reason


class EventKind(StrEnum):
    """What a person did: said something, or asked to stop."""

    MESSAGE = "message"
    STOP = "stop"


class IgnoredReason(StrEnum):
    """Why a genuine delivery starts nothing; kept on its inbox row."""

    EVENT_NOT_HANDLED = "EVENT_NOT_HANDLED"
    ACTION_NOT_HANDLED = "ACTION_NOT_HANDLED"
    PAYLOAD_NOT_UNDERSTOOD = "PAYLOAD_NOT_UNDERSTOOD"
    SELF_AUTHORED = "SELF_AUTHORED"
    BOT_AUTHORED = "BOT_AUTHORED"
    NOT_ADDRESSED = "NOT_ADDRESSED"
    REPOSITORY_NOT_REGISTERED = "REPOSITORY_NOT_REGISTERED"
    AUTHOR_WITHOUT_STANDING = "AUTHOR_WITHOUT_STANDING"


@dataclass(frozen=True, slots=True)
class Ignored:
    """The verdict that a delivery holds no event."""

    reason: IgnoredReason


@dataclass(frozen=True, slots=True)
class Author:
    """Who did it, as the source names them. `standing` is the source's word for what they are to it."""

    login: str
    external_id: str = ""
    standing: str = ""


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
class KeptDelivery:
    """A delivery in the inbox. `is_new` is false when it, or a repeat of it, was there before."""

    id: str
    is_new: bool


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


@dataclass(frozen=True, slots=True)
class ThreadEvent:
    """An event on record, numbered in its thread, with what is needed to start its runs."""

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
    source_url: str
    repository_id: str
    stop_task_run_id: str | None
    dispatched: bool


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
