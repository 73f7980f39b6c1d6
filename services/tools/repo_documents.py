"""The tools that list and read a repository's specifications and architecture decision records.

Documents are the text files below the snapshot's folders, in the folders' order. Their content is read as any
file's; what a specification should say is not decided here.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from services.tools.errors import DocumentNotFound
from services.tools.repo_outline import headings
from services.tools.repo_pages import Page, Place, clip, cut_note
from services.tools.repo_paths import parse_path
from services.tools.repo_reading import FileText, read_lines
from services.tools.repo_snapshot import Snapshot, TreeEntry, find, read_blobs, split_lines, walk

DOCUMENTS_MAX = 2000
"""Documents considered over all folders."""
TITLE_FILE_BYTES_MAX = 64 * 1024
"""A larger document is listed by its file name."""
CANDIDATES_MAX = 10
SPECS, RECORDS = "specifications", "decision records"
SUFFIXES = (".md", ".mdx", ".markdown", ".rst", ".adoc", ".txt")
NOT_RECORDS = re.compile(r"(?:readme|index|.*template.*)", re.IGNORECASE)
NUMBER = re.compile(r"(?:adr[-_ ]?)?0*([0-9]{1,6})(?![0-9])", re.IGNORECASE)
STATUS = re.compile(r"[-*\s]*\**status\**\s*:\**\s*(\S.*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RepoDocument:
    """A document: `title` is its first heading or file name, `status` empty where it says none."""

    path: str
    title: str
    status: str


@dataclass(frozen=True, slots=True)
class DocumentList:
    """Documents in the order of their folders."""

    documents: tuple[RepoDocument, ...]
    text: str
    continuation: str


async def list_specs(snapshot: Snapshot, *, continuation: str = "") -> DocumentList:
    """List the specifications with their titles."""
    place = Place(snapshot.commit, "list_specs", ())
    entries = await _entries(snapshot, snapshot.spec_folders)
    return await _list(snapshot, entries, place, continuation, what=SPECS)


async def list_adrs(snapshot: Snapshot, *, continuation: str = "") -> DocumentList:
    """List the decision records with titles and status; read-mes and templates among them are left out."""
    place = Place(snapshot.commit, "list_adrs", ())
    return await _list(snapshot, await _adrs(snapshot), place, continuation, what=RECORDS)


async def read_spec(snapshot: Snapshot, name: str, *, continuation: str = "") -> FileText:
    """Read a specification by path, file name, name without ending, or a part only one has."""
    entries = await _entries(snapshot, snapshot.spec_folders)
    entry = _by_name(entries, name) or _only_part(entries, name, "repo_list_specs")
    return await read_lines(snapshot, entry, Place(snapshot.commit, "read_spec", (name,)), continuation)


async def read_adr(snapshot: Snapshot, name: str, *, continuation: str = "") -> FileText:
    """Read a decision record by number ("7", "0007", "ADR-7"; the first folder's) or as `read_spec`."""
    entries = await _adrs(snapshot)
    asked = NUMBER.fullmatch(name.strip())
    numbered = [entry for entry in entries if asked and _number(entry) == int(asked[1])]
    entry = (
        next(iter(numbered), None) or _by_name(entries, name) or _only_part(entries, name, "repo_list_adrs")
    )
    return await read_lines(snapshot, entry, Place(snapshot.commit, "read_adr", (name,)), continuation)


async def knowledge_entries(snapshot: Snapshot) -> list[TreeEntry]:
    """The specifications and decision records, each once."""
    entries = [*await _entries(snapshot, snapshot.spec_folders), *await _adrs(snapshot)]
    return list({entry.path: entry for entry in entries}.values())


async def _adrs(snapshot: Snapshot) -> list[TreeEntry]:
    entries = await _entries(snapshot, snapshot.adr_folders)
    return [entry for entry in entries if not NOT_RECORDS.fullmatch(_stem(entry))]


async def _entries(snapshot: Snapshot, folders: Sequence[str]) -> list[TreeEntry]:
    """The text files below the folders that exist, each once."""
    entries: dict[bytes, TreeEntry] = {}
    for name in folders:
        folder = await find(snapshot, parse_path(name))
        if folder is None or folder.kind != "folder":
            continue
        async for entry in walk(snapshot, folder, recursive=True):
            if (
                entry.kind == "file"
                and entry.shown.lower().endswith(SUFFIXES)
                and len(entries) < DOCUMENTS_MAX
            ):
                entries.setdefault(entry.path, entry)
    return list(entries.values())


async def _list(
    snapshot: Snapshot, entries: list[TreeEntry], place: Place, continuation: str, *, what: str
) -> DocumentList:
    if not entries:
        folders = ", ".join(snapshot.spec_folders if what == SPECS else snapshot.adr_folders)
        return DocumentList((), f"This repository has no {what}; looked in {folders}.", "")
    start, page = place.position(continuation), Page()
    window = entries[start : start + page.entries_max]
    documents = await _describe(snapshot, window)
    shown = [document for document in documents if page.add(_line(document))]
    end = start + len(shown)
    token = place.token(end) if end < len(entries) else ""
    foot = cut_note(f"{what} {start + 1:,} to {end:,} of {len(entries):,}", token) if token else ""
    return DocumentList(tuple(shown), page.text(f"{len(entries):,} {what}:", foot), token)


async def _describe(snapshot: Snapshot, entries: list[TreeEntry]) -> list[RepoDocument]:
    small = [entry for entry in entries if entry.size_bytes <= TITLE_FILE_BYTES_MAX]
    contents = dict(zip((entry.path for entry in small), await read_blobs(snapshot, small), strict=True))
    return [_document(entry, split_lines(contents.get(entry.path, b""))) for entry in entries]


def _document(entry: TreeEntry, lines: list[str]) -> RepoDocument:
    heading = next((one.title for one in headings(lines)), "")
    return RepoDocument(entry.shown, heading or _stem(entry), _status(lines))


def _status(lines: list[str]) -> str:
    """From a line `Status: accepted`, or the first line below a heading `Status`."""
    below = False
    for line in lines:
        if found := STATUS.match(line[:200]):
            return clip(found[1].strip(" *_\"'"), 60)
        if below and line.strip():
            return "" if line.startswith("#") else clip(line.strip(" *_-"), 60)
        below = below or bool(re.fullmatch(r"#+\s*status\s*", line[:200], re.IGNORECASE))
    return ""


def _line(document: RepoDocument) -> str:
    status = f"  [{document.status}]" if document.status else ""
    return f"{document.path}  {document.title}{status}"


def _by_name(entries: list[TreeEntry], name: str) -> TreeEntry | None:
    """The first document of that path, else of that file name, else of that name without ending."""
    asked = name.strip().removeprefix("./").lower()
    names = [(entry.shown, PurePosixPath(entry.shown).name, _stem(entry)) for entry in entries]
    for column in range(3):
        for entry, known_as in zip(entries, names, strict=True):
            if known_as[column].lower() == asked:
                return entry
    return None


def _only_part(entries: list[TreeEntry], name: str, list_tool: str) -> TreeEntry:
    """The one document whose path holds the name. Raises DocumentNotFound, with the candidates."""
    found = [entry for entry in entries if name.strip().lower() in entry.shown.lower()]
    if len(found) == 1:
        return found[0]
    if not found:
        raise DocumentNotFound(f"No document is called {name!r}. {list_tool} lists those there are.")
    candidates = ", ".join(entry.shown for entry in found[:CANDIDATES_MAX])
    raise DocumentNotFound(
        f"{len(found)} documents may be meant by {name!r}; ask for one by its path: {candidates}."
    )


def _number(entry: TreeEntry) -> int | None:
    found = NUMBER.match(_stem(entry))
    return int(found[1]) if found else None


def _stem(entry: TreeEntry) -> str:
    return PurePosixPath(entry.shown).stem
