"""What the repo tools return, as the contract's responses."""

from __future__ import annotations

from aucert.tools.v1 import repo_service_pb2 as pb
from services.tools.repo_documents import DocumentList
from services.tools.repo_history import CommitLog, ShownCommit
from services.tools.repo_outline import Outline
from services.tools.repo_reading import FileList, FileText, FoundFiles
from services.tools.repo_search import SearchResult


def file_list(found: FileList) -> pb.ListFilesResponse:
    """A folder's entries."""
    entries = [
        pb.RepoEntry(path=each.shown, kind=each.kind, size_bytes=each.size_bytes) for each in found.entries
    ]
    return pb.ListFilesResponse(text=found.text, entries=entries, continuation=found.continuation)


def found_files(found: FoundFiles) -> pb.FindFilesResponse:
    """Paths."""
    return pb.FindFilesResponse(text=found.text, paths=found.paths, continuation=found.continuation)


def file_text(found: FileText) -> pb.ReadFileResponse:
    """Lines of a file."""
    return pb.ReadFileResponse(
        text=found.text,
        path=found.path,
        start_line=found.start_line,
        end_line=found.end_line,
        line_count=found.line_count,
        continuation=found.continuation,
    )


def search_result(found: SearchResult) -> pb.SearchTextResponse:
    """Lines that match."""
    hits = [pb.SearchHit(path=each.path, line=each.line, text=each.text) for each in found.hits]
    return pb.SearchTextResponse(text=found.text, hits=hits, continuation=found.continuation)


def outline(found: Outline) -> pb.OutlineFileResponse:
    """A file's shape."""
    entries = [pb.OutlineEntry(line=each.line, depth=each.depth, title=each.title) for each in found.entries]
    return pb.OutlineFileResponse(text=found.text, entries=entries)


def spec_list(found: DocumentList) -> pb.ListSpecsResponse:
    """The specifications."""
    return pb.ListSpecsResponse(text=found.text, documents=_documents(found), continuation=found.continuation)


def adr_list(found: DocumentList) -> pb.ListAdrsResponse:
    """The decision records."""
    return pb.ListAdrsResponse(text=found.text, documents=_documents(found), continuation=found.continuation)


def spec_text(found: FileText) -> pb.ReadSpecResponse:
    """A specification."""
    return pb.ReadSpecResponse(text=found.text, path=found.path, continuation=found.continuation)


def adr_text(found: FileText) -> pb.ReadAdrResponse:
    """A decision record."""
    return pb.ReadAdrResponse(text=found.text, path=found.path, continuation=found.continuation)


def commit_log(found: CommitLog) -> pb.GitLogResponse:
    """The history."""
    commits = [
        pb.RepoCommit(
            commit=each.commit, author=each.author, authored_date=each.authored_date, subject=each.subject
        )
        for each in found.commits
    ]
    return pb.GitLogResponse(text=found.text, commits=commits, continuation=found.continuation)


def shown_commit(found: ShownCommit) -> pb.GitShowResponse:
    """A commit."""
    return pb.GitShowResponse(text=found.text, commit=found.commit, continuation=found.continuation)


def _documents(found: DocumentList) -> list[pb.RepoDocument]:
    return [pb.RepoDocument(path=each.path, title=each.title, status=each.status) for each in found.documents]
