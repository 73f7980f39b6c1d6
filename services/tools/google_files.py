"""Drive's files as the platform sees them: where one lies, who may comment, which lie in a container."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from services.common.caller import caller_or_none
from services.tools.google_client import GoogleClient, Json, is_refusal
from services.tools.vendor_errors import VendorRefused

FOLDER = "application/vnd.google-apps.folder"
DOCUMENT = "application/vnd.google-apps.document"
FILE_FIELDS = "id,name,mimeType,webViewLink,parents,driveId,permissions(type,role)"
DEPTH_MAX = 15
"""Folders above a file that are looked at."""
FOLDERS_MAX = 50
"""Folders below a folder that are looked at; Drive's query grows with them."""
PAGE_SIZE = 100
REMEMBERED_SECONDS = 300.0
REMEMBERED_MAX = 10_000
MAY_COMMENT = frozenset({"commenter", "writer"})

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DriveFile:
    """A file or folder. `open_to_link`: anybody with the link may comment; None: Drive does not tell us."""

    id: str
    name: str
    mime_type: str
    url: str
    drive_id: str
    parents: Sequence[str]
    open_to_link: bool | None

    @property
    def is_folder(self) -> bool:
        """Whether it holds others."""
        return self.mime_type == FOLDER


class DriveFiles:
    """Remembers what it was told for REMEMBERED_SECONDS. Raises the errors of `vendor_errors`."""

    def __init__(self, google: GoogleClient) -> None:
        self._google = google
        self._known: dict[tuple[str, str], tuple[float, DriveFile]] = {}

    async def file(self, file_id: str) -> DriveFile:
        """One file."""
        until, known = self._known.get(_key(file_id), (0.0, None))
        if known is not None and until > time.monotonic():
            return known
        path = f"drive/v3/files/{file_id}"
        told = await self._google.read(path, fields=FILE_FIELDS, supportsAllDrives="true")
        return self.remember(told)

    async def containers(self, file: DriveFile) -> list[str]:
        """The names a file may stand under on the allow-list, the closest first."""
        names = [f"google-drive:file/{file.id}"]
        above = file
        for _ in range(DEPTH_MAX):
            if not above.parents:
                break
            names.append(f"google-drive:folder/{above.parents[0]}")
            try:
                above = await self.file(above.parents[0])
            except VendorRefused as refused:
                if is_refusal(refused, 404):
                    break  # the file is shared with us, what it lies in is not
                raise
        return [*names, f"google-drive:drive/{file.drive_id}"] if file.drive_id else names

    async def names(self, file: DriveFile) -> list[str]:
        """As `containers`, and of a folder the name it has itself."""
        own = [f"google-drive:folder/{file.id}"] if file.is_folder else []
        return [*own, *await self.containers(file)]

    async def search(self, query: str, page_token: str) -> tuple[list[DriveFile], str]:
        """A page of the files a query finds wherever they lie, and the token of the next page."""
        found, following = await self._page(query, page_token, corpora="allDrives")
        return [await self.file(each) for each in found], following

    async def page_below(self, folder_id: str, page_token: str) -> tuple[list[str], str]:
        """Ids of a page of the files in a folder and the folders below it, and the token of the next page."""
        within = " or ".join(f"'{each}' in parents" for each in await self._folders(folder_id))
        return await self._page(f"({within}) and mimeType != '{FOLDER}' and trashed=false", page_token)

    async def page_of_drive(self, drive_id: str, page_token: str) -> tuple[list[str], str]:
        """The same of a whole shared drive."""
        return await self._page(
            f"mimeType != '{FOLDER}' and trashed=false", page_token, driveId=drive_id, corpora="drive"
        )

    async def _folders(self, folder_id: str) -> list[str]:
        """A folder and those below it, level by level."""
        found, level = [folder_id], [folder_id]
        for _ in range(DEPTH_MAX):
            within = " or ".join(f"'{each}' in parents" for each in level)
            level, more = await self._page(f"({within}) and mimeType = '{FOLDER}' and trashed=false", "")
            if len(found) + len(level) > FOLDERS_MAX or more:
                log.warning("folders_left_out", folder_id=folder_id, folders_max=FOLDERS_MAX)
                return [*found, *level][:FOLDERS_MAX]
            found += level
            if not level:
                break
        return found

    async def _page(self, query: str, page_token: str, **more: str) -> tuple[list[str], str]:
        told = await self._google.read(
            "drive/v3/files",
            fields=f"nextPageToken,files({FILE_FIELDS})",
            q=query,
            pageSize=PAGE_SIZE,
            supportsAllDrives="true",
            includeItemsFromAllDrives="true",
            **({"pageToken": page_token} if page_token else {}),
            **more,
        )
        return [self.remember(each).id for each in told["files"]], str(told.get("nextPageToken") or "")

    def remember(self, told: Json) -> DriveFile:
        """A file as Drive told it, with FILE_FIELDS."""
        file = DriveFile(
            id=told["id"],
            name=told.get("name") or "",
            mime_type=told.get("mimeType") or "",
            url=told.get("webViewLink") or f"https://drive.google.com/open?id={told['id']}",
            drive_id=told.get("driveId") or "",
            parents=told.get("parents") or (),
            open_to_link=_is_open(told.get("permissions")),
        )
        if len(self._known) >= REMEMBERED_MAX:
            self._known.clear()
        self._known[_key(file.id)] = (time.monotonic() + REMEMBERED_SECONDS, file)
        return file


def _key(file_id: str) -> tuple[str, str]:
    """Each tenant sees Drive through an account of its own."""
    caller = caller_or_none()
    return (caller.tenant_id if caller else "", file_id)


def _is_open(permissions: Json) -> bool | None:
    """Drive shows permissions to those who may share the file, and never those of a shared drive's files."""
    if not permissions:
        return None
    return any(each.get("type") == "anyone" and each.get("role") in MAY_COMMENT for each in permissions)


def comment_link(file_url: str, comment_id: str, reply_id: str = "") -> str:
    """Where a person reads a comment; Google's own link leads to it, ours says which reply is meant, too."""
    mark = "&" if "?" in file_url else "?"
    return f"{file_url}{mark}disco={comment_id}" + (f"#{reply_id}" if reply_id else "")
