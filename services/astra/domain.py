"""The life of a task run, and what may be said of it without asking the record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum


class Status(StrEnum):
    """Where a run is in its life."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    WAITING = "waiting"
    COMPLETED = "completed"


class Outcome(StrEnum):
    """How a run ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    CANCELLED = "cancelled"


LIFE: Mapping[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.IN_PROGRESS, Status.COMPLETED}),
    Status.IN_PROGRESS: frozenset({Status.WAITING, Status.COMPLETED}),
    Status.WAITING: frozenset({Status.IN_PROGRESS, Status.COMPLETED}),
    Status.COMPLETED: frozenset(),
}
"""Every move there is."""


class Step(Enum):
    """What becomes of a wish to move."""

    MOVE = "move"
    STAY = "stay"
    IMPOSSIBLE = "impossible"


def step(now: Status, to: Status) -> Step:
    """Decide a move: repeating one changes nothing, one outside LIFE is impossible."""
    if now == to:
        return Step.STAY
    return Step.MOVE if to in LIFE[now] else Step.IMPOSSIBLE


DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
"""Reason of a run the sweeper ended."""
ANSWERING_RUN_FAILED = "ANSWERING_RUN_FAILED"
"""Reason of a run whose event was folded into a run that failed."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ends. `reason` is a reason code, empty for success; `text` and `reply_url` empty: none."""

    outcome: Outcome
    reason: str = ""
    text: str = ""
    reply_url: str = ""

    def of_folded_runs(self) -> Ending:
        """How the runs end whose events were folded into this one: they share its answer and its fate."""
        if self.outcome is not Outcome.FAILURE:
            return self
        return Ending(Outcome.FAILURE, ANSWERING_RUN_FAILED)
