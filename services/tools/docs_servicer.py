"""DocsService: the four tools that read, create and change Google Docs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aucert.tools.v1 import docs_service_pb2 as pb
from aucert.tools.v1.docs_service_pb2_grpc import DocsServiceServicer
from services.tools.docs_writing import (
    document_creation,
    open_document,
    read_document,
    text_insertion,
    text_replacement,
)
from services.tools.effects import Effects
from services.tools.google_access import GoogleAccess
from services.tools.repo_pages import Place
from services.tools.vendor_pages import Entry, Part, Shown, show

if TYPE_CHECKING:
    from services.common.door import Context


class DocsServicer(DocsServiceServicer):
    """Opens each call at Google; what is written goes through the ledger."""

    def __init__(self, access: GoogleAccess, effects: Effects) -> None:
        self._access = access
        self._effects = effects

    async def GetDocument(self, request: pb.GetDocumentRequest, context: Context) -> pb.GetDocumentResponse:
        """Read a document."""
        del context
        async with self._access.opened() as call:
            file = await open_document(call, call.id_of(request.document_id))
            document = await read_document(call, file.id)

            async def whole(page: int) -> Part[None]:
                return Part([Entry(None, document.lines())] if page == 1 else (), last=True)

            place = Place("", "docs_get_document", (file.id,))
            shown: Shown[None] = await show(place, request.continuation, whole)
            return pb.GetDocumentResponse(
                text=shown.text(f"{document.title!r}, document_id {file.id}: {file.url}", empty="(no text)"),
                document_id=file.id,
                title=document.title,
                url=file.url,
                continuation=shown.continuation,
            )

    async def CreateDocument(
        self, request: pb.CreateDocumentRequest, context: Context
    ) -> pb.CreateDocumentResponse:
        """Create a document."""
        del context
        async with self._access.opened() as call:
            change = document_creation(call, request)
            return await self._effects.once("docs_create_document", request, call.run, change)

    async def InsertText(self, request: pb.InsertTextRequest, context: Context) -> pb.InsertTextResponse:
        """Insert paragraphs."""
        del context
        async with self._access.opened() as call:
            change = text_insertion(call, request)
            return await self._effects.once("docs_insert_text", request, call.run, change)

    async def ReplaceText(self, request: pb.ReplaceTextRequest, context: Context) -> pb.ReplaceTextResponse:
        """Replace words."""
        del context
        async with self._access.opened() as call:
            change = text_replacement(call, request)
            return await self._effects.once("docs_replace_text", request, call.run, change)
