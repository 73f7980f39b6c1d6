"""Which of GitHub's deliveries are without a good attempt, and when one is asked for again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.tools.github_deliveries import (
    ATTEMPTS_MAX,
    FIRST_WAIT,
    OPEN_MAX,
    OVERLAP,
    Attempt,
    Cursor,
    Failed,
    failed_after,
)

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def attempt(guid: str, number: int, *, ok: bool = False) -> Attempt:
    return Attempt(guid, number, NOON + timedelta(seconds=number), ok)


@pytest.mark.parametrize(
    ("known", "log", "open_guids"),
    [
        ((), [attempt("a", 1)], ["a"]),
        ((), [attempt("a", 1, ok=True)], []),
        ((), [attempt("a", 3, ok=True), attempt("a", 1)], []),
        ((), [attempt("a", 3), attempt("a", 1, ok=True)], []),
        (("a",), [attempt("a", 3)], ["a"]),
        (("a",), [attempt("a", 3, ok=True)], []),
        (("a",), [attempt("b", 3)], ["a", "b"]),
        (("a",), [], ["a"]),
    ],
)
def test_one_good_attempt_settles_a_delivery(known, log, open_guids):
    before = {guid: Failed(1, NOON) for guid in known}
    assert open_guids == list(failed_after(before, log))


def test_an_attempt_read_again_is_counted_once():
    known = {"a": Failed(1, NOON, attempts=4)}
    assert known == failed_after(known, [attempt("a", 9), attempt("a", 1)])


def test_of_too_many_the_oldest_are_kept_in_mind_and_fit_into_a_cursor():
    log = [attempt(f"{number:036}", number) for number in range(OPEN_MAX + 5, 0, -1)]
    kept = failed_after({}, log)
    cursor = Cursor(NOON, kept)

    assert (OPEN_MAX, f"{1:036}") == (len(kept), next(iter(kept)))
    assert cursor == Cursor.read(cursor.written())
    assert len(cursor.written()) < 65_536


def test_waits_double_and_end():
    due = [
        Failed(1, NOON, attempts).is_due(NOON + FIRST_WAIT * 2 ** (attempts - 1))
        for attempts in range(1, ATTEMPTS_MAX + 1)
    ]
    assert [True] * (ATTEMPTS_MAX - 1) + [False] == due
    assert not Failed(1, NOON, 3).is_due(NOON + FIRST_WAIT * 3)


def test_what_is_given_up_is_forgotten_once_its_last_attempt_is_not_read_again():
    over = Failed(1, NOON, ATTEMPTS_MAX)
    assert not over.is_over(NOON + OVERLAP)
    assert over.is_over(NOON + OVERLAP + timedelta(seconds=1))
    assert not Failed(1, NOON).is_over(NOON + timedelta(days=1))
