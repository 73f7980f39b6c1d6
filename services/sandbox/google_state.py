"""Google Drive's world as far as we call it, in memory and bounded.

`GoogleState` alone adds to it, and refuses what Drive refuses. It knows nothing of HTTP or JSON.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from services.sandbox.google_document import Body
from services.sandbox.google_domain import (
    CHANNEL_SECONDS,
    CONTENT_CHARS_MAX,
    DOCUMENT,
    FILE_CHANNEL_SECONDS_MAX,
    LOG_CHANNEL_SECONDS_MAX,
    Action,
    Channel,
    Comment,
    File,
    LinkRole,
    Person,
    RefusedError,
    Reply,
    file_id,
)
from services.sandbox.settings import GoogleSettings

FILES_MAX = 2_000
CHANGES_MAX = 50_000
CHARS_KEPT_MAX = 64 * 1024 * 1024
CHANNELS_MAX = 500
DOMAIN = "sandbox.example"


class GoogleState:
    """`log` holds the ids of changed files in order: a page token is a place in it."""

    def __init__(self, settings: GoogleSettings, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._comments_reach_log = settings.comments_reach_log
        self._last = datetime.fromtimestamp(0, clock().tzinfo)
        self._files: dict[str, File] = {}
        self._comments: dict[str, dict[str, Comment]] = {}
        self._documents: dict[str, Body] = {}
        self._channels: dict[str, Channel] = {}
        self._used_channel_ids: set[str] = set()
        self._chars_left = CHARS_KEPT_MAX
        self._count = 0
        self.log: list[tuple[File, datetime]] = []
        self.account = Person("atlas", settings.account_email)

    def person(self, name: str) -> Person:
        """Somebody by name."""
        return Person(name, f"{name}@{DOMAIN}")

    def add_file(
        self,
        name: str,
        *,
        mime_type: str = DOCUMENT,
        parent: str = "",
        drive_id: str = "",
        link_role: LinkRole = LinkRole.NONE,
        read_only: bool = False,
    ) -> File:
        """A file or folder; the same name again gives the same one."""
        if parent:
            self.file(parent)
        found = self._files.get(file_id(name))
        if found is None:
            parents = (parent,) if parent else ()
            now = self._now()
            found = File(
                file_id(name), name, mime_type, parents, drive_id, link_role, now, read_only=read_only
            )
            self._add(found, Body())
        return found

    def create_file(
        self,
        name: str,
        *,
        mime_type: str,
        parents: Sequence[str],
        properties: Mapping[str, str],
        body: Body,
    ) -> File:
        """A file by the account, in one folder at most; the same name again gives another one."""
        if len(parents) > 1:
            raise RefusedError(403, "multipleParentsNotSupported", "A file has one parent.")
        drive_id = self.file(parents[0]).drive_id if parents else ""
        new_id, now = f"1Made{secrets.token_urlsafe(20)}", self._now()
        made = File(new_id, name, mime_type, tuple(parents), drive_id, LinkRole.NONE, now, dict(properties))
        self._add(made, body)
        return made

    def document(self, file_id: str) -> Body:
        """What is written in a document. Raises `RefusedError` for a file that is none."""
        if self.file(file_id).mime_type != DOCUMENT:
            raise RefusedError(400, "badRequest", "This operation is not supported for this document")
        return self._documents[file_id]

    def set_document(self, file: File, body: Body) -> None:
        """Put other words in their place."""
        self.document(file.id)
        self._documents[file.id] = body
        self.log.append((file, self._clock()))

    def words(self, file: File) -> str:
        """What a search of a file's text looks through."""
        return self._documents[file.id].text() if file.mime_type == DOCUMENT else ""

    def file(self, file_id: str) -> File:
        """Raises `RefusedError`."""
        try:
            return self._files[file_id]
        except KeyError:
            raise RefusedError(404, "notFound", f"File not found: {file_id}.") from None

    def files(self) -> list[File]:
        """In the order they were added."""
        return list(self._files.values())

    def add_comment(self, file: File, by: Person, content: str, *, quoted: str = "") -> Comment:
        """Comment on a file."""
        if not content:
            raise RefusedError(400, "required", "The content is required.")
        now = self._now()
        comment = Comment(self._id(), file, by, self._kept(content), quoted, now, now)
        self._comments[file.id][comment.id] = comment
        self._commented(file)
        return comment

    def add_reply(self, comment: Comment, by: Person, content: str, action: Action) -> Reply:
        """Reply to a comment, resolve or reopen it."""
        if not content and not action:
            raise RefusedError(400, "required", "Either content or action is required.")
        reply = Reply(self._id(), by, self._kept(content), action, self._now())
        comment.replies.append(reply)
        comment.modified = reply.created
        if action:
            comment.resolved = action is Action.RESOLVE
        self._commented(comment.file)
        return reply

    def edit(self, comment: Comment, reply_id: str, content: str) -> None:
        """Change the words of a comment or a reply; empty deletes it."""
        item = self.reply(comment, reply_id) if reply_id else comment
        item.content = self._kept(content)
        item.deleted = not content
        comment.modified = self._now()
        self._commented(comment.file)

    def comment(self, file_id: str, comment_id: str) -> Comment:
        """Raises `RefusedError`."""
        self.file(file_id)
        try:
            return self._comments[file_id][comment_id]
        except KeyError:
            raise RefusedError(404, "notFound", f"Comment not found: {comment_id}.") from None

    def reply(self, comment: Comment, reply_id: str) -> Reply:
        """Raises `RefusedError`."""
        for each in comment.replies:
            if each.id == reply_id:
                return each
        raise RefusedError(404, "notFound", f"Reply not found: {reply_id}.")

    def comments(self, file_id: str) -> list[Comment]:
        """A file's comments, those changed last first, as Drive lists them."""
        self.file(file_id)
        return sorted(self._comments[file_id].values(), key=lambda each: each.modified, reverse=True)

    def open_channel(
        self,
        channel_id: str,
        *,
        file_id: str,
        drive_id: str,
        address: str,
        token: str,
        wanted: datetime | None,
    ) -> Channel:
        """Open a channel; an id is good once. Google shortens the life it is asked for."""
        if channel_id in self._used_channel_ids:
            raise RefusedError(400, "channelIdNotUnique", f"Channel id {channel_id} not unique")
        if len(self._channels) >= CHANNELS_MAX:
            raise RefusedError(403, "rateLimitExceeded", "Too many channels.")
        longest = FILE_CHANNEL_SECONDS_MAX if file_id else LOG_CHANNEL_SECONDS_MAX
        now = self._clock()
        expires = min(wanted or now + timedelta(seconds=CHANNEL_SECONDS), now + timedelta(seconds=longest))
        resource_id = secrets.token_urlsafe(18)
        self._used_channel_ids.add(channel_id)
        channel = Channel(channel_id, resource_id, file_id, drive_id, address, token, expires)
        return self._channels.setdefault(channel_id, channel)

    def close_channel(self, channel_id: str, resource_id: str) -> None:
        """Raises `RefusedError` for one that is not there."""
        channel = self._channels.get(channel_id)
        if channel is None or channel.resource_id != resource_id:
            raise RefusedError(404, "notFound", f"Channel '{channel_id}' not found for project")
        del self._channels[channel_id]

    def channels(self) -> list[Channel]:
        """Those that live, oldest first."""
        return [each for each in self._channels.values() if each.expires > self._clock()]

    def expire_channels(self) -> int:
        """As if their time were over; how many."""
        count = len(self._channels)
        self._channels.clear()
        return count

    def _add(self, file: File, body: Body) -> None:
        if len(self._files) >= FILES_MAX or len(self.log) >= CHANGES_MAX:
            raise RefusedError(403, "storageQuotaExceeded", "The sandbox is full.")
        self._files[file.id] = file
        self._comments[file.id] = {}
        self._documents[file.id] = body
        self.log.append((file, self._clock()))

    def _kept(self, content: str) -> str:
        if len(self.log) >= CHANGES_MAX or len(content) > self._chars_left:
            raise RefusedError(403, "storageQuotaExceeded", "The sandbox is full.")
        if len(content) > CONTENT_CHARS_MAX:
            raise RefusedError(400, "badRequest", "The content is too long.")
        self._chars_left -= len(content)
        return content

    def _commented(self, file: File) -> None:
        if self._comments_reach_log:
            self.log.append((file, self._clock()))

    def _id(self) -> str:
        self._count += 1
        return f"AAAB{self._count:06d}{secrets.token_urlsafe(6).replace('-', '_')}"

    def _now(self) -> datetime:
        """Drive's times are of milliseconds; here no two are the same."""
        now = self._clock()
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        self._last = max(now, self._last + timedelta(milliseconds=1))
        return self._last
