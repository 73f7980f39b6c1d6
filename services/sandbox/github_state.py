"""GitHub's world as far as we call it, in memory and bounded.

`GithubState` alone adds to it, and refuses what GitHub refuses. It knows nothing of HTTP, JSON or webhooks.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from services.sandbox.github_domain import (
    BODY_CHARS_MAX,
    Account,
    AccountType,
    Byline,
    Comment,
    CommentKind,
    Commits,
    NoSuchThingError,
    Place,
    Reaction,
    ReactionContent,
    RefusedError,
    Repository,
    Thread,
    WorldFullError,
    sha,
    stable_id,
)

REPOSITORIES_MAX = 100
THREADS_MAX = 2_000
COMMENTS_PER_THREAD_MAX = 2_500
"""GitHub's own limit."""
REACTIONS_MAX = 20_000
CHARS_KEPT_MAX = 64 * 1024 * 1024


class GithubState:
    """Every id but an account's and a repository's counts up from `first_id`.

    Start it above every id an earlier sandbox gave: a record that outlives the sandbox would take a
    repeated comment id for a comment it has already answered.
    """

    def __init__(self, clock: Callable[[], datetime], *, first_id: int) -> None:
        self._clock = clock
        self._ids = itertools.count(first_id)
        self._repositories: dict[str, Repository] = {}
        self._threads: dict[tuple[int, int], Thread] = {}
        self._changed: dict[int, datetime] = {}
        self._comments: dict[int, list[Comment]] = {}
        self._by_id: dict[int, Comment] = {}
        self._resolved: dict[int, datetime] = {}
        self._reactions: dict[int, list[Reaction]] = {}
        self._reactions_held = 0
        self._chars_left = CHARS_KEPT_MAX

    def add_repository(
        self,
        full_name: str,
        *,
        owner_type: AccountType = AccountType.ORGANIZATION,
        private: bool = False,
        description: str = "",
        default_branch: str = "main",
        clone_url: str = "",
    ) -> Repository:
        """Adding a name again returns what is there."""
        owner, _, name = full_name.partition("/")
        if not owner or not name or "/" in name:
            raise RefusedError("a repository's name is owner/name")
        if full_name.lower() in self._repositories:
            return self._repositories[full_name.lower()]
        self._take_room(len(self._repositories), REPOSITORIES_MAX, description)
        repository = Repository(
            id=stable_id(full_name),
            owner=Account(owner, owner_type),
            name=name,
            private=private,
            description=description,
            default_branch=default_branch,
            clone_url=clone_url,
            created_at=self._clock(),
        )
        return self._repositories.setdefault(full_name.lower(), repository)

    def add_issue(
        self, repository: Repository, title: str, body: str, by: Byline, *, labels: Sequence[str] = ()
    ) -> Thread:
        """The repository's next number."""
        return self.change_thread(self._add_thread(repository, title, body, by, None), labels=tuple(labels))

    def change_thread(self, thread: Thread, **changes: Any) -> Thread:
        """Change an issue's or pull request's title, body, labels, open, state_reason."""
        changed = replace(thread, **changes)
        self._take_room(0, 1, changed.body if changed.body != thread.body else "")
        self._threads[thread.repository.id, thread.number] = changed
        self._changed[thread.id] = self._clock()
        self._comments[thread.id] = [replace(each, thread=changed) for each in self._comments[thread.id]]
        self._by_id |= {each.id: each for each in self._comments[thread.id]}
        return changed

    def add_pull_request(
        self,
        repository: Repository,
        title: str,
        body: str,
        by: Byline,
        *,
        head_ref: str = "",
        head_sha: str = "",
        base_ref: str = "",
        base_sha: str = "",
    ) -> Thread:
        """Empty names are made up."""
        number = next(self._ids)
        commits = Commits(
            id=number,
            base_ref=base_ref or repository.default_branch,
            base_sha=base_sha or sha(repository.full_name, "base"),
            head_ref=head_ref or f"change-{number}",
            head_sha=head_sha or sha(repository.full_name, number),
        )
        return self._add_thread(repository, title, body, by, commits)

    def add_comment(self, thread: Thread, body: str, by: Byline) -> Comment:
        """A comment in the conversation. Raises `RefusedError` for a blank body or one too long."""
        return self._add_comment(thread, body, by, None)

    def add_review_comment(self, thread: Thread, body: str, by: Byline, *, path: str, line: int) -> Comment:
        """A new review thread on one line of the diff."""
        if thread.commits is None:
            raise RefusedError("a review comment needs a pull request")
        hunk = f"@@ -{line},1 +{line},1 @@"
        place = Place(path, line, hunk, thread.commits.head_sha, review_id=next(self._ids))
        return self._add_comment(thread, body, by, place)

    def reply_to_review(self, top: Comment, body: str, by: Byline) -> Comment:
        """Only the comment that opens a review thread takes replies."""
        if top.place is None or top.place.top_id:
            raise RefusedError("replies to replies are not supported")
        at = top.place
        place = Place(at.path, at.line, at.diff_hunk, at.commit_id, next(self._ids), top_id=top.id)
        return self._add_comment(top.thread, body, by, place)

    def review_tops(self) -> list[Comment]:
        """The comments that opened the review threads of all pull requests."""
        return [each for each in self._by_id.values() if each.place and not each.place.top_id]

    def resolve_review(self, top: Comment) -> bool:
        """Resolve the thread that a review comment opened. False: it is resolved already."""
        if self.is_resolved(top):
            return False
        self._resolved[top.id] = self._clock()
        return True

    def review_comments(self, top: Comment) -> list[Comment]:
        """A review thread's comments, oldest first."""
        comments = self.comments(top.thread, CommentKind.REVIEW)
        return [each for each in comments if each.place and top.id in (each.id, each.place.top_id)]

    def is_resolved(self, top: Comment) -> bool:
        """Whether the thread that a review comment opened is resolved."""
        return top.id in self._resolved

    def resolved_at(self, top: Comment) -> datetime:
        """When the thread that a review comment opened was resolved, as it is."""
        return self._resolved[top.id]

    def react(self, subject_id: int, author: Account, content: ReactionContent) -> tuple[Reaction, bool]:
        """The reaction to a thread or comment, and whether it is new: the same account has each one once."""
        for reaction in self.reactions(subject_id):
            if (reaction.author, reaction.content) == (author, content):
                return reaction, False
        self._take_room(self._reactions_held, REACTIONS_MAX, "")
        reaction = Reaction(next(self._ids), author, content, self._clock())
        self._reactions.setdefault(subject_id, []).append(reaction)
        self._reactions_held += 1
        return reaction, True

    def repositories(self) -> list[Repository]:
        """In the order they were added."""
        return list(self._repositories.values())

    def repository(self, full_name: str) -> Repository:
        """Names are compared as GitHub does, without regard to case."""
        try:
            return self._repositories[full_name.lower()]
        except KeyError:
            raise NoSuchThingError(f"repository {full_name}") from None

    def threads(self) -> list[Thread]:
        """In the order they were opened."""
        return list(self._threads.values())

    def thread(self, full_name: str, number: int) -> Thread:
        """Raises `NoSuchThingError`."""
        try:
            return self._threads[self.repository(full_name).id, number]
        except KeyError:
            raise NoSuchThingError(f"{full_name}#{number}") from None

    def pull_request(self, full_name: str, number: int) -> Thread:
        """Raises `NoSuchThingError`, also for an issue."""
        thread = self.thread(full_name, number)
        if not thread.is_pull_request:
            raise NoSuchThingError(f"{full_name}#{number} is an issue")
        return thread

    def comments(self, thread: Thread, kind: CommentKind | None = None) -> list[Comment]:
        """Oldest first; without a kind, both."""
        return [comment for comment in self._comments[thread.id] if kind in (None, comment.kind)]

    def comment(self, full_name: str, comment_id: int, kind: CommentKind) -> Comment:
        """Raises `NoSuchThingError`, also for a comment of the other kind or of another repository."""
        comment, repository = self._by_id.get(comment_id), self.repository(full_name)
        if comment is None or comment.kind is not kind or comment.thread.repository.id != repository.id:
            raise NoSuchThingError(f"{kind} comment {comment_id} of {full_name}")
        return comment

    def reactions(self, subject_id: int) -> list[Reaction]:
        """Oldest first."""
        return list(self._reactions.get(subject_id, ()))

    def updated_at(self, thread: Thread) -> datetime:
        """When it was opened, changed or last commented on."""
        comments = self._comments[thread.id]
        changed = self._changed.get(thread.id, thread.created_at)
        return max(comments[-1].created_at, changed) if comments else changed

    def _add_thread(
        self,
        repository: Repository,
        title: str,
        body: str,
        by: Byline,
        commits: Commits | None,
    ) -> Thread:
        self._take_room(len(self._threads), THREADS_MAX, body)
        number = 1 + sum(thread.repository.id == repository.id for thread in self._threads.values())
        now = self._clock()
        thread = Thread(next(self._ids), repository, number, title, body, by, now, commits)
        self._threads[repository.id, number] = thread
        self._comments[thread.id] = []
        return thread

    def _add_comment(
        self,
        thread: Thread,
        body: str,
        by: Byline,
        place: Place | None,
    ) -> Comment:
        if not body.strip():
            raise RefusedError("body cannot be blank")
        self._take_room(len(self._comments[thread.id]), COMMENTS_PER_THREAD_MAX, body)
        now = self._clock()
        comment = Comment(next(self._ids), thread, body, by, now, place)
        self._comments[thread.id].append(comment)
        self._by_id[comment.id] = comment
        return comment

    def _take_room(self, held: int, most: int, text: str) -> None:
        if len(text) > BODY_CHARS_MAX:
            raise RefusedError(f"body is too long (maximum is {BODY_CHARS_MAX} characters)")
        if held >= most or len(text) > self._chars_left:
            raise WorldFullError(
                f"the sandbox keeps at most {most} of these, {CHARS_KEPT_MAX} characters in all"
            )
        self._chars_left -= len(text)
