"""Reads objects of the mirrors: by a few lasting git processes, and folders out of memory.

Any number of mirrors share the processes; a mirror's reads take turns. A process that died, that does not see
what was fetched or repacked since it started, or whose mirror was removed or made anew, gives way to a fresh
one, so that an answer never depends on which was there. What the objects mean is left to `repo_snapshot`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from services.tools.git import READ_SECONDS_MAX, GitError, GitTimeoutError
from services.tools.git_batch import Batch, GitObject

PROCESSES_MAX = 16
"""Processes at once, over all mirrors; also the reads under way."""
IDLE_SECONDS = 60.0
"""After so long without a read a mirror's process is ended: it keeps a removed mirror's disk space in use."""
TREE_BYTES_MAX = 16 * 1024 * 1024
"""Largest folder, as git stores it, in which a name is looked up."""
TREE_ENTRIES_MAX = 100_000
"""Entries of all folders that are kept in memory, each folder counting as one more."""


class TreeItem(NamedTuple):
    """What a folder holds under a name. `mode` has six octal digits."""

    mode: bytes
    object_id: str


Tree = Mapping[bytes, TreeItem]
Folder = tuple[int, int]
"""Device and inode."""


class GitObjects:
    """What several repositories hold. Objects never change, so nothing here grows stale."""

    def __init__(self, *, idle_seconds: float = IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._reads = asyncio.Semaphore(PROCESSES_MAX)
        self._readers: dict[Path, _Reader] = {}  # the least recently used first
        self._trees: dict[tuple[Path, str], Tree] = {}  # likewise
        self._tree_entries = 0

    async def read(self, git_dir: Path, name: str, bytes_max: int, *, cut: bool = False) -> GitObject:
        """An object by its full id, or the tree of a commit by `<id>^{tree}`.

        One larger than `bytes_max` comes without content, or with `cut` as its first `bytes_max` bytes.
        Raises GitError where the object or the repository is missing, and GitTimeoutError.
        """
        try:
            async with asyncio.timeout(READ_SECONDS_MAX), self._reads, self._reader(git_dir) as reader:
                return await reader.read(name, bytes_max, cut=cut)
        except TimeoutError:
            raise GitTimeoutError(f"git cat-file took longer than {READ_SECONDS_MAX:g} s") from None

    async def tree(self, git_dir: Path, name: str) -> Tree:
        """The entries of a folder; `name` and errors as in `read`, and GitError for a larger folder."""
        key = (git_dir, name)
        tree = self._trees.pop(key, None)
        if tree is None:
            found = await self.read(git_dir, name, TREE_BYTES_MAX)
            if len(found.content) < found.size_bytes:
                raise GitError("cat-file", 128, f"a folder takes more than {TREE_BYTES_MAX:,} bytes")
            tree = parse_tree(found)
            self._forget(key)  # by a read at the same time
            self._tree_entries += len(tree) + 1
        self._trees[key] = tree
        while self._tree_entries > TREE_ENTRIES_MAX:
            self._forget(next(iter(self._trees)))
        return tree

    async def aclose(self) -> None:
        """End the processes, each after the read it is at. Nothing may be read afterwards."""
        readers = list(self._readers.values())
        self._readers.clear()
        await asyncio.gather(*(reader.aclose() for reader in readers))

    @asynccontextmanager
    async def _reader(self, git_dir: Path) -> AsyncGenerator[_Reader]:
        """The mirror's own, once there is room for its process."""
        reader = self._readers.pop(git_dir, None) or _Reader(git_dir, self._idle_seconds)
        self._readers[git_dir] = reader
        reader.reads += 1
        try:
            while len(self._readers) > PROCESSES_MAX:  # so one has no read: there are at most as many
                spare = next(path for path, each in self._readers.items() if not each.reads)
                await self._readers.pop(spare).aclose()
            yield reader
        finally:
            reader.reads -= 1

    def _forget(self, key: tuple[Path, str]) -> None:
        tree = self._trees.pop(key, None)
        if tree is not None:
            self._tree_entries -= len(tree) + 1


class _Reader:
    """One mirror's process, while there is one. Reads take turns."""

    def __init__(self, git_dir: Path, idle_seconds: float) -> None:
        self.reads = 0
        """Under way or waiting."""
        self._git_dir = git_dir
        self._idle_seconds = idle_seconds
        self._turn = asyncio.Lock()
        self._batch: Batch | None = None
        self._folder: Folder | None = None
        self._last_read = 0.0
        self._watch: asyncio.Task[None] | None = None

    async def read(self, name: str, bytes_max: int, *, cut: bool) -> GitObject:
        async with self._turn:
            if self._batch and self._folder == _folder(self._git_dir):
                with suppress(GitError):  # it died, or started before the object was here
                    return await self._ask(self._batch, name, bytes_max, cut=cut)
            return await self._ask(await self._started(), name, bytes_max, cut=cut)

    async def aclose(self) -> None:
        if self._watch:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        async with self._turn:
            await self._end()

    async def _ask(self, batch: Batch, name: str, bytes_max: int, *, cut: bool) -> GitObject:
        try:
            return await batch.read(name, bytes_max, cut=cut)
        finally:
            self._last_read = time.monotonic()
            if not batch.usable:
                await self._end()

    async def _started(self) -> Batch:
        await self._end()
        self._folder = _folder(self._git_dir)
        self._batch = await Batch.start(self._git_dir)
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._end_when_idle())
        return self._batch

    async def _end(self) -> None:
        batch, self._batch = self._batch, None
        if batch:
            await batch.end()

    async def _end_when_idle(self) -> None:
        while self._batch:
            await asyncio.sleep(max(0.0, self._last_read + self._idle_seconds - time.monotonic()))
            async with self._turn:
                if time.monotonic() - self._last_read >= self._idle_seconds:
                    await self._end()


def parse_tree(tree: GitObject) -> Tree:
    """From entries `<mode> <name> NUL <id in bytes>`, without anything between them."""
    content, id_bytes = tree.content, len(tree.object_id) // 2
    entries: dict[bytes, TreeItem] = {}
    start = 0
    while start < len(content):
        mode, name = content[start : content.index(b"\0", start)].split(b" ", 1)
        id_start = start + len(mode) + len(name) + 2
        start = id_start + id_bytes
        entries[name] = TreeItem(mode.zfill(6), content[id_start:start].hex())
    return entries


def _folder(path: Path) -> Folder | None:
    """Which folder is there now; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
