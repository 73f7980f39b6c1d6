"""Create and change Google Docs, each once: what to send, and how it is recognised later.

A document that is made carries the effect's id among its properties, which our own OAuth client alone can
see. A change of one is a single batch that also names the range it changed by the effect's id
(`docs_editing`).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from aucert.astra.v1.effect_pb2 import Effect
from aucert.tools.v1 import docs_service_pb2 as pb
from services.tools.docs_document import FIELDS, Document, document_of
from services.tools.docs_editing import Edit, count_marked, insertion, replacement, tab_of
from services.tools.effects import Change
from services.tools.errors import ArgumentsRefused, FieldInvalid
from services.tools.google_access import GoogleCall
from services.tools.google_files import DOCUMENT, FILE_FIELDS, DriveFile
from services.tools.google_pages import items
from services.tools.quoting import INVISIBLE
from services.tools.vendor_errors import VendorRefused

PROPERTY = "astraEffect"
MARKDOWN = "text/markdown"
REVISIONS_MAX = 3
"""How often a change is worked out anew because somebody else was faster."""
_FETCHED = re.compile(r"!(?=\[)|<(?=img\b)", re.IGNORECASE)
"""What would make Google fetch an address while it reads the Markdown: an image."""


async def read_document(call: GoogleCall, document_id: str) -> Document:
    """A document with its tabs; suggestions are in it as far as our account may see them."""
    path = f"v1/documents/{document_id}"
    return document_of(await call.read(path, fields=FIELDS, includeTabsContent="true"))


async def open_document(call: GoogleCall, document_id: str) -> DriveFile:
    """The file of a document this call may touch. Raises FieldInvalid for a file of another kind."""
    file = await call.file(document_id)
    if file.mime_type != DOCUMENT:
        raise FieldInvalid(f"{file.name!r} is no Google Doc but {file.mime_type}: it cannot be used as one.")
    return file


def document_creation(
    call: GoogleCall, request: pb.CreateDocumentRequest
) -> Change[pb.CreateDocumentResponse]:
    """A new document. Raises FieldInvalid where no folder is named and the run has no file of its own."""
    own_id = "" if request.folder_id else call.id_of("")

    async def send(effect: Effect) -> pb.CreateDocumentResponse:
        folder = await _folder(call, request.folder_id, own_id)
        body = {
            "name": request.title,
            "mimeType": DOCUMENT,
            "parents": [folder.id],
            "appProperties": {PROPERTY: effect.effect_id},
        }
        text = _FETCHED.sub(lambda found: found[0] + INVISIBLE, request.text)
        made = await call.upload("drive/v3/files", body, text, MARKDOWN, fields=FILE_FIELDS)
        return told(call.files.remember(made))

    async def find(effect: Effect) -> pb.CreateDocumentResponse | None:
        query = f"appProperties has {{ key='{PROPERTY}' and value='{effect.effect_id}' }}"
        drive_id = (await call.known(request.folder_id or own_id)).drive_id
        # Asked for all drives at once, Google may search some of them only, and find nothing.
        corpus = {"corpora": "drive", "driveId": drive_id} if drive_id else {"corpora": "user"}
        drives = {"supportsAllDrives": "true", "includeItemsFromAllDrives": "true", **corpus}
        found = items(call, "drive/v3/files", "files", fields=FILE_FIELDS, q=query, **drives)
        async for each in found:
            return told(call.files.remember(each))
        return None

    def told(file: DriveFile) -> pb.CreateDocumentResponse:
        text = f"Created {file.name!r}, document_id {file.id}: {file.url}"
        return pb.CreateDocumentResponse(text=text, document_id=file.id, url=file.url)

    return Change(send, find, pb.CreateDocumentResponse, lambda done: done.url)


def text_insertion(call: GoogleCall, request: pb.InsertTextRequest) -> Change[pb.InsertTextResponse]:
    """New paragraphs."""
    editing = _Editing(
        call,
        call.id_of(request.document_id),
        lambda document: insertion(tab_of(document, request.tab_id), request.text, request.after),
    )

    def told(file: DriveFile, count: int) -> pb.InsertTextResponse:
        text = f"Inserted {_counted(count, 'paragraph')} into {file.name!r}: {file.url}"
        return pb.InsertTextResponse(text=text, paragraph_count=count, url=file.url)

    async def send(effect: Effect) -> pb.InsertTextResponse:
        return told(*await editing.send(effect))

    async def find(effect: Effect) -> pb.InsertTextResponse | None:
        found = await editing.find(effect)
        return told(*found) if found else None

    return Change(send, find, pb.InsertTextResponse, lambda done: done.url)


def text_replacement(call: GoogleCall, request: pb.ReplaceTextRequest) -> Change[pb.ReplaceTextResponse]:
    """Other words in the place of some."""
    editing = _Editing(
        call,
        call.id_of(request.document_id),
        lambda document: replacement(
            tab_of(document, request.tab_id), request.find, request.replace, everywhere=request.all
        ),
    )

    def told(file: DriveFile, count: int) -> pb.ReplaceTextResponse:
        text = f"Replaced the words in {_counted(count, 'place')} of {file.name!r}: {file.url}"
        return pb.ReplaceTextResponse(text=text, replaced_count=count, url=file.url)

    async def send(effect: Effect) -> pb.ReplaceTextResponse:
        return told(*await editing.send(effect))

    async def find(effect: Effect) -> pb.ReplaceTextResponse | None:
        found = await editing.find(effect)
        return told(*found) if found else None

    return Change(send, find, pb.ReplaceTextResponse, lambda done: done.url)


class _Editing:
    """One change of a document. `plan` works it out on what the document holds."""

    def __init__(self, call: GoogleCall, document_id: str, plan: Callable[[Document], Edit]) -> None:
        self._call = call
        self._document_id = document_id
        self._plan = plan

    async def send(self, effect: Effect) -> tuple[DriveFile, int]:
        """Apply it to the newest revision; worked out anew where somebody changed the document meanwhile.

        An earlier request that arrives late is refused, for it names a revision that is none any more; or it
        was the one that changed the document, and is found.
        """
        file = await open_document(self._call, self._document_id)
        document = await read_document(self._call, self._document_id)
        for _ in range(REVISIONS_MAX):
            if (made := count_marked(document, effect.effect_id)) is not None:
                return file, made
            if not document.revision_id:
                raise VendorRefused(
                    f"Our account on Google may not change {file.name!r}: share it as editor."
                )
            edit = self._plan(document)
            try:
                await self._apply(document, edit.marked(effect.effect_id))
                return file, edit.count
            except ArgumentsRefused:
                tried, document = document, await read_document(self._call, self._document_id)
                if document.revision_id == tried.revision_id:
                    raise
        raise ArgumentsRefused("Somebody is writing in the document all the time. Try again later.")

    async def find(self, effect: Effect) -> tuple[DriveFile, int] | None:
        """Look for the name that the change put on its range."""
        count = count_marked(await read_document(self._call, self._document_id), effect.effect_id)
        return None if count is None else (await self._call.known(self._document_id), count)

    async def _apply(self, document: Document, requests: list[dict[str, object]]) -> None:
        body = {"requests": requests, "writeControl": {"requiredRevisionId": document.revision_id}}
        await self._call.write(f"v1/documents/{document.id}:batchUpdate", body, fields="documentId")


async def _folder(call: GoogleCall, folder_id: str, own_id: str) -> DriveFile:
    """The folder to write into: the one that is named, or the one of the run's own document."""
    if not folder_id:
        own = await call.file(own_id)
        if not own.parents:
            raise FieldInvalid("The document you were asked in lies in no folder we see: name a folder_id.")
        folder_id = own.parents[0]
    folder = await call.file(folder_id)
    if not folder.is_folder:
        raise FieldInvalid(f"{folder.name!r} is no folder.")
    return folder


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
