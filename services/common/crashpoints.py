"""Named places where a process may be killed by a test: the moments between two records.

Production sets no variable, and then `reach` costs one comparison. A test that sets
`ASTRA_CRASH_POINT` to a name and `ASTRA_CRASH_MARKER` to a file kills the process by SIGKILL the first
time the place is reached; the file, made exclusively, keeps the restarted process from dying again.
"""

from __future__ import annotations

import os
import signal
from enum import StrEnum
from pathlib import Path


class CrashPoint(StrEnum):
    """Each names what has just been recorded and what has not."""

    INBOX_COMMITTED = "inbox_committed"  # not leased
    DELIVERY_LEASED = "delivery_leased"  # not classified
    EVENT_WRITTEN = "event_written"  # no run
    RUN_CREATED = "run_created"  # not rung
    THREAD_RUNG = "thread_rung"  # delivery not done
    EVENT_CLAIMED = "event_claimed"  # not prepared
    RUN_PREPARED = "run_prepared"  # commit resolved, not pinned
    SPEND_RESERVED = "spend_reserved"  # provider not called
    PROVIDER_ANSWERED = "provider_answered"  # turn not committed
    TURN_COMMITTED = "turn_committed"  # tools not run
    EFFECT_DONE_UNRECORDED = "effect_done_unrecorded"  # done at the vendor, not in the ledger
    ANSWER_POSTED_UNRECORDED = "answer_posted_unrecorded"  # part posted, not in the ledger
    ANSWER_POSTED = "answer_posted"  # run not completed
    RUN_COMPLETED = "run_completed"  # workflow not closed


_ARMED = os.environ.get("ASTRA_CRASH_POINT", "")


def reach(point: CrashPoint) -> None:
    """Die here by SIGKILL if a test armed this point and it has not fired yet."""
    if point != _ARMED:
        return
    try:
        Path(os.environ["ASTRA_CRASH_MARKER"]).open("x").close()
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
