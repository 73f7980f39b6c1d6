"""How a run reads in the answer to a question about how things stand."""

from datetime import UTC, datetime
from typing import Any

import pytest

from aucert.astra.v1.task_run_pb2 import (
    TASK_RUN_OUTCOME_FAILURE,
    TASK_RUN_STATUS_COMPLETED,
    TASK_RUN_STATUS_IN_PROGRESS,
    TASK_RUN_STATUS_QUEUED,
    TASK_RUN_STATUS_WAITING,
    WAIT_REASON_BUDGET,
    TaskRun,
)
from services.dispatcher.thread_status import run_line


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"status": TASK_RUN_STATUS_QUEUED}, "queued"),
        ({"status": TASK_RUN_STATUS_IN_PROGRESS}, "in progress"),
        ({"status": TASK_RUN_STATUS_WAITING, "waiting_for": WAIT_REASON_BUDGET}, "waiting for budget"),
        (
            {
                "status": TASK_RUN_STATUS_COMPLETED,
                "outcome": TASK_RUN_OUTCOME_FAILURE,
                "outcome_reason": "MODEL_OFF",
            },
            "failure (MODEL_OFF)",
        ),
        ({"answered_by_task_run_id": "1"}, "answered together with another one"),
    ],
)
def test_a_run_is_told_in_one_line(state: dict[str, Any], expected: str):
    run = TaskRun(operation="answer", requester="maria", agent_slug="atlas", model_label="S46", **state)
    run.created_time.FromDatetime(datetime(2026, 11, 23, 8, 5, tzinfo=UTC))
    assert f"answer for maria by atlas [S46], asked 2026-11-23 08:05 UTC: {expected}" == run_line(run)
