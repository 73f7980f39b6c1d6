"""Measure what the knowledge base finds of this repository's own documents: by words, by vectors, by both.

Forty questions, most in other words than the documents', each with the documents that answer it
(tests/samples/knowledge). Prints for each way how often one of them is among the first five passages, and the
mean of 1/place of the first that is (0 below ten); then the questions that words alone miss, the time of a
search, and all of it as JSON on the last line. Uses the embedding model EMBEDDING_MODEL names.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from aucert.astra.v1.knowledge_base_service_pb2 import SearchDocumentsRequest
from aucert.astra.v1.knowledge_document_pb2 import KnowledgePassage
from aucert.models.v1.embedding_pb2 import EMBEDDING_PURPOSE_QUERY, EmbedRequest
from aucert.models.v1.model_service_pb2_grpc import ModelServiceStub
from aucert.tools.v1.ingestion_service_pb2 import IngestDocumentsRequest
from services.cli.client import Clients, operator_clients
from services.cli.configuration import environment
from services.cli.kb_files import found_in
from services.cli.stack import Ports, running_stack
from services.cli.state import StateDirectory
from services.common.channels import connect
from services.common.logs import configure_logs

ROOT = Path(__file__).resolve().parents[1]
QUESTIONS = ROOT / "tests" / "samples" / "knowledge" / "questions_on_docs.json"
DOCUMENTS = ("README.md", "docs")
TOP, DEPTH = 5, 10
EMBED_SECONDS = 120.0
INGEST_SECONDS = 900.0
WAYS = ("words", "vectors", "both")


@dataclass(frozen=True, slots=True)
class Answered:
    """A question, the place of its first right passage in each way (0: none), and how long a search took."""

    question: str
    places: dict[str, int]
    search_ms: float


async def main() -> None:
    """Ingest, ask, print."""
    configure_logs(level="WARNING", stream=sys.stderr)
    chosen = {name: value for name, value in environment().items() if not name.startswith("DATABASE")}
    with tempfile.TemporaryDirectory() as folder:
        async with running_stack(
            StateDirectory(Path(folder)), Ports.free(), chosen, with_worker=False
        ) as stack:
            models = connect(stack.models_address, stack.operator_token)
            async with operator_clients(Path(folder), {}) as clients:
                chunk_count, ingest_seconds = await ingested(clients)
                answered = [
                    await asked(clients, ModelServiceStub(models), each)
                    for each in json.loads(QUESTIONS.read_text())
                ]
            await models.close()
    report(answered, chunk_count, ingest_seconds)


async def ingested(clients: Clients) -> tuple[int, float]:
    """Take in the documents; how many chunks, and the seconds it took."""
    started, chunk_count = time.monotonic(), 0
    for name in DOCUMENTS:
        for found in found_in(ROOT / name):
            assert found.document is not None, found
            found.document.uri = str(Path(found.uri.removeprefix("file://")).relative_to(ROOT))
            request = IngestDocumentsRequest(documents=[found.document])
            (result,) = (await clients.ingestion.IngestDocuments(request, timeout=INGEST_SECONDS)).results
            assert not result.problem, result
            chunk_count += result.chunk_count
    return chunk_count, time.monotonic() - started


async def asked(clients: Clients, models: ModelServiceStub, labelled: dict[str, Any]) -> Answered:
    """Search by both ways at once; each passage says its place by each."""
    question, right = labelled["question"], set(labelled["documents"])
    missing = [each for each in right if not (ROOT / each).exists()]
    assert not missing, f"no such documents: {missing}"
    request = EmbedRequest(texts=[question], purpose=EMBEDDING_PURPOSE_QUERY)
    embedded = await models.Embed(request, timeout=EMBED_SECONDS)
    started = time.monotonic()
    found = await clients.knowledge_base.SearchDocuments(
        SearchDocumentsRequest(
            query=question,
            vector=embedded.embeddings[0].values,
            embedding_model=embedded.model_alias,
            limit=100,
        )
    )
    search_ms = (time.monotonic() - started) * 1000
    passages = found.passages
    by_words = sorted((each for each in passages if each.text_rank), key=lambda each: each.text_rank)
    by_vectors = sorted((each for each in passages if each.vector_rank), key=lambda each: each.vector_rank)
    orders = zip(WAYS, (by_words, by_vectors, passages), strict=True)
    return Answered(question, {way: place(order, right) for way, order in orders}, search_ms)


def place(order: Sequence[KnowledgePassage], right: set[str]) -> int:
    """Place of the first passage of a right document; 0: below DEPTH, or nowhere."""
    places = (number for number, each in enumerate(order[:DEPTH], 1) if each.document.uri in right)
    return next(places, 0)


def report(answered: Sequence[Answered], chunk_count: int, ingest_seconds: float) -> None:
    """Print the figures, and JSON last."""
    figures = {
        way: {
            "recall_at_5": round(sum(0 < each.places[way] <= TOP for each in answered) / len(answered), 3),
            "mrr": round(
                statistics.mean(1 / each.places[way] if each.places[way] else 0 for each in answered), 3
            ),
        }
        for way in WAYS
    }
    print(f"{len(answered)} questions over {chunk_count} chunks, embedded in {ingest_seconds:.0f} s")
    for way, figure in figures.items():
        print(f"  {way:<8} recall@5 {figure['recall_at_5']:.3f}   MRR {figure['mrr']:.3f}")
    for each in answered:
        by_words, by_both = each.places["words"], each.places["both"]
        if not 0 < by_words <= TOP or not 0 < by_both <= TOP:
            shown = ", ".join(f"{way} {each.places[way] or '-'}" for way in WAYS)
            print(f"    {shown:<32} {each.question}")
    search_ms = statistics.median(each.search_ms for each in answered)
    print(f"  a search takes {search_ms:.1f} ms, without embedding the question")
    print(
        json.dumps(
            {
                "figures": figures,
                "questions": len(answered),
                "chunks": chunk_count,
                "search_ms": round(search_ms, 1),
                "cores": os.cpu_count(),
                "python": platform.python_version(),
            }
        )
    )


if __name__ == "__main__":
    uvloop.run(main())
