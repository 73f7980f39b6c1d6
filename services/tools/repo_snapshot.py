"""A repository as it stood at one commit: its tree entries and the content of its files.

Everything is read from git objects. There is no checkout, so no symlink is ever followed and nothing outside
the commit's tree can be reached. What the tools make of entries and content is left to them.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from services.tools.errors import PathIsSymlink, PathKindMismatch, PathNotFound
from services.tools.git import run_git, split_records, stream_git
from services.tools.git_batch import GitObject
from services.tools.git_objects import GitObjects
from services.tools.repo_paths import show_path

SPEC_FOLDERS = ("docs/specs/",)
ADR_FOLDERS = (".context/decisions/", "docs/adr/", "docs/adrs/", "docs/decisions/")
FILE_BYTES_MAX = 16 * 1024 * 1024
"""Largest file whose lines are read."""
BINARY_PROBE_BYTES = 8000
"""git's own rule: a NUL among the first 8,000 bytes makes a file binary."""
SUGGESTIONS_MAX = 3
LINK_TARGET_BYTES_MAX = 1024

KINDS = {b"120000": "symlink", b"160000": "submodule", b"040000": "folder"}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A commit of a mirror, by its full id, and where this repository keeps its documents."""

    objects: GitObjects
    git_dir: Path
    commit: str
    spec_folders: tuple[str, ...] = SPEC_FOLDERS
    adr_folders: tuple[str, ...] = ADR_FOLDERS


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """An entry of a commit's tree. `kind` is "file", "folder", "symlink" or "submodule"."""

    path: bytes
    kind: str
    object_id: str
    size_bytes: int = 0
    """Of a file that `walk` came by; a folder does not tell it, so 0 where one was looked up by its path."""

    @property
    def shown(self) -> str:
        return show_path(self.path)


async def walk(snapshot: Snapshot, folder: TreeEntry, *, recursive: bool) -> AsyncGenerator[TreeEntry]:
    """The entries of a folder in git's order; with `recursive` all files below and no folders."""
    args = ["ls-tree", "-z", "--long", *(["-r"] if recursive else []), folder.object_id]
    prefix = folder.path + b"/" if folder.path else b""
    async with stream_git(args, git_dir=snapshot.git_dir) as chunks:
        async for record in split_records(chunks, b"\0"):
            yield _entry(record, prefix)


async def require_folder(snapshot: Snapshot, path: bytes) -> TreeEntry:
    """The folder at a path; the root for an empty one. Raises as `require` does."""
    entry = await require(snapshot, path)
    if entry.kind != "folder":
        raise PathKindMismatch(f"{entry.shown} is a {entry.kind}, not a folder. Read it with repo_read_file.")
    return entry


async def require_file(snapshot: Snapshot, path: bytes) -> TreeEntry:
    """The file at a path. Raises as `require` does."""
    entry = await require(snapshot, path)
    if entry.kind == "folder":
        name = entry.shown or "The root"
        raise PathKindMismatch(f"{name} is a folder. List it with repo_list_files.")
    if entry.kind == "submodule":
        raise PathKindMismatch(f"{entry.shown} is a submodule; its content is another repository's.")
    return entry


async def require(snapshot: Snapshot, path: bytes) -> TreeEntry:
    """The entry at a parsed path. Raises PathNotFound with similar names, and PathIsSymlink."""
    entry = await find(snapshot, path)
    if entry is None:
        raise PathNotFound(await _not_found(snapshot, path))
    if entry.kind == "symlink":
        target = await read_blob(snapshot, entry, bytes_max=LINK_TARGET_BYTES_MAX, cut=True)
        raise PathIsSymlink(
            f"{entry.shown} is a symlink to {show_path(target.content)}; symlinks are not followed. "
            "If the target lies in this repository, ask for it by its own path."
        )
    return entry


async def find(snapshot: Snapshot, path: bytes) -> TreeEntry | None:
    """What is at a parsed path, the root for an empty one; or the first symlink on the way there."""
    entry = TreeEntry(b"", "folder", f"{snapshot.commit}^{{tree}}")
    names = path.split(b"/") if path else []
    for depth, name in enumerate(names, 1):
        item = (await snapshot.objects.tree(snapshot.git_dir, entry.object_id)).get(name)
        if item is None:
            return None
        entry = TreeEntry(b"/".join(names[:depth]), KINDS.get(item.mode, "file"), item.object_id)
        if entry.kind != "folder":
            return entry if depth == len(names) or entry.kind == "symlink" else None
    return entry


async def read_blob(
    snapshot: Snapshot, entry: TreeEntry, *, bytes_max: int = FILE_BYTES_MAX, cut: bool = False
) -> GitObject:
    """What an entry holds; of one larger than `bytes_max` the size alone, or with `cut` its beginning too."""
    return await snapshot.objects.read(snapshot.git_dir, entry.object_id, bytes_max, cut=cut)


async def read_blobs(snapshot: Snapshot, entries: list[TreeEntry]) -> list[bytes]:
    """The contents of several small files by one process."""
    asked = "".join(f"{entry.object_id}\n" for entry in entries).encode()
    answer = await run_git(["cat-file", "--batch"], git_dir=snapshot.git_dir, stdin=asked)
    contents: list[bytes] = []
    start = 0
    for _ in entries:  # each: "<id> blob <size>\n<content>\n"
        head_end = answer.index(b"\n", start)
        size = int(answer[start:head_end].rsplit(b" ", 1)[1])
        contents.append(answer[head_end + 1 : head_end + 1 + size])
        start = head_end + size + 2
    return contents


def is_binary(content: bytes) -> bool:
    """Whether git would call it binary."""
    return b"\0" in content[:BINARY_PROBE_BYTES]


def split_lines(content: bytes) -> list[str]:
    """Lines as git counts them: ended by LF alone; a CR before it is dropped, as is a byte order mark."""
    lines = content.removeprefix(b"\xef\xbb\xbf").decode(errors="replace").split("\n")
    if lines[-1] == "":
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


async def _not_found(snapshot: Snapshot, path: bytes) -> str:
    name = path.rsplit(b"/", 1)[-1].lower()
    similar: list[str] = []
    async with aclosing(walk(snapshot, await require(snapshot, b""), recursive=True)) as entries:
        async for entry in entries:
            if entry.path.rsplit(b"/", 1)[-1].lower() == name:
                similar.append(entry.shown)
            if len(similar) == SUGGESTIONS_MAX:
                break
    hint = f"Files of that name: {', '.join(similar)}." if similar else "Find its name with repo_find_files."
    return f"Nothing is at {show_path(path)} in commit {snapshot.commit[:12]}. {hint}"


def _entry(record: bytes, prefix: bytes) -> TreeEntry:
    """From `<mode> <type> <object> <size padded>\\t<name>`."""
    meta, name = record.split(b"\t", 1)
    mode, _, object_id, size = meta.split()
    kind = KINDS.get(mode, "file")
    return TreeEntry(prefix + name, kind, object_id.decode(), int(size) if kind == "file" else 0)
