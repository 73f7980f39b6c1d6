"""The files of GitHub's repositories: commits, trees of text, branches. In memory, bounded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from services.sandbox.github_domain import NoSuchThingError, RefusedError, Repository, WorldFullError, sha

OBJECTS_MAX = 10_000
CHARS_KEPT_MAX = 32 * 1024 * 1024

ValueT = TypeVar("ValueT")
Tree = Mapping[str, str]
"""Text by path."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit. `parent` empty: the first one."""

    sha: str
    message: str
    tree_sha: str
    parent: str
    created_at: datetime


class GithubGit:
    """What is kept of git, by repository."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._trees: dict[tuple[int, str], Tree] = {}
        self._commits: dict[tuple[int, str], Commit] = {}
        self._branches: dict[tuple[int, str], str] = {}
        self._chars_left = CHARS_KEPT_MAX

    def add_files(self, repository: Repository, branch: str, files: Tree) -> Commit:
        """Commit files on top of a branch, which is made if it is not there."""
        parent = self._branches.get((repository.id, branch), "")
        before = self.tree(repository, self.commit(repository, parent).tree_sha) if parent else {}
        tree_sha = self.add_tree(repository, {**before, **files})
        commit = self.add_commit(repository, "Add files", tree_sha, parent)
        self._branches[repository.id, branch] = commit.sha
        return commit

    def add_tree(self, repository: Repository, files: Tree) -> str:
        """A tree by its whole content; the same content is the same tree."""
        tree_sha = sha("tree", *sorted(files.items()))
        self._take_room(sum(map(len, files.values())))
        self._trees[repository.id, tree_sha] = dict(files)
        return tree_sha

    def add_commit(self, repository: Repository, message: str, tree_sha: str, parent: str) -> Commit:
        """A commit that no branch points at yet. Raises NoSuchThingError for an unknown tree or parent."""
        self.tree(repository, tree_sha)
        if parent:
            self.commit(repository, parent)
        self._take_room(len(message))
        now = self._clock()
        commit = Commit(sha(message, tree_sha, parent, now), message, tree_sha, parent, now)
        return self._commits.setdefault((repository.id, commit.sha), commit)

    def add_branch(self, repository: Repository, branch: str, commit_sha: str) -> None:
        """Raises RefusedError for a name that is taken, NoSuchThingError for an unknown commit."""
        self.commit(repository, commit_sha)
        if (repository.id, branch) in self._branches:
            raise RefusedError("Reference already exists")
        self._branches[repository.id, branch] = commit_sha

    def branch(self, repository: Repository, branch: str) -> str:
        """The commit a branch points at. Raises NoSuchThingError."""
        return self._known(self._branches, repository, branch)

    def commit(self, repository: Repository, commit_sha: str) -> Commit:
        """Raises NoSuchThingError."""
        return self._known(self._commits, repository, commit_sha)

    def tree(self, repository: Repository, tree_sha: str) -> Tree:
        """Raises NoSuchThingError."""
        return self._known(self._trees, repository, tree_sha)

    def files(self, repository: Repository, ref: str) -> Tree:
        """The files at a branch or commit. Raises NoSuchThingError."""
        commit_sha = self._branches.get((repository.id, ref), ref)
        return self.tree(repository, self.commit(repository, commit_sha).tree_sha)

    def _known(self, kept: Mapping[tuple[int, str], ValueT], repository: Repository, name: str) -> ValueT:
        try:
            return kept[repository.id, name]
        except KeyError:
            raise NoSuchThingError(f"git object {name}") from None

    def _take_room(self, chars: int) -> None:
        if len(self._trees) + len(self._commits) >= OBJECTS_MAX or chars > self._chars_left:
            raise WorldFullError("the sandbox keeps no more git objects")
        self._chars_left -= chars


def blob_sha(text: str) -> str:
    """Git's id of a file's content."""
    data = text.encode()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
