"""What a source of webhooks is to the rest of the dispatcher: two questions it can answer.

`admit` is asked before anything is kept: is this delivery genuine, and how is it filed? `find` is asked of a
kept delivery: which events does it hold? Inside a source, reading and classifying are functions of values;
`find` fetches what they must know in between. A source is a line in `table.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Protocol, TypeAlias

from services.dispatcher.domain import Content, Found, Ignored, SourceState
from services.dispatcher.lookups import Lookups


@dataclass(frozen=True, slots=True)
class Genuine:
    """A delivery to keep.

    `external_id` names it at its vendor: a repeat of it is the same delivery. Deliveries with one `order_key`
    are worked through oldest first. Of its headers only those in `headers` are kept.
    """

    external_id: str
    order_key: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answered:
    """A handshake: answered with 200 and not kept."""

    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a delivery is not kept, in words for its sender."""

    status: HTTPStatus
    reason: str
    detail: str


Verdict: TypeAlias = Genuine | Answered | Refused


class Source(Protocol):
    """One vendor's way in."""

    @property
    def state(self) -> SourceState:
        """Its name, and whether it is on."""
        ...

    async def admit(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> Verdict:
        """Judge a delivery by its raw bytes. Header names are lower-case; the source is on."""
        ...

    async def find(self, content: Content, lookups: Lookups) -> list[Found] | Ignored:
        """The events in a kept delivery, oldest first, or why there are none.

        Raises the errors of what it looks up: the delivery is then tried again later.
        """
        ...


def off_reason(needed: Mapping[str, str]) -> str:
    """What a source misses, from its variables and their values. Empty: nothing."""
    missing = [name for name, value in needed.items() if not value]
    return f"not set: {', '.join(missing)}" if missing else ""


def signature_invalid(header: str) -> Refused:
    """The refusal of a delivery whose signature, in this header, does not hold."""
    detail = f"{header} is missing or made with another secret."
    return Refused(HTTPStatus.UNAUTHORIZED, "SIGNATURE_INVALID", detail)
