"""What was written in a GitHub repository since a time, told again as webhooks that may have been lost.

GitHub lists issues and comments by their last change: what changed since the cursor is read, oldest change
first, and what was written since then is told. A comment is told with its issue or pull request, as the
webhook brings it. Only what could be for an agent is told: a person wrote it, with an at sign or a slash.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from aucert.tools.v1.catch_up_service_pb2 import MissedDelivery, ScanContainerRequest, ScanContainerResponse
from services.tools.github_client import GitHubClient
from services.tools.vendor_errors import VendorRefused

OVERLAP = timedelta(minutes=2)
"""Read again each time: clocks differ, and GitHub may list something later than it was written."""
PAGE_SIZE = 50
"""Items one scan reads; for each that is told its thread is fetched."""
FETCHES_AT_ONCE = 8
_SECOND = timedelta(seconds=1)
_GONE = frozenset({"404", "410"})
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _List:
    """One of GitHub's lists: below which path of the repository, asked for how."""

    path: str
    params: Mapping[str, str]


_LISTS = (
    _List("/issues", {"state": "all"}),  # pull requests among them
    _List("/issues/comments", {}),
    _List("/pulls/comments", {}),
)


@dataclass(frozen=True, slots=True)
class _Cursor:
    """What was written from `since` on is told, in a round that was begun at `begun`.

    The round has come to the changes from `at` on in a list, and there to a page.
    """

    since: datetime
    begun: datetime
    list: int = 0
    at: datetime | None = None
    page: int = 1

    @classmethod
    def read(cls, text: str, now: datetime) -> _Cursor:
        """One time: a new round, with some overlap. Else what `written` wrote."""
        if not text.startswith("{"):
            return cls(datetime.fromisoformat(text) - OVERLAP, now)
        told = json.loads(text)
        times = {name: datetime.fromisoformat(told.pop(name)) for name in ("since", "begun", "at")}
        return cls(**times, **told)

    def written(self) -> str:
        """A place in this round."""
        return json.dumps({**asdict(self), "at": self.at or self.since}, default=datetime.isoformat)

    def behind(self, items: Sequence[Json]) -> _Cursor | None:
        """The place behind a page of this one's list. None: the round is over."""
        if len(items) < PAGE_SIZE:
            following = replace(self, list=self.list + 1, at=None, page=1)
            return following if following.list < len(_LISTS) else None
        changed = _time(items[-1]["updated_at"])
        # Not by pages alone: what is changed meanwhile moves to the end, and all behind it one place forward.
        if changed > (self.at or self.since):
            return replace(self, at=changed, page=1)
        return replace(self, page=self.page + 1)


class GitHubCatcher:
    """Reads the repositories our App is installed on. Raises the errors of `vendor_errors`."""

    def __init__(self, github: GitHubClient) -> None:
        self._github = github

    async def scan(self, request: ScanContainerRequest) -> ScanContainerResponse:
        """What was written since the cursor, a page of one list at a time."""
        name, now = request.container.partition(":")[2], datetime.now(UTC)
        if name.count("/") != 1:
            raise VendorRefused("The container names no repository of GitHub.")
        repository = _Repository(self._github, await self._github.installation_of(name), name)
        if not request.cursor:
            await repository.get("")  # one that cannot be read is refused at once, not five minutes later
            return ScanContainerResponse(next_cursor=now.isoformat())
        cursor = _Cursor.read(request.cursor, now)
        items = await repository.changed(cursor)
        wanted = [
            each for each in items if _time(each["created_at"]) >= cursor.since and _could_be_for_us(each)
        ]
        following = cursor.behind(items)
        return ScanContainerResponse(
            deliveries=await repository.told(wanted),
            next_cursor=following.written() if following else cursor.begun.isoformat(),
            more=following is not None,
        )


class _Repository:
    """One repository, read as one installation."""

    def __init__(self, github: GitHubClient, installation_id: int, name: str) -> None:
        self._github = github
        self._installation_id = installation_id
        self._name = name
        self._at_once = asyncio.Semaphore(FETCHES_AT_ONCE)

    async def get(self, path: str, **params: str | int) -> Any:
        """What is below the repository, as in "/issues/1"."""
        async with self._at_once:
            return await self._github.request(
                self._installation_id, "GET", f"/repos/{self._name}{path}", params=params
            )

    async def changed(self, cursor: _Cursor) -> list[Json]:
        """The page the cursor has come to; of a list the repository does not have, nothing."""
        listed = _LISTS[cursor.list]
        since = (
            cursor.at or cursor.since
        ) - _SECOND  # GitHub says "after": a whole second is asked for again
        try:
            return await self.get(
                listed.path,
                **listed.params,
                since=since.strftime("%Y-%m-%dT%H:%M:%SZ"),
                sort="updated",
                direction="asc",
                per_page=PAGE_SIZE,
                page=cursor.page,
            )
        except VendorRefused as refused:
            if refused.metadata.get("http_status") != "410":  # issues are switched off
                raise
            return []

    async def told(self, items: Sequence[Json]) -> list[MissedDelivery]:
        """Items as the webhooks that tell of them, but those whose thread is gone."""
        if not items:
            return []
        paths = list(dict.fromkeys(path for each in items if (path := _thread_path(each))))
        repository, *threads = await asyncio.gather(self.get(""), *map(self._thread, paths))
        found = dict(zip(paths, threads, strict=True))
        around: Json = {
            "repository": {"id": repository["id"], "full_name": repository["full_name"]},
            "installation": {"id": self._installation_id},
        }
        told = ((each, found.get(_thread_path(each), each)) for each in items)
        return [_delivery(item, thread, around) for item, thread in told if thread is not None]

    async def _thread(self, path: str) -> Json | None:
        """The issue or pull request at a path. None: it is gone."""
        try:
            return await self.get(path)
        except VendorRefused as refused:
            if refused.metadata.get("http_status") not in _GONE:
                raise
            return None


def _thread_path(item: Json) -> str:
    """What must be fetched for an item to be told. Empty: an issue has all in itself."""
    if "issue_url" in item:
        return f"/issues/{_number(item['issue_url'])}"
    if "pull_request_url" in item:
        return f"/pulls/{_number(item['pull_request_url'])}"
    return f"/pulls/{item['number']}" if "pull_request" in item else ""


def _number(url: str) -> int:
    return int(url.rpartition("/")[2])


def _could_be_for_us(item: Json) -> bool:
    user, words = item.get("user") or {}, str(item.get("body") or "")
    return user.get("type") not in (None, "Bot") and ("@" in words or "/" in words)


def _delivery(item: Json, thread: Json, around: Json) -> MissedDelivery:
    """The webhook GitHub would have sent, as much of it as is read."""
    if "issue_url" in item:
        event, told = "issue_comment", {"action": "created", "issue": thread, "comment": item}
    elif "pull_request_url" in item:
        event = "pull_request_review_comment"
        told = {"action": "created", "pull_request": thread, "comment": item}
    elif "pull_request" in item:
        event, told = "pull_request", {"action": "opened", "pull_request": thread}
    else:
        event, told = "issues", {"action": "opened", "issue": thread}
    external_id = f"catch-up/{event}/{item['id']}"
    return MissedDelivery(
        external_id=external_id,
        body=json.dumps({**told, **around, "sender": item["user"]}).encode(),
        headers={
            "content-type": "application/json",
            "x-github-delivery": external_id,
            "x-github-event": event,
        },
    )


def _time(told: str) -> datetime:
    return datetime.fromisoformat(told)
