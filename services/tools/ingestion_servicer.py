"""IngestionService: documents into the knowledge base, by hand and from their sources."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING

from aucert.tools.v1 import ingestion_service_pb2 as pb
from aucert.tools.v1.ingestion_service_pb2_grpc import IngestionServiceServicer
from services.tools.kb_ingest import Document, Ingestion, left_out
from services.tools.kb_sources import DriveSource, Read, RepositorySource

if TYPE_CHECKING:
    from services.common.door import Context

CANNOT_BE_READ = "it is no text that can be taken in, or too long"


class IngestionServicer(IngestionServiceServicer):
    """Takes in what callers hold, and what it reads at sources."""

    def __init__(self, ingestion: Ingestion, repositories: RepositorySource, drive: DriveSource) -> None:
        self._ingestion = ingestion
        self._repositories = repositories
        self._drive = drive

    async def IngestDocuments(
        self, request: pb.IngestDocumentsRequest, context: Context
    ) -> pb.IngestDocumentsResponse:
        """Take in documents."""
        del context
        model = await self._ingestion.model()
        results: list[pb.IngestResult] = []
        for each in request.documents:
            document = Document(
                uri=each.uri,
                text=each.text,
                markdown=each.format == pb.DOCUMENT_FORMAT_MARKDOWN,
                title=each.title,
                url=each.url,
            )
            known = (await self._ingestion.known(each.uri)).get(each.uri)
            results.append(await self._ingestion.ingest(document, known, model))
        return pb.IngestDocumentsResponse(results=results)

    async def SyncRepository(
        self, request: pb.SyncRepositoryRequest, context: Context
    ) -> AsyncIterator[pb.SyncRepositoryResponse]:
        """Take in a repository's specifications and decision records."""
        del context
        prefix, documents = await self._repositories.documents(request.repository_slug)
        async with aclosing(self._synced(documents, prefix)) as results:
            async for result in results:
                yield pb.SyncRepositoryResponse(result=result)

    async def SyncDrive(
        self, request: pb.SyncDriveRequest, context: Context
    ) -> AsyncIterator[pb.SyncDriveResponse]:
        """Take in Google Docs."""
        del context
        prefix, documents = self._drive.documents(request.file_id)
        async with aclosing(self._synced(documents, prefix)) as results:
            async for result in results:
                yield pb.SyncDriveResponse(result=result)

    async def _synced(
        self, documents: AsyncGenerator[Read, None], prefix: str
    ) -> AsyncGenerator[pb.IngestResult, None]:
        """Each document as it is done, then those of the prefix that are no longer there."""
        model = await self._ingestion.model()
        known = await self._ingestion.known(prefix)
        seen: set[str] = set()
        async with aclosing(documents):
            async for document in documents:
                uri = document if isinstance(document, str) else document.uri
                seen.add(uri)
                if isinstance(document, str):
                    yield left_out(uri, CANNOT_BE_READ)
                else:
                    yield await self._ingestion.ingest(document, known.get(uri), model)
        for uri in [each for each in known if each not in seen]:
            yield await self._ingestion.delete(uri)
