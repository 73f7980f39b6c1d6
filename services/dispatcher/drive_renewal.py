"""When Drive's watches are renewed: pure, so that every phase of a watch's life can be tried.

A run renews what ends before the next run can be relied on. The next run comes an interval later, or later
still when workers are away; what the look-ahead has over the interval is how much later it may come.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

FILE_CHANNEL_LIFE = timedelta(days=1)
"""The longest Google lets a file's channel live, the shortest of its kinds."""
KEPT_AFTER_EXPIRY = timedelta(days=7)


class RenewalTooSeldom(ValueError):
    """With these times a watch would be dead for a while before it is renewed."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """How often watches are looked at, and how far ahead. Raises RenewalTooSeldom."""

    interval: timedelta
    look_ahead: timedelta

    def __post_init__(self) -> None:
        if self.look_ahead <= self.interval:
            raise RenewalTooSeldom(
                "DRIVE_WATCH_LOOK_AHEAD_HOURS must be more than DRIVE_WATCH_RENEWAL_HOURS: a watch that ends "
                "between two runs would be dead until the second."
            )
        if self.look_ahead >= FILE_CHANNEL_LIFE:
            raise RenewalTooSeldom(
                "DRIVE_WATCH_LOOK_AHEAD_HOURS must be less than 24, which is how long Google lets a file's "
                "channel live."
            )

    def due_until(self, now: datetime) -> datetime:
        """A run at this moment renews what ends up to then."""
        return now + self.look_ahead
