"""What `make storm` counts: every way to break a promise is seen, and everything is killed by turns."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from scripts.storm.kills import kills
from scripts.storm.people import plans
from scripts.storm.places import GitHub, Plane, Post, Slack
from scripts.storm.verdict import Held, Row, Run, judge

ANSWER = Post("answer", "[T0] It is a list.")
THREAD = Held("slack C1", ["first", "second"], [ANSWER])
ASKED = Run("1", "first", "success", "", "", ["answer"])
ABSORBED = Run("2", "second", "success", "", "1", [])
PARTS = ("astra", "tools", "worker", "postgresql", "temporal")


def test_a_thread_whose_comments_are_answered_once_has_no_offender():
    explained = [Row("slack", "done", "", 2), Row("slack", "ignored", "SELF_AUTHORED", 1)]
    verdict = judge([THREAD], [ASKED, ABSORBED], explained)

    assert [] == verdict.offenders
    assert (2, 1, 1, 1) == (verdict.comments, verdict.answered, verdict.absorbed, verdict.posts)


@pytest.mark.parametrize(
    ("thread", "runs", "offender"),
    [
        (THREAD, [ASKED], "second: 0 runs, not one"),
        (THREAD, [ASKED, ABSORBED, replace(ABSORBED, id="3")], "second: 2 runs, not one"),
        (
            THREAD,
            [ASKED, replace(ABSORBED, outcome="failure", reason="DEADLINE")],
            "second: run 2 ended as failure DEADLINE",
        ),
        (
            replace(THREAD, posts=[]),
            [replace(ASKED, posts=[]), ABSORBED],
            "second: run 1 has no answer on record",
        ),
        (
            replace(THREAD, posts=[ANSWER, replace(ANSWER, url="again")]),
            [ASKED, ABSORBED],
            "slack C1: again is there 1 times, on record 0 times",
        ),
        (
            replace(THREAD, posts=[]),
            [ASKED, ABSORBED],
            "slack C1: answer is there 0 times, on record 1 times",
        ),
        (
            replace(THREAD, posts=[replace(ANSWER, text="I gave up.")]),
            [ASKED, ABSORBED],
            "answer: no answer: 'I gave up.'",
        ),
        (
            THREAD,
            [ASKED, ABSORBED, Run("3", "else", "success", "", "", [])],
            "else: nobody asked for its run",
        ),
    ],
)
def test_each_broken_promise_has_its_offender(thread: Held, runs: list[Run], offender: str):
    assert offender in judge([thread], runs, []).offenders


@pytest.mark.parametrize(
    "row",
    [
        Row("github", "dead", "HANDLER_DIED", 1),
        Row("github", "pending", "", 1),
        Row("github", "ignored", "CONTAINER_NOT_REGISTERED", 1),
    ],
)
def test_what_nothing_explains_in_the_inbox_is_an_offender(row: Row):
    assert [f"inbox: {row}"] == judge([], [], [row]).offenders


def test_every_part_is_killed_once_before_any_a_second_time_and_a_seed_repeats_it():
    def order(seed: int, count: int) -> list[str]:
        return list(itertools.islice((part for kill in kills(PARTS, seed) for part in kill.parts), count))

    for seed in range(20):
        drawn = order(seed, 2 * len(PARTS))
        assert sorted(PARTS) == sorted(drawn[: len(PARTS)]) == sorted(drawn[len(PARTS) :])
    assert order(1, 50) == order(1, 50) != order(2, 50)


def test_threads_are_spread_over_the_sources_and_within_the_time():
    where = [kind("") for kind in (GitHub, Slack, Plane)]
    planned = plans(where, 30, 12.0, seed=1)

    assert [10] * 3 == [sum(plan.place is place for plan in planned) for place in where]
    assert all(0 <= plan.begins <= 12 for plan in planned)
    assert 0 < sum(plan.asks_again is not None for plan in planned) < 30
