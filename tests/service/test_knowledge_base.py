"""The knowledge base over real gRPC, PostgreSQL, git and the embedded model: filled, searched, kept up."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aucert.astra.v1 import knowledge_base_service_pb2 as pb
from aucert.astra.v1.knowledge_base_service_pb2_grpc import KnowledgeBaseServiceStub
from aucert.astra.v1.repository_service_pb2 import RegisterRepositoryRequest
from aucert.astra.v1.repository_service_pb2_grpc import RepositoryServiceStub
from aucert.models.v1.embedding_pb2 import EMBEDDING_PURPOSE_QUERY, EmbedRequest
from aucert.models.v1.model_service_pb2_grpc import ModelServiceStub
from aucert.tools.v1 import ingestion_service_pb2 as ingest_pb
from aucert.tools.v1 import knowledge_service_pb2 as tools_pb
from aucert.tools.v1.ingestion_service_pb2_grpc import IngestionServiceStub
from aucert.tools.v1.knowledge_service_pb2_grpc import KnowledgeServiceStub
from services.astra.seed import DEFAULT_TENANT_ID
from services.cli import kb_commands
from services.common.caller import acting_for
from services.common.channels import connect
from services.models.main import running as running_models
from services.models.settings import ModelsSettings
from services.tools import mirror
from services.tools.main import running as running_tools
from services.tools.settings import ToolsSettings
from tests.conftest import DatabaseUrls
from tests.service.astra_kit import Astra, astra_service, new_id, refused  # noqa: F401 - a fixture
from tests.service.tools_stage import git, in_run, make_repository

SAMPLES = Path(__file__).parents[1] / "samples" / "knowledge"
REFUNDS = """# Refunds

Money goes back to the card within five days.

## Limits

