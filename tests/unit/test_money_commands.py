"""What `astra budget` takes for an amount, and how `astra runs compare` reads."""

from __future__ import annotations

import pytest

from aucert.astra.v1.task_run_pb2 import TASK_RUN_OUTCOME_FAILURE, TASK_RUN_OUTCOME_SUCCESS, TaskRun
from services.cli.budget_commands import micros
from services.cli.comparison import side_by_side


@pytest.mark.parametrize(
    ("amount", "expected"), [("2", 2_000_000), ("$2.50", 2_500_000), ("0.000001", 1), ("0", 0)]
)
def test_amounts_are_kept_to_the_millionth(amount: str, expected: int) -> None:
    assert expected == micros(amount)


@pytest.mark.parametrize("amount", ["", "two", "-1", "0.0000001", "NaN", "Infinity", "1e12"])
def test_what_is_no_amount_is_refused(amount: str) -> None:
    with pytest.raises(ValueError, match="US dollars"):
        micros(amount)


def test_runs_are_compared_a_line_each_with_time_tokens_and_cost() -> None:
    opus = TaskRun(
        task_run_id="r1",
        model_alias="opus",
        model_label="O47",
        outcome=TASK_RUN_OUTCOME_SUCCESS,
        duration_ms=12_340,
        turn_count=3,
        tokens_input=900,
        tokens_cache_write=100,
        tokens_cache_read=5_000,
        cache_hit_rate=5 / 6,
        tokens_output=700,
        estimated_cost_usd_micros=25_125,
    )
    kimi = TaskRun(task_run_id="r2", model_alias="kimi", model_label="K26", outcome=TASK_RUN_OUTCOME_FAILURE)
    assert [
        "model       outcome  time    turns  in    cached      out  cost     run",
        "opus [O47]  success  12.3 s  3      1000  5000 (83%)  700  $0.0251  r1",
        "kimi [K26]  failure  0.0 s   0      0     0           0    $0.0000  r2",
    ] == side_by_side([opus, kimi]).splitlines()
