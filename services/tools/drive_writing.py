"""Take part in the comments on a file, each time once: what to send, and how it is recognised later.

Drive has no key and no hidden place. What we wrote is known by our account having written it, since the
ledger's row, in the same words; what is resolved by being resolved.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from aucert.astra.v1.effect_pb2 import Effect
from aucert.tools.v1 import drive_service_pb2 as pb
from services.tools import google_format
from services.tools.effects import Change
from services.tools.errors import FieldInvalid
from services.tools.google_access import GoogleCall
from services.tools.google_client import Json
from services.tools.google_files import DriveFile, comment_link
from services.tools.google_pages import items

CLOCK_SKEW = timedelta(minutes=2)
FOUND_FIELDS = "id,content,createdTime,author(me)"


def comment_creation(
    call: GoogleCall, request: pb.CreateFileCommentRequest
) -> Change[pb.CreateFileCommentResponse]:
    """A new comment. Raises FieldInvalid for one too long."""
    file_id = call.id_of(request.file_id)
    quote = " ".join(request.quote.split())
    words = _plain(f"“{quote}”\n\n{request.content}" if quote else request.content)
    path = f"drive/v3/files/{file_id}/comments"

    async def send(effect: Effect) -> pb.CreateFileCommentResponse:
        del effect
        file = await call.file(file_id)
        return told(file, await call.write(path, {"content": words}, fields="id"))

    async def find(effect: Effect) -> pb.CreateFileCommentResponse | None:
        since = _since(effect).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        found = items(call, path, "comments", fields=FOUND_FIELDS, startModifiedTime=since)
        async for each in found:
            if _is_ours(each, effect, words):
                return told(await call.known(file_id), each)
        return None

    def told(file: DriveFile, found: Json) -> pb.CreateFileCommentResponse:
        url = comment_link(file.url, found["id"])
        return pb.CreateFileCommentResponse(
            text=f"Commented on {file.name!r}, comment_id {found['id']}: {url}",
            comment_id=found["id"],
            url=url,
        )

    return Change(send, find, pb.CreateFileCommentResponse, lambda done: done.url)


def comment_reply(
    call: GoogleCall, request: pb.ReplyToFileCommentRequest
) -> Change[pb.ReplyToFileCommentResponse]:
    """A reply. Raises OriginThread for the run's own comment and FieldInvalid for one too long."""
    file_id = call.id_of(request.file_id)
    call.refuse_origin(file_id, request.comment_id)
    words = _plain(request.content)
    path = f"drive/v3/files/{file_id}/comments/{request.comment_id}/replies"

    async def send(effect: Effect) -> pb.ReplyToFileCommentResponse:
        del effect
        file = await call.file(file_id)
        return told(file, await call.write(path, {"content": words}, fields="id"))

    async def find(effect: Effect) -> pb.ReplyToFileCommentResponse | None:
        async for each in items(call, path, "replies", fields=FOUND_FIELDS):
            if _is_ours(each, effect, words):
                return told(await call.known(file_id), each)
        return None

    def told(file: DriveFile, found: Json) -> pb.ReplyToFileCommentResponse:
        url = comment_link(file.url, request.comment_id, found["id"])
        text = f"Replied on {file.name!r}: {url}"
        return pb.ReplyToFileCommentResponse(text=text, reply_id=found["id"], url=url)

    return Change(send, find, pb.ReplyToFileCommentResponse, lambda done: done.url)


def comment_resolution(
    call: GoogleCall, request: pb.ResolveFileCommentRequest
) -> Change[pb.ResolveFileCommentResponse]:
    """A comment marked as resolved, which a reply does. Raises OriginThread for the run's own comment."""
    file_id = call.id_of(request.file_id)
    call.refuse_origin(file_id, request.comment_id)
    path = f"drive/v3/files/{file_id}/comments/{request.comment_id}"

    async def send(effect: Effect) -> pb.ResolveFileCommentResponse:
        file = await call.file(file_id)
        if found := await find(effect):
            return found
        await call.write(f"{path}/replies", {"action": "resolve"}, fields="id")
        return told(file)

    async def find(effect: Effect) -> pb.ResolveFileCommentResponse | None:
        del effect
        is_resolved = (await call.read(path, fields="resolved")).get("resolved")
        return told(await call.known(file_id)) if is_resolved else None

    def told(file: DriveFile) -> pb.ResolveFileCommentResponse:
        url = comment_link(file.url, request.comment_id)
        return pb.ResolveFileCommentResponse(text=f"Resolved: {url}", url=url)

    return Change(send, find, pb.ResolveFileCommentResponse, lambda done: done.url)


def _plain(markdown: str) -> str:
    """As a comment shows it, where nobody is notified by accident."""
    words = google_format.to_plain(markdown)
    if not words.strip():
        raise FieldInvalid("There are no words to say.")
    if (size := len(words.encode())) > google_format.BYTES_MAX:
        raise FieldInvalid(
            f"A comment holds {google_format.BYTES_MAX:,} bytes, this has {size:,}. Say it shorter."
        )
    return words


def _is_ours(found: Json, effect: Effect, words: str) -> bool:
    return (
        bool((found.get("author") or {}).get("me"))
        and datetime.fromisoformat(found["createdTime"]) >= _since(effect)
        and google_format.same(words, found.get("content") or "")
    )


def _since(effect: Effect) -> datetime:
    return effect.created_time.ToDatetime(UTC) - CLOCK_SKEW
