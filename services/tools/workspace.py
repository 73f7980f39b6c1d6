"""Repositories on this machine: one shared mirror each, one pinned commit a run, disk bounded.

Any number of runs, in any number of processes that share the root folder, use a mirror at once: writers take
its lock, readers need none. A mirror comes into being under a temporary name, so that one killed half-way is
never mistaken for one. Which commit a run has is for the caller's record to decide, and reading it for the
repo tools.
"""

import asyncio
import hashlib
import re
import shutil
import uuid
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from services.tools.errors import CommitNotFound, FieldInvalid, RepositoryUnreachable
from services.tools.git import Credential, GitError, Remote
from services.tools.git_objects import GitObjects
from services.tools.mirror import FETCH_SECONDS_MAX, Mirror, Pin, folder_bytes
from services.tools.mirror_lock import MirrorLocks

LOCK_SECONDS_MAX = FETCH_SECONDS_MAX + 60
"""Longest wait for others who are busy with the same mirror."""

URL = re.compile(r"https?://[^\s/@]+/\S*|file:///\S+")
RUN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,63}")
COMMIT_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
REF = re.compile(r"(?!.*(?:\.\.|//|/\.|@\{|\.lock(?:/|$)))(?![./-])[^\x00-\x20\x7f~^:?*\[\\]{1,250}(?<![./])")
"""git's own rules for a reference's name, and no leading dash."""


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection did, and the bytes all mirrors take after it."""

    runs_released: int
    mirrors_removed: int
    bytes_kept: int


class Workspaces:
    """The mirrors below one root folder, of which this process may be one of several users."""

    def __init__(self, root: Path, *, bytes_max: int, repository_bytes_max: int) -> None:
        """`bytes_max` bounds the mirrors no run needs; `repository_bytes_max` each mirror."""
        self._mirrors = root / "mirrors"
        self._unfinished = root / "unfinished"
        self._git_config = root / "gitconfig"
        self._bytes_max = bytes_max
        self._repository_bytes_max = repository_bytes_max
        self._locks = MirrorLocks(root / "locks")
        self.objects = GitObjects()
        """What the mirrors hold. Whoever reads there closes it in the end."""
        for folder in (self._mirrors, self._unfinished, root / "locks"):
            folder.mkdir(parents=True, exist_ok=True)
        # A repository named by path may belong to another user. git's server side, which serves such a path,
        # looks for leave to read it in files only.
        self._git_config.write_text("[safe]\n\tdirectory = *\n")

    async def pin(
        self,
        repository_key: str,
        clone_url: str,
        run_id: str,
        *,
        ref: str | None = None,
        commit: str | None = None,
        credential: Credential | None = None,
    ) -> Pin:
        """Give a run its commit, and keep that commit readable until the run is released.

        With `commit` (full id, from the record) exactly that one is made present. Without, it is what `ref`
        (branch, tag or full reference; None: the default branch) points to; a run already pinned here keeps
        what it has. `repository_key` names the repository across tenants. A repeated call is cheap.

        Raises RepositoryUnreachable, RepositoryTooLarge, CommitNotFound and FieldInvalid.
        """
        remote = Remote(clone_url, credential)
        _check(clone_url, run_id, ref, commit)
        self._refuse_own(clone_url)
        name = _name(repository_key)
        mirror = self._mirror(name)
        found = await self._pinned(mirror, run_id, commit)
        if found:
            return found
        async with self._locks.hold(name, seconds_max=LOCK_SECONDS_MAX) as held:
            if not held:
                raise RepositoryUnreachable("Another run is still fetching the repository; try again later.")
            made = not mirror.git_dir.exists()
            if made:
                await self._make(name, remote)
            found = await self._pinned(mirror, run_id, commit)
            if not found:
                await mirror.keep(run_id, await _find(mirror, remote, ref, commit))
                found = await mirror.pinned(run_id)
        if made:
            await self._remove_unused()
        if not found:
            raise RepositoryUnreachable("The mirror of the repository lost a commit just kept; try again.")
        return found

    def _refuse_own(self, clone_url: str) -> None:
        """The mirrors belong to all tenants: nobody's repository is one of them. Raises FieldInvalid."""
        path = unquote(clone_url.removeprefix("file://"))
        if path.startswith("/") and Path(path).resolve().is_relative_to(self._mirrors.parent.resolve()):
            raise FieldInvalid("A repository cannot lie in the folder that keeps the mirrors.")

    async def pinned_runs(self) -> set[str]:
        """All runs that keep a commit here. Ask which of them have ended, then `collect` those."""
        runs: set[str] = set()
        for name in self._names():
            with suppress(GitError):  # removed meanwhile by another process
                runs |= await self._mirror(name).runs()
        return runs

    async def collect(self, ended_runs: Collection[str]) -> Collected:
        """Release ended runs; while over the bound remove the least recently used mirrors no run needs.

        A mirror someone is busy with is left for the next time.
        """
        released = 0
        for name in self._names():
            async with self._locks.hold(name, seconds_max=0) as idle:
                if idle:
                    released += await self._release(self._mirror(name), ended_runs)
        removed, kept = await self._remove_unused()
        return Collected(released, removed, kept)

    async def _pinned(self, mirror: Mirror, run_id: str, commit: str | None) -> Pin | None:
        if not mirror.git_dir.exists():
            return None
        found = await mirror.pinned(run_id)
        return found if found and commit in (None, found.commit) else None

    async def _make(self, name: str, remote: Remote) -> None:
        """Clone under a temporary name. Those of others before us are dead: we hold the lock."""
        for dead in self._unfinished.glob(f"{name}.*"):
            await asyncio.to_thread(shutil.rmtree, dead, ignore_errors=True)
        unfinished = Mirror(
            self._unfinished / f"{name}.{uuid.uuid4().hex}", self._git_config, self._repository_bytes_max
        )
        try:
            await unfinished.create()
            await unfinished.refresh(remote)
            unfinished.git_dir.rename(self._mirror(name).git_dir)
        finally:
            await asyncio.to_thread(shutil.rmtree, unfinished.git_dir, ignore_errors=True)

    async def _release(self, mirror: Mirror, ended_runs: Collection[str]) -> int:
        if not mirror.git_dir.exists():
            return 0
        ended = sorted(await mirror.runs() & set(ended_runs))
        if ended:
            await mirror.release(ended)
        await mirror.tidy()
        return len(ended)

    async def _remove_unused(self) -> tuple[int, int]:
        """How many mirrors were removed, and the bytes of all that are left."""
        sizes = {
            name: await asyncio.to_thread(folder_bytes, self._mirror(name).git_dir) for name in self._names()
        }
        kept, removed = sum(sizes.values()), 0
        for name in sorted(sizes, key=lambda name: self._mirror(name).last_used()):
            if kept <= self._bytes_max:
                break
            async with self._locks.hold(name, seconds_max=0) as idle:
                if idle and await self._remove(name):
                    kept, removed = kept - sizes[name], removed + 1
        return removed, kept

    async def _remove(self, name: str) -> bool:
        mirror = self._mirror(name)
        if not mirror.git_dir.exists() or await mirror.runs():
            return False
        doomed = self._unfinished / f"{name}.{uuid.uuid4().hex}"
        mirror.git_dir.rename(doomed)
        await asyncio.to_thread(shutil.rmtree, doomed, ignore_errors=True)
        return True

    def _names(self) -> list[str]:
        return sorted(path.name for path in self._mirrors.iterdir())

    def _mirror(self, name: str) -> Mirror:
        return Mirror(self._mirrors / name, self._git_config, self._repository_bytes_max)


