"""Every phase of a watch's life against the schedule of renewals: it is never dead."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from services.dispatcher.drive_renewal import FILE_CHANNEL_LIFE, Renewal, RenewalTooSeldom
from services.dispatcher.settings import DispatcherSettings

BEGIN = datetime(2026, 11, 23, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
LIVES = {"file": FILE_CHANNEL_LIFE, "log": timedelta(days=7)}


def dead_for(renewal: Renewal, born: datetime, life: timedelta, lateness: timedelta) -> timedelta:
    """How long a watch is dead in two weeks of runs, every other one late."""
    expires, dead, last = born + life, timedelta(0), born
    for number in range(int(timedelta(days=14) / renewal.interval)):
        now = BEGIN + number * renewal.interval + (lateness if number % 2 else timedelta(0))
        if now < born:
            continue
        dead += max(timedelta(0), now - max(expires, last))
        if expires <= renewal.due_until(now):
            expires = now + life
        last = now
    return dead


@pytest.mark.parametrize("kind", LIVES)
@pytest.mark.parametrize("lateness", [timedelta(0), 3 * HOUR, 6 * HOUR - MINUTE])
def test_a_watch_is_alive_whenever_it_was_opened(kind, lateness):
    renewal = Renewal(12 * HOUR, 18 * HOUR)
    phases = [BEGIN + minute * MINUTE for minute in range(0, 24 * 60, 7)]

    assert {timedelta(0)} == {dead_for(renewal, born, LIVES[kind], lateness) for born in phases}


def test_this_test_would_see_a_watch_that_dies():
    too_short = object.__new__(Renewal)
    object.__setattr__(too_short, "interval", 12 * HOUR)
    object.__setattr__(too_short, "look_ahead", 6 * HOUR)
    phases = [BEGIN + minute * MINUTE for minute in range(0, 24 * 60, 7)]

    assert any(dead_for(too_short, born, FILE_CHANNEL_LIFE, timedelta(0)) for born in phases)


@pytest.mark.parametrize(("hours", "ahead"), [(12, 6), (12, 12), (23, 24), (30, 40)])
def test_times_that_leave_a_watch_dead_are_refused(hours, ahead):
    with pytest.raises(RenewalTooSeldom):
        Renewal(hours * HOUR, ahead * HOUR)


def test_the_dispatcher_does_not_start_with_such_times():
    known = {"ASTRA_TOKEN": "t", "DATABASE_URL": "d", "RELAY_DATABASE_URL": "r"}
    assert DispatcherSettings.model_validate(known).drive_renewal == Renewal(12 * HOUR, 18 * HOUR)
    with pytest.raises(ValidationError, match="DRIVE_WATCH_LOOK_AHEAD_HOURS"):
        DispatcherSettings.model_validate({**known, "DRIVE_WATCH_LOOK_AHEAD_HOURS": 8})
