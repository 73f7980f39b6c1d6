"""KnowledgeBaseService."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aucert.astra.v1 import knowledge_base_service_pb2 as pb
from aucert.astra.v1.knowledge_base_service_pb2_grpc import KnowledgeBaseServiceServicer
from services.astra.knowledge_search import KnowledgeSearch
from services.astra.knowledge_store import KnowledgeStore
from services.astra.knowledge_tables import DIMENSIONS
from services.astra.pages import key_of, page_size, token_after
from services.common.caller import current_caller
from services.common.errors import FieldInvalid

if TYPE_CHECKING:
    from services.common.door import Context

DOCUMENTS_A_PAGE, DOCUMENTS_A_PAGE_MAX = 50, 200
PASSAGES, PASSAGES_MAX = 10, 100
_DOCUMENTS = "knowledge"


class KnowledgeBaseServicer(KnowledgeBaseServiceServicer):
    """The documents of the caller's tenant."""

    def __init__(self, store: KnowledgeStore, search: KnowledgeSearch) -> None:
        self._store = store
        self._search = search

    async def PutDocument(self, request: pb.PutDocumentRequest, context: Context) -> pb.PutDocumentResponse:
        """Put a document, or say which vectors it lacks."""
        del context
        _check_dimensions("dimensions", request.dimensions)
        for place, chunk in enumerate(request.chunks):
            if chunk.vector and len(chunk.vector) != request.dimensions:
                raise FieldInvalid([(f"chunks[{place}].vector", f"must have {request.dimensions} numbers")])
        document, missing = await self._store.put(current_caller().tenant_id, request)
        return pb.PutDocumentResponse(document=document, missing_sha256=missing)

    async def DeleteDocument(
        self, request: pb.DeleteDocumentRequest, context: Context
    ) -> pb.DeleteDocumentResponse:
        """Delete a document."""
        del context
        deleted = await self._store.delete(current_caller().tenant_id, request.uri)
        return pb.DeleteDocumentResponse(deleted=deleted)

    async def ListDocuments(
        self, request: pb.ListDocumentsRequest, context: Context
    ) -> pb.ListDocumentsResponse:
        """List documents, ordered by uri."""
        del context
        limit = page_size(request.page_size, usual=DOCUMENTS_A_PAGE, most=DOCUMENTS_A_PAGE_MAX)
        key = key_of(request.page_token, _DOCUMENTS, str)
        found = await self._store.page(
            current_caller().tenant_id,
            prefix=request.uri_prefix,
            after=key[0] if key else "",
            limit=limit + 1,
        )
        more = len(found) > limit
        return pb.ListDocumentsResponse(
            documents=found[:limit],
            next_page_token=token_after(_DOCUMENTS, found[limit - 1].uri) if more else "",
        )

    async def SearchDocuments(
        self, request: pb.SearchDocumentsRequest, context: Context
    ) -> pb.SearchDocumentsResponse:
        """Find passages."""
        del context
        if request.vector:
            _check_dimensions("vector", len(request.vector))
            if not request.embedding_model:
                raise FieldInvalid([("embedding_model", "must say which model made the vector")])
        passages = await self._search.search(
            current_caller().tenant_id,
            request.query,
            request.vector,
            request.embedding_model,
            limit=page_size(request.limit, usual=PASSAGES, most=PASSAGES_MAX),
        )
        return pb.SearchDocumentsResponse(passages=passages)


def _check_dimensions(field: str, dimensions: int) -> None:
    """Raise FieldInvalid for vectors that no index is made for."""
    if dimensions not in DIMENSIONS:
        known = ", ".join(map(str, DIMENSIONS))
        raise FieldInvalid([(field, f"the record keeps vectors of {known} dimensions, not {dimensions}")])
