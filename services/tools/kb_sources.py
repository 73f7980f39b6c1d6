"""Where the knowledge base's documents are read: a registered repository, and Google Docs."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING
from urllib.parse import quote

from aucert.astra.v1.repository_pb2 import Repository
from aucert.astra.v1.repository_service_pb2 import GetRepositoryRequest
from services.common.caller import current_caller
from services.tools.docs_document import FIELDS, document_of
from services.tools.failures import told_as_errors
from services.tools.github_client import GitHubClient
from services.tools.google_client import GoogleClient, is_refusal
from services.tools.google_files import DOCUMENT, DriveFile, DriveFiles
from services.tools.kb_ingest import Document
from services.tools.repo_documents import knowledge_entries
from services.tools.repo_outline import DOCUMENTS as MARKDOWN
from services.tools.repo_snapshot import Snapshot, TreeEntry, is_binary, read_blob
from services.tools.repository_heads import clone_credential
from services.tools.run_context import snapshot_of, workspace_run_id
from services.tools.vendor_errors import VendorRefused
from services.tools.workspace import Workspaces

if TYPE_CHECKING:
    from aucert.astra.v1.repository_service_pb2_grpc import RepositoryServiceAsyncStub

TEXT_BYTES_MAX = 1_000_000
"""A longer document is not taken in."""
FILES_MAX = 5_000
"""Files of a Drive folder that are looked at."""
_GITHUB = "github:"
Read = Document | str
"""A document, or the uri of one that is there and cannot be taken in."""


class RepositorySource:
    """The specifications and decision records of registered repositories, at the commit they stand at now."""

    def __init__(
        self, repositories: RepositoryServiceAsyncStub, workspaces: Workspaces, github: GitHubClient
    ) -> None:
        self._repositories = repositories
        self._workspaces = workspaces
        self._github = github

    async def documents(self, slug: str) -> tuple[str, AsyncGenerator[Read, None]]:
        """What the names of a repository's documents begin with, and the documents.

        Raises REPOSITORY_NOT_FOUND, and what cloning it can raise.
        """
        asked = GetRepositoryRequest(slug=slug)
        repository = (await self._repositories.GetRepository(asked)).repository
        prefix = f"repository:{repository.slug}/"
        return prefix, self._read(prefix, repository)

    async def _read(self, prefix: str, repository: Repository) -> AsyncGenerator[Read, None]:
        with told_as_errors():
            snapshot = await self._pinned(repository)
            entries = await knowledge_entries(snapshot)
        for entry in entries:
            yield await _repository_document(prefix, repository, snapshot, entry)

    async def _pinned(self, repository: Repository) -> Snapshot:
        """The repository's newest commit, held under the name of a run there never was: when the collector
        next asks the record, it lets go of it."""
        tenant_id = current_caller().tenant_id
        pin = await self._workspaces.pin(
            f"{tenant_id}/{repository.repository_id}",
            repository.clone_url,
            workspace_run_id(tenant_id, str(uuid.uuid4())),
            ref=repository.default_branch or None,
            credential=await clone_credential(self._github, repository),
        )
        return snapshot_of(self._workspaces.objects, pin, repository)


class DriveSource:
    """Google Docs, by themselves or below a folder."""

    def __init__(self, google: GoogleClient, files: DriveFiles) -> None:
        self._google = google
        self._files = files

    def documents(self, file_id: str) -> tuple[str, AsyncGenerator[Read, None]]:
        """What the names begin with, and the document of this id, or those in the folder of this id.

        Reading them raises the errors of `vendor_errors`.
        """
        prefix = f"google-drive:{file_id}/"
        return prefix, self._read(prefix, file_id)

    async def _read(self, prefix: str, file_id: str) -> AsyncGenerator[Read, None]:
        file = await self._files.file(file_id)
        if not file.is_folder:
            yield await self._document(prefix, file)
            return
        page_token, seen = "", 0
        while seen < FILES_MAX:
            ids, page_token = await self._files.page_below(file_id, page_token)
            for each in ids:
                below = await self._files.file(each)
                if below.mime_type == DOCUMENT:
                    yield await self._document(prefix, below)
            seen += len(ids)
            if not page_token:
                break

    async def _document(self, prefix: str, file: DriveFile) -> Read:
        uri = prefix + file.id
        if file.mime_type != DOCUMENT:
            return uri
        try:
            told = await self._google.read(
                f"v1/documents/{file.id}", fields=FIELDS, includeTabsContent="true"
            )
        except VendorRefused as refused:
            if is_refusal(refused, 404) or is_refusal(refused, 403):
                return uri
            raise
        paragraphs = (each.shown for tab in document_of(told).tabs for each in tab.paragraphs if each.shown)
        text = "\n\n".join(paragraphs)
        return Document(uri, text, True, file.name, file.url) if len(text) <= TEXT_BYTES_MAX else uri


async def _repository_document(
    prefix: str, repository: Repository, snapshot: Snapshot, entry: TreeEntry
) -> Read:
    uri = prefix + quote(entry.path, safe="/:@!$&'()*+,;=~")
    if entry.size_bytes > TEXT_BYTES_MAX:
        return uri
    content = (await read_blob(snapshot, entry, bytes_max=TEXT_BYTES_MAX)).content
    if is_binary(content):
        return uri
    text = content.removeprefix(b"\xef\xbb\xbf").decode(errors="replace")
    return Document(uri, text, entry.shown.lower().endswith(MARKDOWN), url=_url(repository, entry))


def _github_name(repository: Repository) -> str:
    """As GitHub knows it, "owner/name"; empty where it is elsewhere."""
    names = [each.removeprefix(_GITHUB) for each in repository.source_containers if each.startswith(_GITHUB)]
    return names[0] if names else ""


def _url(repository: Repository, entry: TreeEntry) -> str:
    """Where a person reads the file's newest version. Not of one commit, or each would be a change of all."""
    if not _github_name(repository) or not repository.clone_url.startswith("https://"):
        return ""
    base = repository.clone_url.removesuffix("/").removesuffix(".git")
    return f"{base}/blob/{quote(repository.default_branch or 'HEAD')}/{quote(entry.path)}"