async def _find(mirror: Mirror, remote: Remote, ref: str | None, commit: str | None) -> str:
    """The commit asked for, fetched if need be. Raises CommitNotFound."""
    if commit:
        if await mirror.has(commit):
            return commit
        await mirror.refresh(remote)
        if await mirror.has(commit) or (
            await mirror.fetch_extra(remote, commit) and await mirror.has(commit)
        ):
            return commit
        raise CommitNotFound(
            f"Commit {commit} is no longer in the repository; start a new run on a current one."
        )
    found = await mirror.resolve(ref) if mirror.is_fresh() and not _is_outside(ref) else None
    if not found:
        await (mirror.fetch_extra(remote, ref) if ref and _is_outside(ref) else mirror.refresh(remote))
        found = await mirror.resolve(ref)
    if not found:
        raise CommitNotFound(
            f"The repository has no branch or tag {ref!r}; correct the repository's default branch."
        )
    return found


def _is_outside(ref: str | None) -> bool:
    """Whether a reference is neither branch nor tag, as in `refs/pull/7/head`, and so fetched by itself."""
    return bool(ref) and ref.startswith("refs/") and not ref.startswith(("refs/heads/", "refs/tags/"))


def _check(clone_url: str, run_id: str, ref: str | None, commit: str | None) -> None:
    """Refuse what git could take for an option, a transport or a credential. Raises FieldInvalid."""
    if not URL.fullmatch(clone_url) and not (clone_url.startswith("/") and Path(clone_url).is_dir()):
        raise FieldInvalid(
            "A clone URL is https, http or file, without user or password, or an existing absolute path."
        )
    if not RUN_ID.fullmatch(run_id):
        raise FieldInvalid("A run id has up to 64 letters, digits and dashes.")
    if ref is not None and not REF.fullmatch(ref):
        raise FieldInvalid("That is no name of a branch, tag or reference.")
    if commit is not None and not COMMIT_ID.fullmatch(commit):
        raise FieldInvalid("A commit is named by its full id, in lower case.")


def _name(repository_key: str) -> str:
    """A folder name: readable, and unique by digest."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", repository_key).strip("-")[:40]
    return f"{readable}-{hashlib.sha256(repository_key.encode()).hexdigest()[:16]}.git"
