"""Calls of vendors within the limits they document."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from services.common.quotas.limits import Limit, QuotaExceeded
from services.common.quotas.shared import SharedLimits
from services.tools.pace import WAIT_IN_PLACE_MAX, Pace
from services.tools.vendor_errors import VendorRateLimited, VendorUnavailable
from services.tools.vendor_limits import (
    HOUR,
    Use,
    brave_uses,
    docs_uses,
    drive_uses,
    github_uses,
    plane_uses,
    slack_uses,
)

GITHUB, SLACK = "https://api.github.com", "https://slack.com/api/"
PLANE, DOCS = "https://api.plane.so", "https://docs.googleapis.com"
OWN = "http://10.0.0.7:8000"
CALL = [Use(Limit("plane:acme", 60))]


def told(uses: Sequence[Use]) -> list[tuple[int, int, timedelta]]:
    """Units of each use, out of how many and in which window."""
    return [(each.units, each.limit.units, each.limit.window) for each in uses]


MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("uses", "expected"),
    [
        (github_uses(GITHUB, "1", 7, "GET", "/repos/a/b"), [(1, 900, MINUTE)]),
        (github_uses(GITHUB, "1", 7, "POST", "/app/installations/7/access_tokens"), [(1, 900, MINUTE)]),
        (
            github_uses(GITHUB, "1", 7, "POST", "/repos/a/b/issues"),
            [(5, 900, MINUTE), (1, 80, MINUTE), (1, 500, HOUR)],
        ),
        (github_uses(GITHUB, "1", 7, "POST", "/graphql"), [(5, 900, MINUTE)]),
        (github_uses(GITHUB, "1", 7, "GET", "/search/code"), [(1, 0, MINUTE)]),
        (slack_uses(SLACK, "xoxb", "conversations.replies"), [(1, 50, MINUTE)]),
        (slack_uses(SLACK, "xoxb", "users.info"), [(1, 100, MINUTE)]),
        (slack_uses(SLACK, "xoxb", "chat.postMessage"), [(1, 0, MINUTE)]),
        (plane_uses(PLANE, "key", "acme", 0), [(1, 60, MINUTE)]),
        (plane_uses(PLANE, "key", "acme", 300), [(1, 300, MINUTE)]),
        (plane_uses(OWN, "key", "acme", 300), [(1, 300, MINUTE)]),
        (docs_uses(DOCS, "token", "GET"), [(1, 300, MINUTE)]),
        (docs_uses(DOCS, "token", "POST"), [(1, 60, MINUTE)]),
        (drive_uses("token"), [(1, 0, MINUTE)]),
        (brave_uses("key"), [(1, 0, MINUTE)]),
        # Of servers of one's own nothing is known but what they answer.
        (github_uses(f"{OWN}/api/v3", "1", 7, "POST", "/repos/a/b/issues"), [(5, 0, MINUTE)]),
        (slack_uses(OWN, "xoxb", "users.info"), [(1, 0, MINUTE)]),
        (plane_uses(OWN, "key", "acme", 0), [(1, 0, MINUTE)]),
        (docs_uses(OWN, "token", "GET"), [(1, 0, MINUTE)]),
    ],
)
def test_a_call_takes_what_its_vendor_documents(uses: Sequence[Use], expected: list[object]):
    assert expected == told(uses)


def test_accounts_have_keys_of_their_own_that_tell_no_secret():
    uses = [
        *github_uses(GITHUB, "Iv1.abc", 7, "PATCH", "/repos/a/b/issues/1"),
        *github_uses(GITHUB, "Iv1.abc", 8, "GET", "/repos/a/b"),
        *github_uses(GITHUB, "Iv1.abc", 0, "GET", "/app"),
        *slack_uses(SLACK, "xoxb-secret", "users.info"),
        *slack_uses(SLACK, "xoxb-other", "users.info"),
        *plane_uses(PLANE, "plane_api_secret", "acme ünd co", 0),
        *plane_uses(PLANE, "plane_api_other", "acme ünd co", 0),
    ]
    keys = [each.limit.key for each in uses]
    assert len(set(keys)) == len(keys)
    assert "github:Iv1.abc:7:content-hour" in keys
    assert all(key.isascii() and " " not in key for key in keys)
    assert not [key for key in keys if "secret" in key or "other" in key]


async def test_after_a_vendors_refusal_nothing_is_sent_before_its_time():
    pace = Pace()

    async def refused() -> str:
        try:
            async with pace.keeping("Plane", CALL):
                raise VendorRateLimited("by Plane", retry_after=timedelta(seconds=40))
        except VendorRateLimited as limited:
            return limited.message

    assert [await refused(), await refused()] == ["by Plane", "Plane's calls are used up for now."]
    async with pace.keeping("Plane", [Use(Limit("plane:other", 60))]):
        pass


async def test_a_short_wait_is_waited_for_and_another_failure_blocks_nobody():
    limits = SharedLimits()
    await limits.block("plane:acme", WAIT_IN_PLACE_MAX / 100)
    pace = Pace(limits)
    with pytest.raises(VendorUnavailable):
        async with pace.keeping("Plane", CALL):
            raise VendorUnavailable("away")
    async with pace.keeping("Plane", CALL):
        pass


class _Gate(SharedLimits):
    """Counts what is out; the second key has nothing left."""

    def __init__(self) -> None:
        super().__init__()
        self.out = 0

    async def take(self, limit: Limit, units: int = 1) -> _Out:  # pyright: ignore
        if limit.key == "full":
            raise QuotaExceeded(limit.key, timedelta(minutes=1))
        self.out += units
        return _Out(self)


class _Out:
    def __init__(self, gate: _Gate) -> None:
        self._gate = gate

    def give_back(self, units: int) -> None:
        self._gate.out -= units


async def test_a_call_that_is_not_made_takes_nothing_from_its_other_limits():
    gate = _Gate()
    with pytest.raises(VendorRateLimited):
        async with Pace(gate).keeping("GitHub", [Use(Limit("free"), 5), Use(Limit("full"))]):
            raise AssertionError("the call was made")
    assert gate.out == 0
