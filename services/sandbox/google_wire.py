"""Files, comments and channels as Drive's JSON.

Of a comment's author only the name and `me` are told, as by Google.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TypeAlias

from services.sandbox.google_domain import FOLDER, Channel, Comment, File, Person, Reply
from services.sandbox.google_state import GoogleState

JsonObject: TypeAlias = dict[str, object]
_MENTION = re.compile(r"[@+]([\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+)")


class GoogleWire:
    """Links are those under which this caller reached the sandbox."""

    def __init__(self, state: GoogleState, origin: str) -> None:
        self._state = state
        self._origin = origin

    def about(self) -> JsonObject:
        """As `about.get` shows the account."""
        account = self._state.account
        user = {"displayName": account.name, "me": True, "emailAddress": account.email}
        return {"kind": "drive#about", "user": {"kind": "drive#user", **user}}

    def file(self, file: File) -> JsonObject:
        """As `files.get` shows one; Drive leaves the permissions of a shared drive's files out."""
        shown: JsonObject = {
            "kind": "drive#file",
            "id": file.id,
            "name": file.name,
            "mimeType": file.mime_type,
            "webViewLink": self.link(file),
            "createdTime": rfc3339(file.created),
            "trashed": False,
        }
        shown |= {"parents": list(file.parents)} if file.parents else {}
        shown |= {"appProperties": dict(file.properties)} if file.properties else {}
        if file.drive_id:
            return shown | {"driveId": file.drive_id}
        permissions: list[JsonObject] = [{"kind": "drive#permission", "type": "user", "role": "writer"}]
        if file.link_role:
            permissions.append({"kind": "drive#permission", "type": "anyone", "role": str(file.link_role)})
        return shown | {"permissions": permissions}

    def comment(self, comment: Comment) -> JsonObject:
        """As `comments.get` shows one, replies included."""
        shown = self._said(comment) | {
            "kind": "drive#comment",
            "modifiedTime": rfc3339(comment.modified),
            "resolved": comment.resolved,
            "replies": [self.reply(each) for each in comment.replies],
        }
        quoted = {"mimeType": "text/html", "value": comment.quoted}
        return shown | ({"quotedFileContent": quoted} if comment.quoted else {})

    def reply(self, reply: Reply) -> JsonObject:
        """As `replies.create` shows one."""
        shown = self._said(reply) | {"kind": "drive#reply", "modifiedTime": rfc3339(reply.created)}
        return shown | ({"action": str(reply.action)} if reply.action else {})

    def channel(self, channel: Channel) -> JsonObject:
        """As `watch` answers."""
        return {
            "kind": "api#channel",
            "id": channel.id,
            "resourceId": channel.resource_id,
            "resourceUri": resource_uri(channel),
            "token": channel.token,
            "expiration": str(int(channel.expires.timestamp() * 1000)),
        }

    def link(self, file: File, comment_id: str = "", reply_id: str = "") -> str:
        """Where a person reads it."""
        kind = "folders" if file.mime_type == FOLDER else "document"
        comment = f"?disco={comment_id}" if comment_id else ""
        return f"{self._origin}/web/google-drive/{kind}/d/{file.id}/edit{comment}" + (
            f"#{reply_id}" if reply_id else ""
        )

    def _said(self, item: Comment | Reply) -> JsonObject:
        shown: JsonObject = {
            "id": item.id,
            "author": self._author(item.author),
            "createdTime": rfc3339(item.created),
            "deleted": item.deleted,
        }
        if item.deleted:
            return shown
        mentioned = list(dict.fromkeys(_MENTION.findall(item.content)))
        shown |= {"content": item.content, "htmlContent": item.content}
        return shown | ({"mentionedEmailAddresses": mentioned} if mentioned else {})

    def _author(self, person: Person) -> JsonObject:
        me = person.email == self._state.account.email
        return {"kind": "drive#user", "displayName": person.name, "me": me}


def resource_uri(channel: Channel) -> str:
    """What a channel watches, as Google writes it."""
    base = "https://www.googleapis.com/drive/v3"
    if channel.file_id:
        return f"{base}/files/{channel.file_id}?alt=json"
    drive = f"&driveId={channel.drive_id}" if channel.drive_id else ""
    return f"{base}/changes?alt=json{drive}&pageToken=1"


def rfc3339(moment: datetime) -> str:
    """As Google writes times: milliseconds, UTC."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
