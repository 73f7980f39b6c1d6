"""One bare mirror of one repository: made, refreshed, asked for commits, and kept from losing those in use.

A mirror has no work tree, hooks, remotes or URLs. The upstream's branches and tags lie under
`refs/upstream/`, and `refs/astra/runs/<run id>` keeps a run's commit alive whatever the upstream does.
Callers hold the mirror's lock for everything here that writes; who locks and when is left to `workspace`.
"""

import asyncio
import os
import shutil
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from services.tools.errors import CommitNotFound, RepositoryTooLarge, RepositoryUnreachable
from services.tools.git import READ_SECONDS_MAX, GitError, GitTimeoutError, Remote, run_git

FETCH_SECONDS_MAX = 600.0
"""Longest a clone or a refresh may take."""
SIZE_POLL_SECONDS = 0.25
"""How often a running fetch is measured; it can overshoot the bound by what arrives in between."""
FRESH_SECONDS = 3.0
"""A mirror refreshed this recently is taken as it is, so that runs of one moment fetch once."""

RUN_REFS = "refs/astra/runs/"
UPSTREAM_HEAD = "refs/upstream/HEAD"
REFSPECS = (
    f"+HEAD:{UPSTREAM_HEAD}",
    "+refs/heads/*:refs/upstream/heads/*",
    "+refs/tags/*:refs/upstream/tags/*",
)
REFRESHED, USED = "astra-refreshed", "astra-used"
"""Empty files whose modification times tell when the mirror was last fetched and last pinned."""


@dataclass(frozen=True, slots=True)
class Pin:
    """The one commit a run reads: full id, committer's time, and the repository that holds it."""

    commit: str
    committed_time: datetime
    git_dir: Path


