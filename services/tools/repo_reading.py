"""The tools that list, find and read files at a run's pinned commit.

Each answer is a page: typed fields, and the text a model reads, which says what was cut and how to go on.
"""

from dataclasses import dataclass

from services.tools.errors import FieldInvalid
from services.tools.repo_pages import Page, Place, clip, cut_note
from services.tools.repo_paths import parse_glob, parse_path
from services.tools.repo_snapshot import (
    FILE_BYTES_MAX,
    Snapshot,
    TreeEntry,
    is_binary,
    read_blob,
    require,
    require_file,
    require_folder,
    split_lines,
    walk,
)

LINES_MAX = 400
"""Lines of a file on one page."""


@dataclass(frozen=True, slots=True)
class FileList:
    """Entries of a folder, at most `ENTRIES_MAX`."""

    entries: tuple[TreeEntry, ...]
    text: str
    continuation: str


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """Paths that match a glob, in git's order, at most `ENTRIES_MAX`."""

    paths: tuple[str, ...]
    text: str
    continuation: str


@dataclass(frozen=True, slots=True)
class FileText:
    """Lines `start_line` to `end_line` of a file's `line_count`, from 1; both 0 where none is shown."""

    path: str
    start_line: int
    end_line: int
    line_count: int
    text: str
    continuation: str


async def list_files(
    snapshot: Snapshot, path: str = "", *, recursive: bool = False, continuation: str = ""
) -> FileList:
    """List a folder: its own entries, or with `recursive` every file below it."""
    folder = await require_folder(snapshot, parse_path(path))
    place = Place(snapshot.commit, "list_files", (folder.shown, recursive))
    start, total, page = place.position(continuation), 0, Page()
    entries: list[TreeEntry] = []
    async for entry in walk(snapshot, folder, recursive=recursive):
        if total == start + len(entries) and page.add(_entry_line(entry)):
            entries.append(entry)
        total += 1
    end = start + len(entries)
    name = f"{folder.shown}/" if folder.path else "The root"
    head = f"{name} holds {total:,} {'files, all folders below included' if recursive else 'entries'}:"
    token = place.token(end) if end < total else ""
    foot = cut_note(f"entries {start + 1:,} to {end:,} of {total:,}", token) if token else ""
    return FileList(tuple(entries), page.text(head, foot), token)


async def find_files(snapshot: Snapshot, glob: str, *, continuation: str = "") -> FoundFiles:
    """Find files, symlinks and submodules whose whole path matches a glob."""
    pattern = parse_glob(glob)
    place = Place(snapshot.commit, "find_files", (glob,))
    start, total, page = place.position(continuation), 0, Page()
    paths: list[str] = []
    async for entry in walk(snapshot, await require(snapshot, b""), recursive=True):
        if not pattern.matches(entry.path):
            continue
        if total == start + len(paths) and page.add(entry.shown):
            paths.append(entry.shown)
        total += 1
    end = start + len(paths)
    head = f"{total:,} files match {glob}:" if total else f"No file matches {glob}."
    if not total and "/" not in glob:
        head += f" A glob is over the whole path; for any folder use **/{glob}."
    token = place.token(end) if end < total else ""
    foot = cut_note(f"files {start + 1:,} to {end:,} of {total:,}", token) if token else ""
    return FoundFiles(tuple(paths), page.text(head, foot), token)


async def read_file(
    snapshot: Snapshot, path: str, *, start_line: int = 0, line_count: int = 0, continuation: str = ""
) -> FileText:
    """Read lines of a file, each after its number. 0 is the first line, and as many lines as there are."""
    if start_line < 0 or not 0 <= line_count <= LINES_MAX:
        raise FieldInvalid(
            f"start_line is at least 1; line_count is from 1 to {LINES_MAX}. 0 leaves either open."
        )
    entry = await require_file(snapshot, parse_path(path))
    place = Place(snapshot.commit, "read_file", (entry.shown, start_line, line_count))
    return await read_lines(snapshot, entry, place, continuation, first=max(start_line, 1), count=line_count)


async def read_lines(
    snapshot: Snapshot, entry: TreeEntry, place: Place, continuation: str, *, first: int = 1, count: int = 0
) -> FileText:
    """A page of a file's lines. Position in the result: lines already shown."""
    skipped = place.position(continuation)
    blob = await read_blob(snapshot, entry)
    if blob.size_bytes > FILE_BYTES_MAX:
        return _not_shown(
            entry, f"is {blob.size_bytes:,} bytes long, too large to read; use repo_search_text"
        )
    if is_binary(blob.content):
        return _not_shown(entry, f"is binary, {blob.size_bytes:,} bytes; it is not shown")
    lines = split_lines(blob.content)
    last = min(len(lines), first + count - 1) if count else len(lines)
    begin = end = first + skipped
    page = Page(LINES_MAX)
    while end <= last and page.add(f"{end}\t{clip(lines[end - 1])}"):
        end += 1
    if not lines:
        return _not_shown(entry, "is empty")
    if end == begin:
        return _not_shown(entry, f"has {len(lines):,} lines; nothing is at line {begin:,}", len(lines))
    head = f"{entry.shown}, lines {begin:,} to {end - 1:,} of {len(lines):,}:"
    token = place.token(end - first) if end <= last else ""
    foot = cut_note(f"lines {end:,} to {last:,} follow", token) if token else _rest(end, len(lines))
    return FileText(entry.shown, begin, end - 1, len(lines), page.text(head, foot), token)


def _rest(end: int, line_count: int) -> str:
    return f"[The file goes on to line {line_count:,}.]" if end <= line_count else ""


def _not_shown(entry: TreeEntry, why: str, line_count: int = 0) -> FileText:
    return FileText(entry.shown, 0, 0, line_count, f"{entry.shown} {why}.", "")


def _entry_line(entry: TreeEntry) -> str:
    if entry.kind == "folder":
        return f"{entry.shown}/"
    return (
        f"{entry.shown}  ({entry.size_bytes:,} bytes)"
        if entry.kind == "file"
        else f"{entry.shown}  ({entry.kind})"
    )
