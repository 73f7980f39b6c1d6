"""Has GitHub send again what its App's webhook failed to bring: GitHub itself tries each delivery once.

GitHub logs every attempt for three days. Which deliveries failed, and how often they were asked for, travels
in the cursor, so that each pass reads only what is new in the log. One good attempt under a delivery's name
settles it, whoever asked for that.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from aucert.tools.v1.catch_up_service_pb2 import RetryDeliveriesRequest, RetryDeliveriesResponse
from services.tools.github_client import GitHubClient
from services.tools.vendor_errors import VendorRateLimited, VendorRefused, VendorUnavailable

LOG = "/app/hook/deliveries"
PAGE_SIZE = 100
PAGES_MAX = 50
"""Of a log that grew by more in one pass, the oldest are left to the reading of repositories."""
OVERLAP = timedelta(minutes=2)
"""Read again each time: an attempt is in the log once it is over."""
ATTEMPTS_MAX = 12
FIRST_WAIT = timedelta(seconds=30)
"""Between the first attempt and the second; each wait after it is twice as long, the last 8.5 hours."""
RETRIES_MAX = 50
OPEN_MAX = 500
"""Failed deliveries kept in mind; beyond it the oldest are."""
SECONDS_MAX = 40.0
"""Of one pass, half of it for the log: less than the caller waits, or a slow GitHub would be asked the same
again and again without any of it being noted. What is due and left is the next pass's."""
_TAKEN = range(200, 300)
_NEXT_CURSOR = re.compile(r'[?&]cursor=([^&>]{1,200})[^>]*>; rel="next"')
Json = Any

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Attempt:
    """A line of GitHub's log. `guid` names the delivery, `id` this attempt at it."""

    guid: str
    id: int
    time: datetime
    ok: bool


@dataclass(frozen=True, slots=True)
class Failed:
    """A delivery without a good attempt: one of them, when the last was made, and how many there were."""

    id: int
    time: datetime
    attempts: int = 1

    def is_due(self, now: datetime) -> bool:
        """Whether it is time for another attempt."""
        return self.attempts < ATTEMPTS_MAX and now >= self.time + FIRST_WAIT * 2 ** (self.attempts - 1)

    def is_over(self, since: datetime) -> bool:
        """Whether no other attempt is made, and the last one is not in a log that is read back to then."""
        return self.attempts >= ATTEMPTS_MAX and self.time + OVERLAP < since


@dataclass(frozen=True, slots=True)
class Cursor:
    """The log is read back to `since`; `open`: what failed, by guid."""

    since: datetime
    open: Mapping[str, Failed] = field(default_factory=dict[str, Failed])

    @classmethod
    def read(cls, text: str) -> Cursor:
        """What `written` wrote."""
        told = json.loads(text)
        return cls(
            datetime.fromisoformat(told["since"]),
            {
                guid: Failed(number, datetime.fromisoformat(time), attempts)
                for guid, number, time, attempts in told["open"]
            },
        )

    def written(self) -> str:
        """As the dispatcher keeps it."""
        failed = [[guid, each.id, each.time.isoformat(), each.attempts] for guid, each in self.open.items()]
        return json.dumps({"since": self.since.isoformat(), "open": failed}, separators=(",", ":"))


def failed_after(known: Mapping[str, Failed], attempts: Sequence[Attempt]) -> dict[str, Failed]:
    """What is without a good attempt after these, which come newest first; what was tried last comes last.

    The attempts of one that is known are ours, and counted when they are asked for.
    """
    taken = {each.guid for each in attempts if each.ok}
    new = {each.guid: Failed(each.id, each.time) for each in reversed(attempts)}
    failed = {guid: each for guid, each in {**new, **known}.items() if guid not in taken}
    return dict(sorted(failed.items(), key=lambda item: item[1].time)[:OPEN_MAX])


class GitHubDeliveries:
    """The log of our App's webhook. Raises the errors of `vendor_errors`."""

    def __init__(self, github: GitHubClient) -> None:
        self._github = github

    async def retry(self, request: RetryDeliveriesRequest) -> RetryDeliveriesResponse:
        """Have sent again what is due, at most RETRIES_MAX."""
        now, begun = datetime.now(UTC), time.monotonic()
        if not request.cursor:
            return RetryDeliveriesResponse(next_cursor=Cursor(now).written())
        cursor = Cursor.read(request.cursor)
        since = cursor.since - OVERLAP
        failed = failed_after(cursor.open, await self._attempts(since, begun + SECONDS_MAX / 2))
        tried = await self._try_again(failed, now, begun + SECONDS_MAX)
        following = {guid: each for guid, each in {**failed, **tried}.items() if not each.is_over(since)}
        return RetryDeliveriesResponse(
            next_cursor=Cursor(now, following).written(),
            retried_count=sum(each.time == now for each in tried.values()),
            open_count=sum(each.attempts < ATTEMPTS_MAX for each in following.values()),
        )

    async def _try_again(
        self, failed: Mapping[str, Failed], now: datetime, until: float
    ) -> dict[str, Failed]:
        """Ask for what is due, until a time of the monotonic clock; what came of it, by guid."""
        tried: dict[str, Failed] = {}
        for guid, each in [(guid, each) for guid, each in failed.items() if each.is_due(now)][:RETRIES_MAX]:
            if time.monotonic() >= until:
                break
            try:
                await self._github.as_app("POST", f"{LOG}/{each.id}/attempts")
                tried[guid] = replace(each, time=now, attempts=each.attempts + 1)
            except VendorRefused as refused:
                # Three days are over, or GitHub will not. What it told is found by reading the repository.
                log.warning("delivery_not_sent_again", guid=guid, **refused.metadata)
                tried[guid] = replace(each, attempts=ATTEMPTS_MAX)
            except (VendorRateLimited, VendorUnavailable) as away:
                log.warning("deliveries_not_sent_again", reason=away.reason)
                break  # the next pass goes on
        return tried

    async def _attempts(self, since: datetime, until: float) -> list[Attempt]:
        """The log back to a time, newest first; read until a time of the monotonic clock."""
        found, page = list[Attempt](), ""
        for _ in range(PAGES_MAX):
            params: dict[str, str | int] = {"per_page": PAGE_SIZE, **({"cursor": page} if page else {})}
            answer = await self._github.as_app("GET", LOG, params=params)
            lines = list(_read(answer.json()))
            found += [each for each in lines if each.time >= since]
            following = _NEXT_CURSOR.search(answer.headers.get("link", ""))
            if not following or any(each.time < since for each in lines):
                return found
            if time.monotonic() >= until:
                break
            page = following.group(1)
        log.warning("deliveries_left_out", read=len(found))
        return found


def _read(lines: Iterable[Json]) -> Iterable[Attempt]:
    for line in lines:
        delivered = datetime.fromisoformat(line["delivered_at"])
        # By the number too: which word it has for a good answer other than 200, GitHub does not say.
        ok = line["status"] == "OK" or (line["status_code"] or 0) in _TAKEN
        yield Attempt(line["guid"], int(line["id"]), delivered, ok)
