"""One lasting `git cat-file --batch`: objects of a repository by their ids, without a process a read.

git is asked by a line on its standard input. Only ids are ever written there, so that no name out of a
repository or from a model can pass for a line of the protocol. That pipe ends with this process, whatever
ends it, and git with the pipe. Which of them run, and when another takes one's place, is left to
`git_objects`.
"""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import dataclass
from pathlib import Path

from services.common.children import Child
from services.tools.git import STDERR_BYTES_MAX, GitError, start_git

OBJECT_NAME = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})(?:\^\{tree\})?")
"""A full id; with the ending the tree of that commit."""


@dataclass(frozen=True, slots=True)
class GitObject:
    """An object, `kind` in git's words. `size_bytes` is that of the whole; `content` may be a part of it."""

    object_id: str
    kind: str
    size_bytes: int
    content: bytes


class Batch:
    """The process. It answers one read at a time, and none after one that did not come to its end."""

    def __init__(self, child: Child, asking: int) -> None:
        """`asking` is the descriptor that git's standard input is read from, ours to close."""
        self._child = child
        self._asking = asking
        self.usable = True

    @classmethod
    async def start(cls, git_dir: Path) -> Batch:
        """Start one. A folder that is no repository shows at the first read."""
        read_by_git, asking = os.pipe()
        try:
            child = await start_git(["cat-file", "--batch"], git_dir=git_dir, stdin=read_by_git)
        except BaseException:
            os.close(asking)
            raise
        finally:
            os.close(read_by_git)
        return cls(child, asking)

    async def read(self, name: str, bytes_max: int, *, cut: bool) -> GitObject:
        """An object by an OBJECT_NAME. A larger one comes empty, or cut after `bytes_max` with `cut`.

        Either way git is in the middle of it then, and not `usable` any more. Raises GitError where the
        object is missing or git has ended.
        """
        if not OBJECT_NAME.fullmatch(name):
            raise ValueError("objects are read by their full id")
        answer = self._child.stdout
        assert answer
        self.usable = False  # until the answer was read to its end
        try:
            os.write(self._asking, f"{name}\n".encode())  # fits: git has read all that was asked before
            found = (await answer.readline()).split()  # "<id> <kind> <size>", or "<name> missing"
            if not found:
                raise BrokenPipeError
            if len(found) != 3:
                raise GitError("cat-file", 128, "the object is missing")
            size_bytes = int(found[2])
            wanted = size_bytes if size_bytes <= bytes_max else bytes_max if cut else 0
            content = await answer.readexactly(wanted)
            if wanted == size_bytes:
                await answer.readexactly(1)  # a line feed ends the answer
                self.usable = True
        except (BrokenPipeError, asyncio.IncompleteReadError):
            raise await self._failure() from None
        return GitObject(found[0].decode(), found[1].decode(), size_bytes, content)

    async def end(self) -> None:
        """End it, in whatever state it is; once."""
        self.usable = False
        os.close(self._asking)
        self._child.kill_session()
        await self._child.exited()

    async def _failure(self) -> GitError:
        said = self._child.stderr
        assert said
        complaint = (await said.read(STDERR_BYTES_MAX)).decode(errors="replace").strip()
        self._child.kill_session()
        return GitError("cat-file", await self._child.exited(), complaint)
