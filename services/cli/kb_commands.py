"""`astra kb`: put documents into the knowledge base, see what is in it, search it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC
from pathlib import Path
from typing import Annotated

import typer

from aucert.astra.v1 import knowledge_base_service_pb2 as record_pb
from aucert.astra.v1.knowledge_document_pb2 import KnowledgeDocument
from aucert.astra.v1.repository_service_pb2 import ListRepositoriesRequest
from aucert.tools.v1 import ingestion_service_pb2 as pb
from aucert.tools.v1.knowledge_service_pb2 import SearchKnowledgeRequest
from services.cli.client import Clients, operator_clients
from services.cli.configuration import environment
from services.cli.kb_files import Found, found_in, prefix_of
from services.cli.reporting import say
from services.cli.show import as_json as message_json
from services.cli.show import dollars, table
from services.cli.spelling import JsonOption, StateOption, command, group
from services.cli.state import DEFAULT_STATE_DIR

DOCUMENTS_A_CALL = 8
CHARS_A_CALL = 400_000
"""A call of more is split: it is embedded before it is answered."""
INGEST_SECONDS = 900.0
SYNC_SECONDS = 3_600.0
SEARCH_SECONDS = 60.0
PAGE_SIZE, PAGES_MAX = 200, 500
REPOSITORIES_MAX = 200
app = group("Fill the knowledge base, and search it.")


@command(app, "add")
async def add(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders of text.")],
    state: StateOption = DEFAULT_STATE_DIR,
    as_json: JsonOption = False,
) -> bool:
    """Take in files, and folders with all text files below them; what is gone from a folder is removed.

    Repeat it whenever you like: only what changed is embedded again.
    """
    telling = _Telling(as_json=as_json)
    async with operator_clients(state, environment()) as clients:
        for path in paths:
            seen: set[str] = set()
            for batch in _batches(found_in(path)):
                seen |= {each.uri for each in batch}
                for result in await _ingested(clients, batch):
                    telling.tell(result)
            if path.is_dir():
                for known in await _documents(clients, prefix_of(path)):
                    if known.uri not in seen:
                        telling.tell(await _deleted(clients, known.uri))
    return telling.finish()


@command(app, "sync")
async def sync(
    repositories: Annotated[
        list[str] | None, typer.Argument(help="Slugs of registered repositories. None: all of them.")
    ] = None,
    drive: Annotated[list[str] | None, typer.Option(help="Id of a Google Doc, or of a folder.")] = None,
    state: StateOption = DEFAULT_STATE_DIR,
    as_json: JsonOption = False,
) -> bool:
    """Take in what repositories (specifications, decision records) and Google Docs hold now."""
    telling = _Telling(as_json=as_json)
    async with operator_clients(state, environment()) as clients:
        slugs = repositories or ([] if drive else await _all_repositories(clients))
        for slug in slugs:
            say(f"repository {slug}")
            of_repository = pb.SyncRepositoryRequest(repository_slug=slug)
            async for each in clients.ingestion.SyncRepository(of_repository, timeout=SYNC_SECONDS):
                telling.tell(each.result)
        for file_id in drive or ():
            say(f"Google Drive {file_id}")
            of_drive = pb.SyncDriveRequest(file_id=file_id)
            async for each in clients.ingestion.SyncDrive(of_drive, timeout=SYNC_SECONDS):
                telling.tell(each.result)
    return telling.finish()


@command(app, "list")
async def list_documents(
    prefix: Annotated[
        str, typer.Argument(help='Beginning of the names, as in "repository:". Empty: all.')
    ] = "",
    state: StateOption = DEFAULT_STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """List the documents, by name."""
    async with operator_clients(state, environment()) as clients:
        found = await _documents(clients, prefix)
    if as_json:
        print(json.dumps([message_json(each) for each in found]))
        return
    heading = ("ingested", "chunks", "model", "title", "uri")
    print(table([heading, *map(_row, found)]))


@command(app, "remove")
async def remove(
    uris: Annotated[list[str], typer.Argument(help="Names of documents, or paths of files and folders.")],
    state: StateOption = DEFAULT_STATE_DIR,
) -> bool:
    """Remove documents; a path stands for the file, or for all that was added from the folder."""
    removed = 0
    async with operator_clients(state, environment()) as clients:
        for each in uris:
            prefix = each if ":" in each else prefix_of(Path(each))
            known = await _documents(clients, prefix)
            matching = [one.uri for one in known if prefix.endswith("/") or one.uri == prefix]
            for uri in matching:
                await _deleted(clients, uri)
                say(f"removed {uri}")
            removed += len(matching)
            if not matching:
                say(f"nothing is called {each}; `astra kb list` shows what there is")
    return removed > 0


@command(app, "search")
async def search(
    query: Annotated[str, typer.Argument(help="A question, in plain words.")],
    limit: Annotated[int, typer.Option(min=1, max=20, help="How many passages.")] = 5,
    state: StateOption = DEFAULT_STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """Search as the agent's tool kb_search does."""
    request = SearchKnowledgeRequest(query=query, limit=limit)
    async with operator_clients(state, environment()) as clients:
        found = await clients.knowledge.SearchKnowledge(request, timeout=SEARCH_SECONDS)
    print(json.dumps([message_json(each) for each in found.passages]) if as_json else found.text)


