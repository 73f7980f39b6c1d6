"""Compare what the vendors hold with what the record says; pure. What should not be is an offender."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from scripts.storm.places import Post

LABEL = "[T0] "
"""What the scripted model's answers begin with."""
EXPLAINED = frozenset({"NOT_ADDRESSED", "SELF_AUTHORED", "CONTAINER_READ"})
"""Why a delivery of a storm may start nothing: an issue that names nobody, our own answer, a notification
whose container was read."""


@dataclass(frozen=True, slots=True)
class Held:
    """A thread as its vendor has it: the addresses of what people wrote, and the agent's posts."""

    name: str
    comments: Sequence[str]
    posts: Sequence[Post]


@dataclass(frozen=True, slots=True)
class Run:
    """A run on record. `comment`: the address it was asked at; `posts`: where its answer was put."""

    id: str
    comment: str
    outcome: str
    reason: str
    answered_by: str
    posts: Sequence[str]


@dataclass(frozen=True, slots=True)
class Row:
    """So many deliveries of the inbox ended, or not, like this."""

    source: str
    status: str
    reason: str
    count: int

    def __str__(self) -> str:
        return " ".join(filter(None, (str(self.count), self.source, self.status, self.reason)))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was counted. `absorbed`: comments that the run of another one answered too."""

    comments: int
    answered: int
    absorbed: int
    posts: int
    offenders: Sequence[str]


def judge(threads: Sequence[Held], runs: Sequence[Run], inbox: Sequence[Row]) -> Verdict:
    """Every promise at once."""
    by_id = {run.id: run for run in runs}
    by_comment: dict[str, list[Run]] = {}
    for run in runs:
        by_comment.setdefault(run.comment, []).append(run)
    offenders: list[str] = []
    kept: list[Run] = []
    for thread in threads:
        found = [_run_of(comment, by_comment.get(comment, []), by_id) for comment in thread.comments]
        ours = [each for each in found if isinstance(each, Run)]
        offenders += [each for each in found if isinstance(each, str)]
        offenders += _differences(thread, ours)
        kept += ours
    asked = {comment for thread in threads for comment in thread.comments}
    offenders += [f"{comment}: nobody asked for its run" for comment in by_comment.keys() - asked]
    offenders += [f"inbox: {row}" for row in inbox if not _is_explained(row)]
    absorbed = sum(bool(run.answered_by) for run in kept)
    posts = sum(len(thread.posts) for thread in threads)
    return Verdict(len(asked), len(kept) - absorbed, absorbed, posts, sorted(offenders))


def _run_of(comment: str, runs: Sequence[Run], by_id: Mapping[str, Run]) -> Run | str:
    """The one run of a comment, answered by itself or by another; or what is wrong."""
    if len(runs) != 1:
        return f"{comment}: {len(runs)} runs, not one"
    (run,) = runs
    answering = by_id[run.answered_by] if run.answered_by else run
    for each in (run, answering):
        if each.outcome != "success":
            return f"{comment}: run {each.id} ended as {each.outcome or 'nothing'} {each.reason}"
    if not answering.posts:
        return f"{comment}: run {answering.id} has no answer on record"
    return run


def _differences(thread: Held, runs: Iterable[Run]) -> list[str]:
    """Posts that are there too often or not at all, and those that are no answers."""
    wanted = Counter(url for run in runs if not run.answered_by for url in run.posts)
    held = Counter(post.url for post in thread.posts)
    differing = [url for url in held.keys() | wanted.keys() if held[url] != wanted[url]]
    return [
        *(
            f"{thread.name}: {url} is there {held[url]} times, on record {wanted[url]} times"
            for url in differing
        ),
        *(
            f"{post.url}: no answer: {post.text[:80]!r}"
            for post in thread.posts
            if not post.text.startswith(LABEL)
        ),
    ]


def _is_explained(row: Row) -> bool:
    return row.status == "done" or (row.status == "ignored" and row.reason in EXPLAINED)
