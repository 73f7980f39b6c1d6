"""What people did in a file's comments since a time, each act as the platform's dispatcher reads it.

Google's notifications hold no comment, so the shape is ours: the comment as Drive shows it with its replies
up to the act, the file it is on with the names it may have on the allow-list, and who we are there. Only what
could be for an agent is told: it names somebody, is a command, is assigned, or stands in a thread an agent is
in.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from aucert.tools.v1.catch_up_service_pb2 import MissedDelivery
from services.tools.google_client import GoogleClient, Json
from services.tools.google_files import DriveFile, DriveFiles, comment_link
from services.tools.vendor_errors import VendorTooLong

PAGE_SIZE = 100
PAGES_MAX = 50
REPLIES_SHOWN_MAX = 60
TEXT_CHARS_MAX = 65_536
_ITEM = "id,content,author(displayName,me),createdTime,deleted,mentionedEmailAddresses,assigneeEmailAddress"
FIELDS = (
    f"nextPageToken,comments({_ITEM},modifiedTime,resolved,quotedFileContent(value),replies({_ITEM},action))"
)
ADDRESSING = ("@", "+", "/")
"""One of these stands before every name and command."""


@dataclass(frozen=True, slots=True)
class Act:
    """A comment or a reply, as a delivery."""

    time: datetime
    delivery: MissedDelivery


@dataclass(frozen=True, slots=True)
class FileActs:
    """What was done in one file, and when its comments were last changed. None: not since then."""

    acts: list[Act]
    newest: datetime | None


class GoogleComments:
    """Raises the errors of `vendor_errors`."""

    def __init__(self, google: GoogleClient, files: DriveFiles) -> None:
        self._google = google
        self._files = files

    async def since(self, file_id: str, since: datetime, threads: Collection[tuple[str, str]]) -> FileActs:
        """Acts from a time on, that time included. `threads`: ids of files and comments an agent is in."""
        file = await self._files.file(file_id)
        comments = await self._changed(file_id, since)
        if not comments:
            return FileActs([], None)
        place = {
            "id": file.id,
            "name": file.name,
            "url": file.url,
            "containers": await self._files.containers(file),
            "open_to_link": file.open_to_link,
        }
        account = await self._google.email()
        acts: list[Act] = []
        for comment in comments:
            in_thread = (file_id, comment["id"]) in threads or any(
                map(_is_ours, comment.get("replies") or ())
            )
            for reply_id, item in _items(comment):
                if _moment(item["createdTime"]) >= since and _could_be_for_us(item, in_thread=in_thread):
                    acts.append(_act(file, place, account, comment, reply_id, item))
        return FileActs(acts, max(_moment(each["modifiedTime"]) for each in comments))

    async def _changed(self, file_id: str, since: datetime) -> list[Json]:
        """Comments that were changed, or whose replies were; Drive's filter counts the time itself."""
        found: list[Json] = []
        page_token = ""
        for _ in range(PAGES_MAX):
            page = await self._google.read(
                f"drive/v3/files/{file_id}/comments",
                fields=FIELDS,
                pageSize=PAGE_SIZE,
                startModifiedTime=since.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                **({"pageToken": page_token} if page_token else {}),
            )
            found += page["comments"]
            page_token = str(page.get("nextPageToken") or "")
            if not page_token:
                return found
        raise VendorTooLong("The file has more changed comments than are read at once.")


def _items(comment: Json) -> Iterator[tuple[str, Json]]:
    yield "", comment
    for reply in comment.get("replies") or ():
        yield reply["id"], reply


def _could_be_for_us(item: Json, *, in_thread: bool) -> bool:
    if item.get("deleted") or _is_ours(item):
        return False
    named = item.get("mentionedEmailAddresses") or item.get("assigneeEmailAddress")
    return in_thread or bool(named) or any(mark in (item.get("content") or "") for mark in ADDRESSING)


def _is_ours(item: Json) -> bool:
    return bool((item.get("author") or {}).get("me"))


def _act(
    file: DriveFile, place: Mapping[str, object], account: str, comment: Json, reply_id: str, item: Json
) -> Act:
    told = {
        "file": place,
        "account": account,
        "comment": {**_cut(comment), "replies": _replies_up_to(comment, reply_id)},
        "reply_id": reply_id,
        "link": comment_link(file.url, comment["id"], reply_id),
    }
    external_id = f"{file.id}/{comment['id']}" + (f"/{reply_id}" if reply_id else "")
    body = json.dumps(told, separators=(",", ":")).encode()
    return Act(_moment(item["createdTime"]), MissedDelivery(external_id=external_id, body=body))


def _replies_up_to(comment: Json, reply_id: str) -> list[Json]:
    """What was said before, and the act itself; of a long thread the last."""
    if not reply_id:
        return []
    told: list[Json] = []
    for reply in comment["replies"]:
        told.append(_cut(reply))
        if reply["id"] == reply_id:
            break
    return told[-REPLIES_SHOWN_MAX:]


def _cut(item: Json) -> Json:
    return {**item, "content": (item.get("content") or "")[:TEXT_CHARS_MAX]}


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
