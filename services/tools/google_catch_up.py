"""What people did in Google Drive since a cursor, container by container.

Google's notifications only say that something changed, so this is how every comment is found, whoever asks
for it: a notification (the file it names, or the log of changes), an event, or the regular catch-up (the
containers on the allow-list). Comments do not surely show in Drive's log: a folder is read file by file.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta

import structlog

from aucert.tools.v1.catch_up_service_pb2 import ScanContainerRequest, ScanContainerResponse
from services.tools.google_client import REASON_FIELD, GoogleClient, is_refusal
from services.tools.google_comments import Act, FileActs, GoogleComments
from services.tools.google_files import DriveFiles
from services.tools.vendor_errors import VendorRefused, VendorTooLong, VendorUnavailable

FIRST_LOOK_BACK = timedelta(hours=1)
"""A file's first notification comes after the comment it is about."""
OVERLAP = timedelta(minutes=10)
"""Read again each time: Drive may show a comment later than one that was written after it."""
DELIVERIES_MAX = 500
LOG_PAGE_SIZE = 50
FILES_AT_ONCE = 8
LOG = "changes"
NOT_READ = (400, 404)
ABOUT_US = frozenset({"", "authError", "domainPolicy", "insufficientPermissions", "insufficientScopes"})
"""Reasons of a 403 that would be given for every file, or none: it may pass. Any other is about the file."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Cursor:
    """Comments older than `since` are known. The others are where in a pass over the container we are.

    `newest`: the latest change seen in this pass. `page`, `log`: Drive's tokens. `told`: acts of this page
    that were told already, because they were more than one answer holds. `begun`: when the pass began.
    """

    since: str
    newest: str = ""
    page: str = ""
    log: str = ""
    told: int = 0
    begun: str = ""

    @classmethod
    def read(cls, text: str) -> Cursor:
        """What `written` wrote."""
        return cls(**json.loads(text))

    def written(self) -> str:
        """As the dispatcher keeps it."""
        return json.dumps({name: value for name, value in asdict(self).items() if value})


@dataclass(frozen=True, slots=True)
class _Files:
    """A page of files to look into. `next_page` empty: there is no other; `log`: where its log goes on."""

    ids: Sequence[str]
    next_page: str = ""
    log: str = ""
    log_goes_on: bool = False


class GoogleDriveCatcher:
    """Reads files, folders, shared drives and the log of changes. Raises the errors of `vendor_errors`."""

    def __init__(self, google: GoogleClient, files: DriveFiles) -> None:
        self._google = google
        self._files = files
        self._comments = GoogleComments(google, files)

    async def scan(self, request: ScanContainerRequest) -> ScanContainerResponse:
        """One page of the container's files, and of their acts what one answer holds."""
        kind, _, key = request.container.partition(":")[2].partition("/")
        at = Cursor.read(request.cursor) if request.cursor else await self._begin(kind, key)
        at = replace(at, begun=at.begun or _begun(at))
        files = await self._page(kind, key, at)
        since = datetime.fromisoformat(at.since) - OVERLAP
        threads = {(each.google_drive.file_id, each.google_drive.comment_id) for each in request.threads}
        found = await self._acts(files.ids, since, threads)
        acts = sorted((act for each in found for act in each.acts), key=lambda act: act.time)
        following, more = _onward(at, files, found, acts)
        return ScanContainerResponse(
            deliveries=[act.delivery for act in acts[at.told : at.told + DELIVERIES_MAX]],
            next_cursor=following.written(),
            more=more,
        )

    async def _begin(self, kind: str, drive_id: str) -> Cursor:
        since = (datetime.now(UTC) - FIRST_LOOK_BACK).isoformat()
        if kind != LOG:
            return Cursor(since)
        told = await self._google.read(
            "drive/v3/changes/startPageToken",
            fields="startPageToken",
            supportsAllDrives="true",
            **({"driveId": drive_id} if drive_id else {}),
        )
        return Cursor(since, log=told["startPageToken"])

    async def _page(self, kind: str, key: str, at: Cursor) -> _Files:
        if kind == LOG:
            return await self._changed(key, at.log)
        try:
            return await self._below(kind, key, at.page)
        except VendorRefused as refused:
            if not (at.page and is_refusal(refused, 400)):
                raise
            return await self._below(kind, key, "")  # such tokens live for hours; the pass begins anew

    async def _below(self, kind: str, key: str, page: str) -> _Files:
        if kind == "drive":
            return _Files(*await self._files.page_of_drive(key, page))
        if kind == "folder" or await self._is_folder(key):
            return _Files(*await self._files.page_below(key, page))
        return _Files([key])

    async def _is_folder(self, file_id: str) -> bool:
        """Whether it holds others; a file that is gone is no folder, and has no comments either."""
        try:
            return (await self._files.file(file_id)).is_folder
        except VendorRefused as refused:
            if not is_refusal(refused, 404):
                raise
            return False

    async def _changed(self, drive_id: str, token: str) -> _Files:
        """The files a page of the log names; what was removed is not there to be read."""
        told = await self._google.read(
            "drive/v3/changes",
            fields="nextPageToken,newStartPageToken,changes(fileId,removed,changeType)",
            pageToken=token,
            pageSize=LOG_PAGE_SIZE,
            supportsAllDrives="true",
            includeItemsFromAllDrives="true",
            **({"driveId": drive_id} if drive_id else {}),
        )
        ids = dict.fromkeys(
            each["fileId"] for each in told["changes"] if not each.get("removed") and each.get("fileId")
        )
        following = told.get("nextPageToken") or told.get("newStartPageToken") or token
        return _Files(list(ids), log=following, log_goes_on="nextPageToken" in told)

    async def _acts(
        self, file_ids: Sequence[str], since: datetime, threads: Collection[tuple[str, str]]
    ) -> list[FileActs]:
        at_once = asyncio.Semaphore(FILES_AT_ONCE)

        async def one(file_id: str) -> FileActs:
            async with at_once:
                try:
                    return await self._comments.since(file_id, since, threads)
                except VendorTooLong:
                    log.warning("file_too_long", file_id=file_id)  # the others are read all the same
                    return FileActs([], None)
                except VendorRefused as refused:
                    # Gone, closed to us, or of a kind that has no comments: nobody can ask anything there.
                    if is_refusal(refused, 403) and refused.metadata[REASON_FIELD] in ABOUT_US:
                        raise VendorUnavailable(str(refused), metadata=refused.metadata) from None
                    if not any(is_refusal(refused, status) for status in (*NOT_READ, 403)):
                        raise
                    log.warning("file_left_out", file_id=file_id, **refused.metadata)
                    return FileActs([], None)

        return await asyncio.gather(*map(one, file_ids))


def _onward(at: Cursor, files: _Files, found: Sequence[FileActs], acts: Sequence[Act]) -> tuple[Cursor, bool]:
    """Where to go on, and whether at once."""
    if len(acts) > at.told + DELIVERIES_MAX:
        return replace(at, told=at.told + DELIVERIES_MAX), True
    seen = [each.newest.isoformat() for each in found if each.newest is not None]
    newest = max([at.newest, *seen])
    if files.next_page or files.log_goes_on:
        following = replace(at, newest=newest, page=files.next_page, log=files.log, told=0)
        return following, True
    # What was written to a file of this pass after it was read is no older than the pass.
    return Cursor(max(at.since, min(newest, at.begun)), log=files.log), False


def _begun(at: Cursor) -> str:
    """Now, unless the cursor is within a pass whose beginning was not written down."""
    return at.since if at.page or at.newest or at.told else datetime.now(UTC).isoformat()
