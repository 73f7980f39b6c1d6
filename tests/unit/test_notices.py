"""What a thread reads when its run waits for money."""

from __future__ import annotations

from datetime import timedelta

import pytest

from aucert.astra.v1.task_run_pb2 import TaskRun
from aucert.common.v1.thread_pb2 import GitHubThread, ManualThread, SlackThread, ThreadAddress
from services.worker.costs import Shortage
from services.worker.notices import paused_text

GITHUB = ThreadAddress(github=GitHubThread(repository="acme/shop"))
SLACK = ThreadAddress(slack=SlackThread(team_id="T1"))
MANUAL = ThreadAddress(manual=ManualThread())


@pytest.mark.parametrize(
    ("cap", "address", "advice"),
    [
        (
            "run",
            GITHUB,
            "answers `/atlas raise $2` here, or raises the cap as with `astra budget set run 7 --run r1`"
            ", and",
        ),
        (
            "agent_day",
            SLACK,
            "answers `@atlas raise $2` here, or raises the cap as with `astra budget set agent-day 7 --agent "
            "atlas` or a new day begins (UTC), and",
        ),
        (
            "tenant_month",
            MANUAL,
            "raises the cap, as with `astra budget set tenant-month 7` or a new month begins (UTC), and",
        ),
    ],
)
def test_a_pause_says_what_is_spent_and_what_an_operator_can_do(
    cap: str, address: ThreadAddress, advice: str
) -> None:
    run = TaskRun(task_run_id="r1", agent_slug="atlas", address=address)
    shortage = Shortage(cap, limit=5_000_000, spent=4_990_000, reserved=500_000, needed=1_230_001)
    text = paused_text(run, shortage, timedelta(minutes=90))
    assert "of the $5.00 that" in text
    assert "$4.99 is spent, and the next step may cost up to $1.23 (run `r1`)" in text
    assert f"It goes on when an operator {advice} is given up after 1.5 hours." in text
