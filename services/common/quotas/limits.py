"""What a shared limit is, and what it looks like when it is used up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

MINUTE = timedelta(minutes=1)
AT_ONCE = timedelta()
RETRY_MIN = timedelta(milliseconds=50)
"""Nobody is asked to come back sooner."""


@dataclass(frozen=True, slots=True)
class Limit:
    """So many units within any window, or AT_ONCE; 0 units: no limit, only blocks are obeyed.

    `key` names the account and what of it is limited, in at most 200 of `A-Z a-z 0-9 . _ : / -`.
    """

    key: str
    units: int = 0
    window: timedelta = MINUTE


class QuotaExceeded(Exception):
    """Nothing is left for now, or the vendor wants to be left alone. Nothing was taken."""

    def __init__(self, key: str, retry_after: timedelta) -> None:
        self.key = key
        self.retry_after = max(retry_after, RETRY_MIN)
        super().__init__(f"{key}: again in {self.retry_after.total_seconds():.1f} s")