class _Telling:
    """Tells what became of each document, and at the end of all of them."""

    def __init__(self, *, as_json: bool) -> None:
        self._results: list[pb.IngestResult] | None = [] if as_json else None
        self._counts: dict[str, int] = {}
        self._cost_usd_micros = 0

    def tell(self, result: pb.IngestResult) -> None:
        """One document is done; unchanged ones are counted only."""
        word = pb.IngestOutcome.Name(result.outcome).removeprefix("INGEST_OUTCOME_").lower()
        self._counts[word] = self._counts.get(word, 0) + 1
        self._cost_usd_micros += result.cost_usd_micros
        if self._results is not None:
            self._results.append(result)
        elif result.outcome != pb.INGEST_OUTCOME_UNCHANGED:
            chunks = f"{result.chunk_count} chunks, {result.embedded_count} embedded"
            more = result.problem or (chunks if result.chunk_count else "")
            print(f"{word.replace('_', ' '):<9} {result.uri}  {more}".rstrip())

    def finish(self) -> bool:
        """Sum up; False: something was left out."""
        if self._results is not None:
            print(json.dumps([message_json(each) for each in self._results]))
        told = ", ".join(f"{count} {word.replace('_', ' ')}" for word, count in sorted(self._counts.items()))
        say(f"{told or 'nothing there'}; embedding cost {dollars(self._cost_usd_micros)}")
        return "left_out" not in self._counts


def _batches(found: Iterator[Found]) -> Iterator[list[Found]]:
    """As many at once as a call may hold."""
    batch: list[Found] = []
    chars = 0
    for each in found:
        size = len(each.document.text) if each.document else 0
        if batch and (len(batch) == DOCUMENTS_A_CALL or chars + size > CHARS_A_CALL):
            yield batch
            batch, chars = [], 0
        batch.append(each)
        chars += size
    if batch:
        yield batch


async def _ingested(clients: Clients, batch: Sequence[Found]) -> list[pb.IngestResult]:
    """What became of the files of a batch, those that cannot be read included."""
    documents = [each.document for each in batch if each.document]
    results = [
        pb.IngestResult(uri=each.uri, outcome=pb.INGEST_OUTCOME_LEFT_OUT, problem=each.problem)
        for each in batch
        if not each.document
    ]
    if documents:
        request = pb.IngestDocumentsRequest(documents=documents)
        results += (await clients.ingestion.IngestDocuments(request, timeout=INGEST_SECONDS)).results
    return results


async def _deleted(clients: Clients, uri: str) -> pb.IngestResult:
    await clients.knowledge_base.DeleteDocument(record_pb.DeleteDocumentRequest(uri=uri))
    return pb.IngestResult(uri=uri, outcome=pb.INGEST_OUTCOME_DELETED)


async def _documents(clients: Clients, prefix: str) -> list[KnowledgeDocument]:
    found: list[KnowledgeDocument] = []
    request = record_pb.ListDocumentsRequest(uri_prefix=prefix, page_size=PAGE_SIZE)
    for _ in range(PAGES_MAX):
        page = await clients.knowledge_base.ListDocuments(request)
        found += page.documents
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break
    return found


async def _all_repositories(clients: Clients) -> list[str]:
    listed = await clients.repositories.ListRepositories(ListRepositoriesRequest(page_size=REPOSITORIES_MAX))
    return [each.slug for each in listed.repositories]


def _row(document: KnowledgeDocument) -> tuple[str, ...]:
    ingested = document.ingested_time.ToDatetime(UTC)
    return (
        f"{ingested:%Y-%m-%d %H:%M}",
        str(document.chunk_count),
        document.embedding_model,
        document.title[:60],
        document.uri,
    )
