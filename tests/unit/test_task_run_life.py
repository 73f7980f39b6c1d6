"""The life of a run, whole."""

from __future__ import annotations

import pytest

from services.astra.domain import LIFE, Ending, Outcome, Status, Step, step
from services.astra.errors import PageTokenInvalid
from services.astra.pages import key_of, page_size, token_after
from services.astra.principals import PRINCIPALS, scope_words, scopes_of

MOVES = {
    ("queued", "in_progress"),
    ("queued", "completed"),
    ("in_progress", "waiting"),
    ("in_progress", "completed"),
    ("waiting", "in_progress"),
    ("waiting", "completed"),
}


@pytest.mark.parametrize("now", Status)
@pytest.mark.parametrize("to", Status)
def test_each_wish_to_move_is_decided_by_the_table(now: Status, to: Status) -> None:
    expected = Step.STAY if now == to else Step.MOVE if (now, to) in MOVES else Step.IMPOSSIBLE
    assert expected == step(now, to)


def test_every_unfinished_run_can_end_and_an_end_is_final() -> None:
    assert {Status.COMPLETED} == {status for status in Status if not LIFE[status]}
    assert all(Status.COMPLETED in LIFE[status] for status in Status if status is not Status.COMPLETED)


def test_folded_runs_share_an_answer_and_a_stop_but_name_the_failure_as_not_theirs() -> None:
    answered = Ending(Outcome.SUCCESS, text="[R0] Yes.", reply_url="https://example.org/1")
    stopped = Ending(Outcome.CANCELLED, "STOP_REQUESTED")
    assert answered == answered.of_folded_runs()
    assert stopped == stopped.of_folded_runs()
    failed = Ending(Outcome.FAILURE, "TURNS_EXCEEDED", text="half")
    assert Ending(Outcome.FAILURE, "ANSWERING_RUN_FAILED") == failed.of_folded_runs()


def test_page_token_gives_back_the_key_to_its_own_list_only() -> None:
    token = token_after("task_runs", "2026-01-01", 7)
    assert ["2026-01-01", 7] == key_of(token, "task_runs", str, int)
    assert key_of("", "task_runs", str, int) is None
    with pytest.raises(PageTokenInvalid):
        key_of(token, "turns", str, int)


@pytest.mark.parametrize("token", ["x", "bm90IGpzb24=", "WzFd", "MTI=", "é", "WyJ0YXNrX3J1bnMiLCAieCJd"])
def test_damaged_page_token_is_refused(token: str) -> None:
    with pytest.raises(PageTokenInvalid):
        key_of(token, "task_runs", int)


def test_page_size_has_a_usual_value_and_a_most() -> None:
    assert [50, 7, 200] == [page_size(asked, usual=50, most=200) for asked in (0, 7, 5000)]


def test_scopes_are_stored_as_words_and_read_back() -> None:
    for scopes in PRINCIPALS.values():
        assert scopes == scopes_of(scope_words(scopes))
    assert frozenset() == scopes_of(["fly"])