@dataclass(frozen=True, slots=True)
class Mirror:
    """A bare repository at `git_dir`. `git_config` is the global configuration for git's fetches."""

    git_dir: Path
    git_config: Path
    bytes_max: int

    async def create(self) -> None:
        """Make it, empty."""
        await run_git(["init", "--quiet", "--bare", "--template=", str(self.git_dir)])

    def is_fresh(self) -> bool:
        """Whether it was refreshed a moment ago."""
        return 0 <= time.time() - _modified(self.git_dir / REFRESHED) < FRESH_SECONDS

    def last_used(self) -> float:
        """When a run last asked for its pin, in seconds since the epoch."""
        return _modified(self.git_dir / USED)

    async def refresh(self, remote: Remote) -> None:
        """Fetch branches and tags. Raises RepositoryUnreachable and RepositoryTooLarge."""
        self._clear_leftovers()
        await self._fetch(remote, ["--prune", *_arguments(remote), *REFSPECS])
        (self.git_dir / REFRESHED).touch()

    async def fetch_extra(self, remote: Remote, name: str) -> bool:
        """Fetch one commit id, or a reference outside branches and tags. False: it is not to be had."""
        target = f"refs/upstream/{name.removeprefix('refs/')}" if name.startswith("refs/") else ""
        refspec = f"+{name}:{target}" if target else name
        try:
            await self._fetch(remote, [*_arguments(remote), refspec])
        except CommitNotFound:
            return False
        return True

    async def resolve(self, ref: str | None) -> str | None:
        """The commit of a branch, a tag, a full reference or (None) the default branch, as last fetched."""
        if ref is None:
            names = [UPSTREAM_HEAD]
        elif ref.startswith("refs/"):
            names = [f"refs/upstream/{ref.removeprefix('refs/')}"]
        else:
            names = [f"refs/upstream/heads/{ref}", f"refs/upstream/tags/{ref}"]
        for name in names:
            if found := await self._try(["rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"]):
                return found
        return None

    async def has(self, commit: str) -> bool:
        """Whether the commit is here with all its history and content; a cut fetch may leave only parts."""
        args = ["rev-list", "--objects", "--quiet", commit, "--not", "--all"]
        return await self._try(args, seconds_max=FETCH_SECONDS_MAX) is not None

    async def pinned(self, run_id: str) -> Pin | None:
        """What the run is pinned to here."""
        args = ["log", "-1", "--no-show-signature", "--format=%H %ct", f"{RUN_REFS}{run_id}", "--"]
        found = await self._try(args)
        if not found:
            return None
        (self.git_dir / USED).touch()
        commit, seconds = found.split()
        return Pin(commit, datetime.fromtimestamp(int(seconds), UTC), self.git_dir)

    async def keep(self, run_id: str, commit: str) -> None:
        """Keep a commit that is here alive for the run."""
        await run_git(["update-ref", f"{RUN_REFS}{run_id}", commit], git_dir=self.git_dir)

    async def runs(self) -> set[str]:
        """The runs whose commits are kept."""
        found = await run_git(["for-each-ref", "--format=%(refname)", RUN_REFS], git_dir=self.git_dir)
        return {name.removeprefix(RUN_REFS) for name in found.decode().split()}

    async def release(self, run_ids: Sequence[str]) -> None:
        """Let go of the runs' commits; git collects what nothing else holds in its own time."""
        deletions = "".join(f"delete {RUN_REFS}{run_id}\n" for run_id in run_ids)
        await run_git(["update-ref", "--stdin"], git_dir=self.git_dir, stdin=deletions.encode())

    async def tidy(self) -> None:
        """Let git repack where its own thresholds ask for it. Readers are not disturbed."""
        await run_git(["gc", "--auto", "--quiet"], git_dir=self.git_dir, seconds_max=FETCH_SECONDS_MAX)

    async def _try(self, args: Sequence[str], *, seconds_max: float = READ_SECONDS_MAX) -> str | None:
        """What git says, or None where it refuses."""
        try:
            return (await run_git(args, git_dir=self.git_dir, seconds_max=seconds_max)).decode().strip()
        except GitError:
            return None

    async def _fetch(self, remote: Remote, args: Sequence[str]) -> None:
        fetch = run_git(
            ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules",
             "--no-auto-maintenance", "--update-shallow", *args],
            git_dir=self.git_dir, remote=remote, global_config=self.git_config,
            seconds_max=FETCH_SECONDS_MAX,
        )  # fmt: skip
        try:
            await _within_size(self.git_dir, self.bytes_max, fetch)
        except GitError as error:
            raise _explain(error) from None
        except GitTimeoutError:
            raise RepositoryUnreachable(
                f"The repository could not be fetched within {FETCH_SECONDS_MAX:g} s. Try again."
            ) from None
        finally:
            self._clear_leftovers()

    def _clear_leftovers(self) -> None:
        """Remove what a killed git leaves behind: lock files, which would block, and half-received packs."""
        for pattern in ("*.lock", "refs/**/*.lock", "objects/pack/tmp_*", "objects/*/tmp_obj_*"):
            for path in self.git_dir.glob(pattern):
                path.unlink(missing_ok=True)
        for path in self.git_dir.glob("objects/tmp_objdir-*"):
            shutil.rmtree(path, ignore_errors=True)


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder, while others may be changing it."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except FileNotFoundError:
                continue
    return total


async def _within_size(folder: Path, bytes_max: int, work: Coroutine[object, object, bytes]) -> None:
    """Await work that fills a folder, and end it once the folder is too large."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait([task], timeout=SIZE_POLL_SECONDS)
            if await asyncio.to_thread(folder_bytes, folder) > bytes_max:
                raise RepositoryTooLarge(
                    f"The repository is larger than the {bytes_max:,} bytes kept of one here. "
                    "An operator can raise the limit."
                )
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
    await task


def _arguments(remote: Remote) -> list[str]:
    return ["--end-of-options", remote.url]


def _explain(error: GitError) -> RepositoryUnreachable | CommitNotFound:
    """git's words, which are stable in the C locale, as a reason."""
    if "couldn't find remote ref HEAD" in error.stderr:
        return RepositoryUnreachable(
            "The repository's default branch has no commit. Push one, or set the default branch at its host."
        )
    if "couldn't find remote ref" in error.stderr or "not our ref" in error.stderr:
        return CommitNotFound("The repository does not have this commit or reference.")
    said = " ".join(line for line in error.stderr.splitlines() if line.startswith(("fatal:", "error:")))
    return RepositoryUnreachable(
        f"The repository cannot be fetched: {said[:500] or 'git gave no reason'}. "
        "Check its clone URL, its credential and its host."
    )


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
