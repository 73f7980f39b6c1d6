"""Find files on Google Drive and read their comments."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from aucert.tools.v1 import drive_service_pb2 as pb
from services.tools.errors import FieldInvalid, TrustRequired
from services.tools.google_access import ALLOWED, GoogleCall, for_model
from services.tools.google_client import Json
from services.tools.google_files import DOCUMENT, FOLDER, DriveFile, comment_link
from services.tools.google_pages import PAGE_SIZE, by_number
from services.tools.json_schema import enum_words
from services.tools.quoting import one_line, quoted
from services.tools.repo_pages import Place
from services.tools.vendor_pages import Entry, Part, show

_SAID = "id,content,author(displayName,me),createdTime,deleted"
COMMENT_FIELDS = f"{_SAID},resolved,quotedFileContent(value),replies({_SAID},action)"
KINDS: Mapping[int, str] = {
    pb.DRIVE_FILE_KIND_DOCUMENT: DOCUMENT,
    pb.DRIVE_FILE_KIND_SPREADSHEET: "application/vnd.google-apps.spreadsheet",
    pb.DRIVE_FILE_KIND_PRESENTATION: "application/vnd.google-apps.presentation",
    pb.DRIVE_FILE_KIND_FOLDER: FOLDER,
    pb.DRIVE_FILE_KIND_PDF: "application/pdf",
}
_WORDS = {KINDS[kind]: word for word, kind in enum_words(pb.DriveFileKind.DESCRIPTOR).items()}


async def search_files(call: GoogleCall, request: pb.SearchFilesRequest) -> pb.SearchFilesResponse:
    """Files by words or folder, of those that are open to agents. Raises FieldInvalid, TrustRequired."""
    if not call.is_trusted:
        raise TrustRequired("This run can read the document it was asked in, and search no others.")
    if not (request.query.strip() or request.folder_id):
        raise FieldInvalid("Give words to look for, or a folder to list.")
    if request.folder_id:
        await call.file(request.folder_id)
    wanted, allowed = _query(request), {f"{ALLOWED}{name}" for name in await call.containers.listed(ALLOWED)}

    async def fetch(page_token: str) -> tuple[Sequence[Entry[pb.DriveFile]], str]:
        with for_model():
            found, following = await call.files.search(wanted, page_token)
            mine = [each for each in found if allowed.intersection(await call.files.names(each))]
        return [Entry(_file_of(each), [_file_line(each)]) for each in mine], following

    place = Place("", "drive_search_files", (request.query, request.folder_id, request.kind))
    shown = await show(place, request.continuation, by_number(fetch))
    head = f"Files on Google Drive that are open to agents{_asked(request)}:"
    return pb.SearchFilesResponse(
        text=shown.text(head, empty="(none)"), files=shown.items, continuation=shown.continuation
    )


async def list_comments(call: GoogleCall, request: pb.ListFileCommentsRequest) -> pb.ListFileCommentsResponse:
    """The comments on a file, those changed last first."""
    file = await call.file(call.id_of(request.file_id))

    async def fetch(page_token: str) -> tuple[Sequence[Entry[pb.DriveComment]], str]:
        page = await call.read(
            f"drive/v3/files/{file.id}/comments",
            fields=f"nextPageToken,comments({COMMENT_FIELDS})",
            pageSize=PAGE_SIZE,
            **({"pageToken": page_token} if page_token else {}),
        )
        wanted = [each for each in page["comments"] if request.include_resolved or not each.get("resolved")]
        entries = [Entry(comment_of(file, each), [*_comment_lines(each), ""]) for each in wanted]
        return entries, str(page.get("nextPageToken") or "")

    place = Place("", "drive_list_comments", (file.id, request.include_resolved))
    shown = await show(place, request.continuation, by_number(fetch))
    head = f"{'Comments' if request.include_resolved else 'Open comments'} on {file.name!r}, {file.url}:\n"
    return pb.ListFileCommentsResponse(
        text=shown.text(head, empty="(none)"), comments=shown.items, continuation=shown.continuation
    )


async def get_comment(call: GoogleCall, request: pb.GetFileCommentRequest) -> pb.GetFileCommentResponse:
    """A comment with its replies."""
    file = await call.file(call.id_of(request.file_id))
    path = f"drive/v3/files/{file.id}/comments/{request.comment_id}"
    found = comment_of(file, told := await call.read(path, fields=COMMENT_FIELDS))

    async def whole(page: int) -> Part[None]:
        return Part([Entry(None, _comment_lines(told))] if page == 1 else (), last=True)

    place = Place("", "drive_get_comment", (file.id, request.comment_id))
    shown = await show(place, request.continuation, whole)
    return pb.GetFileCommentResponse(
        text=shown.text(f"On {file.name!r}, {found.url}:"), comment=found, continuation=shown.continuation
    )


def comment_of(file: DriveFile, told: Json) -> pb.DriveComment:
    """A comment as the contract has it."""
    return pb.DriveComment(
        comment_id=told["id"],
        author=_author(told),
        resolved=bool(told.get("resolved")),
        quoted=_passage(told),
        reply_count=sum(not each.get("deleted") for each in told.get("replies") or ()),
        url=comment_link(file.url, told["id"]),
    )


def _comment_lines(told: Json) -> list[str]:
    state = "resolved" if told.get("resolved") else "open"
    head = f"Comment {told['id']} by {_by(told)}, {told['createdTime']}, {state}"
    passage = _passage(told)
    lines = [f"{head}, about:", *quoted(passage), "It says:"] if passage else [f"{head}:"]
    lines += quoted(told.get("content"))
    for reply in told.get("replies") or ():
        if not reply.get("deleted"):
            lines += _reply_lines(reply)
    return lines


def _reply_lines(told: Json) -> list[str]:
    action = {"resolve": ", resolves it", "reopen": ", reopens it"}.get(told.get("action") or "", "")
    head = f"Reply {told['id']} by {_by(told)}, {told['createdTime']}{action}:"
    return [head, *quoted(told["content"])] if told.get("content") else [head.removesuffix(":")]


def _passage(told: Json) -> str:
    """Google keeps a passage as HTML."""
    return html.unescape((told.get("quotedFileContent") or {}).get("value") or "")


def _author(told: Json) -> str:
    return one_line((told.get("author") or {}).get("displayName")) or "somebody"


def _by(told: Json) -> str:
    """Between quotes: Google gives no id, and a name may hold the very words that follow it here."""
    name = repr(_author(told))
    return f"{name} (our own account)" if (told.get("author") or {}).get("me") else name


def _query(request: pb.SearchFilesRequest) -> str:
    """In Drive's query language; what people typed stands in it between quotes."""
    terms = ["trashed = false"]
    if request.query.strip():
        words = request.query.replace("\\", "\\\\").replace("'", "\\'")
        terms.append(f"(name contains '{words}' or fullText contains '{words}')")
    if request.folder_id:
        terms.append(f"'{request.folder_id}' in parents")
    if request.kind:
        terms.append(f"mimeType = '{KINDS[request.kind]}'")
    return " and ".join(terms)


def _asked(request: pb.SearchFilesRequest) -> str:
    words = f" with {request.query!r}" if request.query.strip() else ""
    return words + (f" in the folder {request.folder_id}" if request.folder_id else "")


def _file_of(file: DriveFile) -> pb.DriveFile:
    return pb.DriveFile(file_id=file.id, name=one_line(file.name), mime_type=file.mime_type, url=file.url)


def _file_line(file: DriveFile) -> str:
    kind = _WORDS.get(file.mime_type, file.mime_type)
    return f"{file.id}  {kind}  {one_line(file.name)}  {file.url}"