Above 200 euros a second person approves.
"""
SHA256 = "a" * 64


@dataclass
class Base:
    """The stubs an operator and the services have, and short words for what tests do with them."""

    astra: Astra
    documents: Any
    ingestion: Any
    tool: Any
    tool_in_a_run: Any
    models: Any
    repositories: Any
    tools_address: str

    async def ingest(self, *documents: tuple[str, str]) -> list[tuple[str, int]]:
        """Take in documents; what became of each, and how many of its chunks were embedded."""
        request = ingest_pb.IngestDocumentsRequest(
            documents=[
                ingest_pb.IngestedDocument(uri=uri, text=text, format=ingest_pb.DOCUMENT_FORMAT_MARKDOWN)
                for uri, text in documents
            ]
        )
        results = (await self.ingestion.IngestDocuments(request, timeout=60)).results
        return [told(each) for each in results]

    async def uris(self, prefix: str = "", page_size: int = 0) -> list[str]:
        """Names of the documents, over all pages."""
        request = pb.ListDocumentsRequest(uri_prefix=prefix, page_size=page_size)
        found: list[str] = []
        while True:
            page = await self.documents.ListDocuments(request)
            found += [each.uri for each in page.documents]
            request.page_token = page.next_page_token
            if not page.next_page_token:
                return found

    async def search(self, query: str, **more: Any) -> Any:
        return await self.tool.SearchKnowledge(
            tools_pb.SearchKnowledgeRequest(query=query, **more), timeout=60
        )


def told(result: ingest_pb.IngestResult) -> tuple[str, int]:
    word = ingest_pb.IngestOutcome.Name(result.outcome).removeprefix("INGEST_OUTCOME_").lower()
    return word, result.embedded_count


@pytest.fixture
async def base(astra: Astra, tmp_path: Path) -> AsyncIterator[Base]:
    known = {"ASTRA_ADDRESS": astra.address, "_env_file": None}
    async with AsyncExitStack() as stack:
        models = await stack.enter_async_context(
            running_models(ModelsSettings(ASTRA_TOKEN="models-token", MODELS_PORT=0, **known))
        )
        settings = ToolsSettings(
            ASTRA_TOKEN="tools-token",
            TOOLS_PORT=0,
            MODELS_ADDRESS=models.address,
            WORKSPACE_DIR=tmp_path / "workspace",
            **known,
        )
        tools = await stack.enter_async_context(running_tools(settings))

        def channel(address: str, principal: str = "operator") -> Any:
            opened = connect(address, f"{principal}-token")
            stack.push_async_callback(opened.close)
            return opened

        yield Base(
            astra,
            KnowledgeBaseServiceStub(channel(astra.address)),
            IngestionServiceStub(channel(tools.address)),
            KnowledgeServiceStub(channel(tools.address)),
            KnowledgeServiceStub(channel(tools.address, "worker")),
            ModelServiceStub(channel(models.address)),
            RepositoryServiceStub(channel(astra.address)),
            tools.address,
        )


async def test_only_what_changed_is_embedded_again(base: Base):
    assert [("stored", 2)] == await base.ingest(("a/refunds.md", REFUNDS))
    assert [("unchanged", 0)] == await base.ingest(("a/refunds.md", REFUNDS))
    changed = REFUNDS.replace("200", "300")
    assert [("stored", 1)] == await base.ingest(("a/refunds.md", changed))
    assert [("stored", 0)] == await base.ingest(("b/copy.md", changed))
    assert [("stored", 0)] == await base.ingest(("a/refunds.md", changed + "\n"))
    rows = await base.astra.sql("SELECT count(*) AS chunks FROM kb_chunks")
    assert 4 == rows[0]["chunks"]


async def test_a_passage_is_found_in_other_words_and_cited_by_document_heading_and_lines(base: Base):
    await base.ingest(("a/refunds.md", REFUNDS), ("a/other.md", "# Other\n\nThe warehouse opens at six.\n"))
    found = await base.search("Who has to agree before a large sum is reimbursed?", limit=1)
    (passage,) = found.passages
    assert ("a/refunds.md", "Refunds", "Refunds > Limits", 5, 7) == (
        passage.uri,
        passage.title,
        passage.heading,
        passage.first_line,
        passage.last_line,
    )
    assert "a/refunds.md, lines 5 to 7" in found.text
    assert "> Above 200 euros a second person approves." in found.text


async def test_documents_of_another_tenant_are_not_there(base: Base):
    await base.ingest(("a/refunds.md", REFUNDS))
    other = await base.astra.add_tenant()
    as_tools = KnowledgeBaseServiceStub(connect(base.astra.address, "tools-token"))
    with acting_for(other):
        found = await as_tools.SearchDocuments(pb.SearchDocumentsRequest(query="refunds"))
        listed = await as_tools.ListDocuments(pb.ListDocumentsRequest())
        deleted = await as_tools.DeleteDocument(pb.DeleteDocumentRequest(uri="a/refunds.md"))
    assert (0, 0, False) == (len(found.passages), len(listed.documents), deleted.deleted)
    assert ["a/refunds.md"] == await base.uris()


async def test_documents_are_listed_in_pages_by_prefix_and_deleted_with_their_chunks(base: Base):
    names = [f"a/{number}.md" for number in range(3)] + ["ab/1.md", "b/1.md"]
    await base.ingest(*((name, REFUNDS) for name in reversed(names)))
    assert names == await base.uris(page_size=2)
    assert names[:3] == await base.uris("a/", page_size=2)
    for name in names:
        request = pb.DeleteDocumentRequest(uri=name)
        assert (await base.documents.DeleteDocument(request)).deleted
        assert not (await base.documents.DeleteDocument(request)).deleted
    assert [] == await base.astra.sql("SELECT * FROM kb_chunks")
    assert "has nothing on this" in (await base.search("refunds")).text


def draft(**fields: Any) -> pb.PutDocumentRequest:
    """A document of one chunk without a vector."""
    chunk = pb.KnowledgeChunk(text="Text.", first_line=1, last_line=1, embedded_sha256=SHA256)
    known = {"uri": "x", "title": "X", "content_sha256": SHA256, "embedding_model": "m", "dimensions": 256}
    return pb.PutDocumentRequest(**{**known, "chunks": [chunk], **fields})


async def test_nothing_is_stored_while_a_vector_is_missing_and_the_answer_says_which(base: Base):
    put = base.documents.PutDocument
    assert [SHA256] == list((await put(draft())).missing_sha256)
    assert [] == await base.uris()
    request = draft()
    request.chunks[0].vector.extend([0.5] * 256)
    assert 1 == (await put(request)).document.chunk_count
    assert [SHA256] == list((await put(draft(uri="y", embedding_model="other"))).missing_sha256)
    assert not (await put(draft(uri="y"))).missing_sha256
    assert ["x", "y"] == await base.uris()


async def test_vectors_that_no_index_is_made_for_are_refused(base: Base):
    request = draft()
    request.chunks[0].vector.extend([0.5] * 100)
    search = pb.SearchDocumentsRequest(query="q", vector=[0.5] * 100, embedding_model="m")
    for call in (
        base.documents.PutDocument(draft(dimensions=100)),
        base.documents.PutDocument(request),
        base.documents.SearchDocuments(search),
    ):
        with refused("FIELD_INVALID"):
            await call


async def test_an_index_finds_the_closest_under_row_level_security(database_urls: DatabaseUrls):
    async with await psycopg.AsyncConnection.connect(database_urls.service) as connection:
        await connection.execute("SELECT set_config('app.tenant_id', %s, false)", [DEFAULT_TENANT_ID])
        await connection.execute("SET enable_sort = off")
        for dimensions in (384, 3072):
            nearest = (
                f"EXPLAIN SELECT id FROM kb_chunks WHERE dimensions = {dimensions} AND embedding_model = 'm'"
                f" ORDER BY embedding::halfvec({dimensions}) <=> %s::halfvec({dimensions}) LIMIT 5"
            )
            plan = await connection.execute(nearest, [f"[{','.join(['0.1'] * dimensions)}]"])  # pyright: ignore
            told = "\n".join(row[0] for row in await plan.fetchall())
            assert f"Index Scan using kb_chunks_embedding_{dimensions}_idx" in told


async def test_a_repositorys_specs_and_records_are_taken_in_and_leave_with_it(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(mirror, "FRESH_SECONDS", 0)
    repository = make_repository(tmp_path / "shop")
    (repository / "docs" / "specs").mkdir()
    (repository / "docs" / "specs" / "bin.md").write_bytes(b"\0\1")
    (repository / "docs" / "specs" / "check out.md").write_text("# Checkout\n\nThe basket is frozen.\n")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "Specify")
    registered = RegisterRepositoryRequest(slug="acme/shop", clone_url=str(repository))
    await base.repositories.RegisterRepository(registered)

    async def sync() -> dict[str, str]:
        request = ingest_pb.SyncRepositoryRequest(repository_slug="acme/shop")
        stream = base.ingestion.SyncRepository(request, timeout=60)
        return {each.result.uri.rsplit("/", 1)[-1]: told(each.result)[0] async for each in stream}

    assert {"bin.md": "left_out", "check%20out.md": "stored", "0007-use-grpc.md": "stored"} == await sync()
    git(repository, "rm", "-q", "docs/adr/0007-use-grpc.md")
    git(repository, "commit", "-q", "-m", "Unuse gRPC")
    assert {
        "bin.md": "left_out",
        "check%20out.md": "unchanged",
        "0007-use-grpc.md": "deleted",
    } == await sync()
    assert ["repository:acme/shop/docs/specs/check%20out.md"] == await base.uris()
    with refused("REPOSITORY_NOT_FOUND"):
        async for _ in base.ingestion.SyncRepository(
            ingest_pb.SyncRepositoryRequest(repository_slug="acme/none")
        ):
            pass


async def test_what_cannot_be_taken_in_says_why_and_holds_up_nothing(base: Base):
    long = "\n\n".join(f"# Section {number}\n\nText." for number in range(1_501))
    assert [("left_out", 0), ("left_out", 0), ("stored", 2)] == await base.ingest(
        ("empty.md", "# Only a heading\n"), ("long.md", long), ("refunds.md", REFUNDS)
    )


@pytest.mark.parametrize("trusted", [True, False])
async def test_only_a_trusted_run_searches_what_the_whole_tenant_knows(base: Base, trusted: bool):
    await base.ingest(("a/refunds.md", REFUNDS))
    run = await base.astra.create(requester_trusted=trusted)
    request = tools_pb.SearchKnowledgeRequest(query="refunds")
    call = base.tool_in_a_run.SearchKnowledge(request, metadata=in_run(run.task_run_id), timeout=60)
    if trusted:
        assert (await call).passages
    else:
        with refused("TRUST_REQUIRED"):
            await call


async def test_files_and_folders_are_added_kept_up_and_removed_by_the_command_line(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASTRA_TOKEN", "operator-token")
    monkeypatch.setenv("ASTRA_ADDRESS", base.astra.address)
    monkeypatch.setenv("TOOLS_ADDRESS", base.tools_address)
    guides = tmp_path / "guides"
    (guides / ".hidden").mkdir(parents=True)
    for name in ("refunds.md", "old.txt", "binary.md", "picture.png", ".hidden/secret.md"):
        (guides / name).write_text(REFUNDS)
    (guides / "binary.md").write_bytes(b"\xff\xfe\xfd")
    (guides / "link.md").symlink_to("/etc/hostname")

    async def added() -> dict[str, str]:
        await kb_commands.add([guides], as_json=True)
        return {
            each["uri"].rsplit("/", 1)[-1]: each["outcome"].removeprefix("INGEST_OUTCOME_")
            for each in json.loads(capsys.readouterr().out)
        }

    assert {"binary.md": "LEFT_OUT", "old.txt": "STORED", "refunds.md": "STORED"} == await added()
    (guides / "old.txt").unlink()
    assert {"binary.md": "LEFT_OUT", "old.txt": "DELETED", "refunds.md": "UNCHANGED"} == await added()
    await kb_commands.search("who approves?", limit=1)
    assert f"{guides.as_uri()}/refunds.md, lines 5 to 7" in capsys.readouterr().out
    await kb_commands.list_documents()
    assert f"{guides.as_uri()}/refunds.md" in capsys.readouterr().out
    assert await kb_commands.remove([str(guides)])
    assert not await kb_commands.remove(["file:///nowhere"])
    assert [] == await base.uris()


async def test_texts_are_compared_by_meaning(base: Base):
    request = tools_pb.EmbedTextRequest(texts=["Login fails", "A cat", "Cannot sign in"])
    found = await base.tool.EmbedText(request, timeout=60)
    assert "text 1 and text 3" == found.text.splitlines()[1].partition("  ")[2]
    assert [384] * 3 == [len(each.values) for each in found.embeddings]


async def test_both_ways_together_find_what_words_alone_miss_and_are_no_worse(base: Base):
    shop = json.loads((SAMPLES / "shop.json").read_text())
    await base.ingest(*((name, text) for name, text in shop["documents"].items()))
    first_by_words, first_by_both = set[str](), set[str]()
    for each in shop["questions"]:
        question = each["question"]
        embedded = await base.models.Embed(
            EmbedRequest(texts=[question], purpose=EMBEDDING_PURPOSE_QUERY), timeout=60
        )
        found = await base.documents.SearchDocuments(
            pb.SearchDocumentsRequest(
                query=question, vector=embedded.embeddings[0].values, embedding_model="minilm", limit=100
            )
        )
        by_words = [one.document.uri for one in found.passages if one.text_rank == 1]
        first_by_words |= {question} if by_words == [each["document"]] else set()
        first_by_both |= {question} if found.passages[0].document.uri == each["document"] else set()
    assert first_by_both - first_by_words
    assert len(first_by_both) >= len(first_by_words) + 3
