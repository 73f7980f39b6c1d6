"""The tools that read the history a run's pinned commit has: the log and single commits.

Only ancestors of the pinned commit are shown, though the mirror may hold other branches' commits too.
"""

import re
from dataclasses import dataclass

from services.tools.errors import CommitNotFound, FieldInvalid
from services.tools.git import GitError, run_git, split_records, stream_git
from services.tools.repo_pages import Page, Place, clip, cut_note
from services.tools.repo_paths import parse_path, show_path
from services.tools.repo_snapshot import Snapshot

COMMITS_DEFAULT = 30
COMMITS_MAX = 100
SHOW_LINES_MAX = 600
"""Lines of a commit on one page."""

FIELDS = ("%H", "%aN", "%aE", "%aI", "%s")


@dataclass(frozen=True, slots=True)
class LoggedCommit:
    """A commit of the log. `authored_date` is ISO 8601 with the author's offset."""

    commit: str
    author: str
    author_email: str
    authored_date: str
    subject: str


@dataclass(frozen=True, slots=True)
class CommitLog:
    """Commits, newest first, at most `COMMITS_MAX`."""

    commits: tuple[LoggedCommit, ...]
    text: str
    continuation: str


@dataclass(frozen=True, slots=True)
class ShownCommit:
    """A page of a commit: message, statistics and diff as lines."""

    commit: str
    text: str
    continuation: str


async def git_log(
    snapshot: Snapshot,
    path: str = "",
    *,
    author: str = "",
    since: str = "",
    limit: int = 0,
    continuation: str = "",
) -> CommitLog:
    """The history up to the pinned commit, as `git log` orders it.

    `author` is part of a name or e-mail address, in any case; `since` is a day, from its midnight in UTC;
    `limit` is the commits on a page, 0 for `COMMITS_DEFAULT`.
    """
    if since and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", since):
        raise FieldInvalid('since is a day, as in "2026-05-01".')
    if not 0 <= limit <= COMMITS_MAX:
        raise FieldInvalid(f"limit is from 1 to {COMMITS_MAX}, or 0 for {COMMITS_DEFAULT}.")
    folder = parse_path(path)
    place = Place(snapshot.commit, "git_log", (show_path(folder), author, since, limit))
    start, count = place.position(continuation), limit or COMMITS_DEFAULT
    commits = await _read_log(snapshot, folder, _filters(author, since), start, count + 1)
    page = Page(count)
    shown = [
        commit
        for commit in commits
        if page.add(f"{commit.commit[:12]}  {commit.authored_date[:10]}  {clip(commit.author, 100)}  "
                    f"{clip(commit.subject, 300)}")
    ]  # fmt: skip
    token = place.token(start + len(shown)) if len(shown) < len(commits) else ""
    where = f" of {show_path(folder)}" if folder else ""
    head = f"History{where} up to {snapshot.commit[:12]}:" if shown else f"No commit{where} matches."
    foot = cut_note(f"commits {start + 1:,} to {start + len(shown):,}", token) if token else ""
    return CommitLog(tuple(shown), page.text(head, foot), token)


async def git_show(snapshot: Snapshot, commit: str, *, path: str = "", continuation: str = "") -> ShownCommit:
    """One commit: message, changed files and diff; a merge is compared with its first parent.

    Raises CommitNotFound for anything but a commit id from the history of the pinned commit.
    """
    full = await _require_ancestor(snapshot, commit)
    folder = parse_path(path)
    place = Place(snapshot.commit, "git_show", (full, show_path(folder)))
    start, seen, page, more = place.position(continuation), 0, Page(SHOW_LINES_MAX), False
    args = [
        "--literal-pathspecs", "show", "--no-color", "--no-ext-diff", "--no-textconv", "--no-notes",
        "--no-show-signature", "--diff-merges=first-parent", "--stat=120", "--patch",
        "--format=fuller", "--date=iso-strict",
        "--end-of-options", full, "--", *([folder] if folder else []),
    ]  # fmt: skip
    async with stream_git(args, git_dir=snapshot.git_dir) as chunks:
        async for line in split_records(chunks, b"\n"):
            if seen >= start and not page.add(clip(line.decode(errors="replace"))):
                more = True
                break
            seen += 1
    if not seen:
        return ShownCommit(full, f"Commit {full[:12]} does not touch {show_path(folder)}.", "")
    token = place.token(seen) if more else ""
    foot = cut_note(f"lines {start + 1:,} to {seen:,}; path narrows it", token) if token else ""
    return ShownCommit(full, page.text("", foot), token)


async def _read_log(
    snapshot: Snapshot, path: bytes, filters: list[str], skip: int, count: int
) -> list[LoggedCommit]:
    args = [
        "--literal-pathspecs", "-c", f"mailmap.blob={snapshot.commit}:.mailmap", "log", "-z", "--no-color",
        "--no-show-signature", f"--format={'%x00'.join(FIELDS)}", f"--skip={skip}", f"--max-count={count}",
        *filters, "--end-of-options", snapshot.commit, "--", *([path] if path else []),
    ]  # fmt: skip
    output = await run_git(args, git_dir=snapshot.git_dir)
    fields = output.decode(errors="replace").split("\0")
    return [
        LoggedCommit(*fields[start : start + len(FIELDS)])
        for start in range(0, len(fields) - len(FIELDS), len(FIELDS))
    ]


def _filters(author: str, since: str) -> list[str]:
    by_author = ["--fixed-strings", "--regexp-ignore-case", f"--author={author}"]
    return [*(by_author if author else []), *([f"--since={since}T00:00:00Z"] if since else [])]


async def _require_ancestor(snapshot: Snapshot, commit: str) -> str:
    """The full id of a commit in the pinned commit's history."""
    unknown = CommitNotFound(
        f"{commit!r} is no commit in the history of {snapshot.commit[:12]}. Take an id of at least 7 "
        "digits from repo_git_log; branches and tags are not names here."
    )
    if not re.fullmatch(r"[0-9a-fA-F]{7,64}", commit):
        raise unknown
    try:
        found = await run_git(
            ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}"],
            git_dir=snapshot.git_dir,
        )
        full = found.decode().strip()
        await run_git(["merge-base", "--is-ancestor", full, snapshot.commit], git_dir=snapshot.git_dir)
    except GitError:
        raise unknown from None
    return full
