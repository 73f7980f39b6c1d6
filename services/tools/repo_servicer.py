"""RepoService: the eleven tools that read the run's repository at its pinned commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aucert.tools.v1 import repo_service_pb2 as pb
from aucert.tools.v1.repo_service_pb2_grpc import RepoServiceServicer
from services.tools import repo_convert as convert
from services.tools.repo_documents import list_adrs, list_specs, read_adr, read_spec
from services.tools.repo_history import git_log, git_show
from services.tools.repo_outline import outline_file
from services.tools.repo_reading import find_files, list_files, read_file
from services.tools.repo_search import search_text
from services.tools.run_context import RunContexts

if TYPE_CHECKING:
    from services.common.door import Context


class RepoServicer(RepoServiceServicer):
    """Reads at the pinned commit of the run the call belongs to."""

    def __init__(self, runs: RunContexts) -> None:
        self._runs = runs

    async def ListFiles(self, request: pb.ListFilesRequest, context: Context) -> pb.ListFilesResponse:
        """List a folder."""
        del context
        async with self._runs.reading() as snapshot:
            found = await list_files(
                snapshot, request.path, recursive=request.recursive, continuation=request.continuation
            )
        return convert.file_list(found)

    async def FindFiles(self, request: pb.FindFilesRequest, context: Context) -> pb.FindFilesResponse:
        """Find files by a glob."""
        del context
        async with self._runs.reading() as snapshot:
            found = await find_files(snapshot, request.glob, continuation=request.continuation)
        return convert.found_files(found)

    async def ReadFile(self, request: pb.ReadFileRequest, context: Context) -> pb.ReadFileResponse:
        """Read a text file."""
        del context
        async with self._runs.reading() as snapshot:
            found = await read_file(
                snapshot,
                request.path,
                start_line=request.start_line,
                line_count=request.line_count,
                continuation=request.continuation,
            )
        return convert.file_text(found)

    async def SearchText(self, request: pb.SearchTextRequest, context: Context) -> pb.SearchTextResponse:
        """Search the text of all files."""
        del context
        async with self._runs.reading() as snapshot:
            found = await search_text(
                snapshot,
                request.pattern,
                fixed=request.fixed,
                ignore_case=request.ignore_case,
                glob=request.glob,
                context_lines=request.context_lines,
                continuation=request.continuation,
            )
        return convert.search_result(found)

    async def OutlineFile(self, request: pb.OutlineFileRequest, context: Context) -> pb.OutlineFileResponse:
        """Show the shape of a file."""
        del context
        async with self._runs.reading() as snapshot:
            found = await outline_file(snapshot, request.path)
        return convert.outline(found)

    async def ListSpecs(self, request: pb.ListSpecsRequest, context: Context) -> pb.ListSpecsResponse:
        """List the specifications."""
        del context
        async with self._runs.reading() as snapshot:
            found = await list_specs(snapshot, continuation=request.continuation)
        return convert.spec_list(found)

    async def ReadSpec(self, request: pb.ReadSpecRequest, context: Context) -> pb.ReadSpecResponse:
        """Read a specification."""
        del context
        async with self._runs.reading() as snapshot:
            found = await read_spec(snapshot, request.name, continuation=request.continuation)
        return convert.spec_text(found)

    async def ListAdrs(self, request: pb.ListAdrsRequest, context: Context) -> pb.ListAdrsResponse:
        """List the decision records."""
        del context
        async with self._runs.reading() as snapshot:
            found = await list_adrs(snapshot, continuation=request.continuation)
        return convert.adr_list(found)

    async def ReadAdr(self, request: pb.ReadAdrRequest, context: Context) -> pb.ReadAdrResponse:
        """Read a decision record."""
        del context
        async with self._runs.reading() as snapshot:
            found = await read_adr(snapshot, request.name, continuation=request.continuation)
        return convert.adr_text(found)

    async def GitLog(self, request: pb.GitLogRequest, context: Context) -> pb.GitLogResponse:
        """Show the history."""
        del context
        async with self._runs.reading() as snapshot:
            found = await git_log(
                snapshot,
                request.path,
                author=request.author,
                since=request.since,
                limit=request.limit,
                continuation=request.continuation,
            )
        return convert.commit_log(found)

    async def GitShow(self, request: pb.GitShowRequest, context: Context) -> pb.GitShowResponse:
        """Show one commit."""
        del context
        async with self._runs.reading() as snapshot:
            found = await git_show(
                snapshot, request.commit, path=request.path, continuation=request.continuation
            )
        return convert.shown_commit(found)
