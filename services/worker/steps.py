"""What the workflow and its activities tell each other: ids and small values, for Temporal keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

CLAIM_NEXT = "claim_next"
WORK_ON_RUN = "work_on_run"
GIVE_UP = "give_up"


@dataclass(frozen=True)
class Claim:
    """The event to work on. Without an id there is none."""

    thread_event_id: str
    task_run_ids: list[str]
    heartbeat_seconds: float


@dataclass(frozen=True)
class RunToWork:
    """A run to carry on with. `resume_time_ms` (Unix time) is set while it waits: too early, it waits on.

    `pause_expires_ms` (Unix time) is set once it waited for money: when it has waited long enough.
    `pause_position`: the last turn on record when it began to. Both count until the model speaks again.
    """

    tenant_id: str
    task_run_id: str
    resume_time_ms: int = 0
    pause_expires_ms: int = 0
    pause_position: int = 0


class Progress(StrEnum):
    """How an activity left a run."""

    OVER = "over"
    WAIT = "wait"  # until resume_time_ms
    CONTINUE = "continue"  # at once: its worker leaves, its time is up, or a newer attempt took over


@dataclass(frozen=True)
class WorkResult:
    """What an activity says of its run. Times are Unix time; `resume_time_ms` is 0 unless the run waits.

    `pause_expires_ms` and `pause_position` are given back with the run, whatever else it waits for meanwhile.
    """

    progress: Progress
    resume_time_ms: int = 0
    pause_expires_ms: int = 0
    pause_position: int = 0


@dataclass(frozen=True)
class RunToEnd:
    """A run that cannot go on. `cancelled`: somebody cancelled the workflow; else it failed."""

    tenant_id: str
    task_run_id: str
    reason: str
    cancelled: bool = False
