"""What Google Drive's world consists of, as values: people, files, comments, channels, refusals."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

FOLDER = "application/vnd.google-apps.folder"
DOCUMENT = "application/vnd.google-apps.document"
CONTENT_CHARS_MAX = 65_536
FILE_CHANNEL_SECONDS_MAX = 86_400
LOG_CHANNEL_SECONDS_MAX = 604_800
CHANNEL_SECONDS = 3_600
"""How long a channel lives when nothing is said; Google shortens a longer one to these limits."""


class RefusedError(ValueError):
    """What Google answers with an error status; `reason` is its code, the text its message."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class Action(StrEnum):
    """What a reply does to its comment."""

    NONE = ""
    RESOLVE = "resolve"
    REOPEN = "reopen"


class LinkRole(StrEnum):
    """What anybody with the link may do with a file."""

    NONE = ""
    READER = "reader"
    COMMENTER = "commenter"


def file_id(name: str) -> str:
    """The id of a file or folder: the same for the same name in every sandbox."""
    return f"1Sandbox{zlib.crc32(name.encode()):08x}{zlib.adler32(name.encode()):08x}"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a Google account. The API never tells a commenter's address."""

    name: str
    email: str


@dataclass(frozen=True, slots=True)
class File:
    """A file or folder. `drive_id` empty: it is in somebody's own drive.

    `properties` are of our own app. `read_only`: the account may see and comment it, and not change it.
    """

    id: str
    name: str
    mime_type: str
    parents: tuple[str, ...]
    drive_id: str
    link_role: LinkRole
    created: datetime
    properties: Mapping[str, str] = field(default_factory=dict[str, str])
    read_only: bool = False


@dataclass(slots=True)
class Reply:
    """A reply; with an action it may be without words."""

    id: str
    author: Person
    content: str
    action: Action
    created: datetime
    deleted: bool = False


@dataclass(slots=True)
class Comment:
    """A comment. `modified` follows its replies."""

    id: str
    file: File
    author: Person
    content: str
    quoted: str
    created: datetime
    modified: datetime
    resolved: bool = False
    deleted: bool = False
    replies: list[Reply] = field(default_factory=list[Reply])


@dataclass(slots=True)
class Channel:
    """Whom to tell of changes of a file, or with `file_id` empty of all changes. `numbers` were sent."""

    id: str
    resource_id: str
    file_id: str
    drive_id: str
    address: str
    token: str
    expires: datetime
    numbers: int = 0
