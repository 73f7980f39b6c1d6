"""What GitHub's world consists of, as values: repositories, threads, comments, reactions, refusals."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

BODY_CHARS_MAX = 65_536
"""GitHub's limit for the body of an issue, a pull request or a comment."""


class NoSuchThingError(LookupError):
    """What GitHub answers 404 to."""


class RefusedError(ValueError):
    """What GitHub answers 422 to; the text is its reason."""


class WorldFullError(Exception):
    """A bound of this stand-in, or GitHub's number of comments in a thread, is reached."""


class AccountType(StrEnum):
    """Who is behind an account."""

    USER = "User"
    BOT = "Bot"
    ORGANIZATION = "Organization"


class Association(StrEnum):
    """An author's standing in the repository."""

    COLLABORATOR = "COLLABORATOR"
    CONTRIBUTOR = "CONTRIBUTOR"
    FIRST_TIMER = "FIRST_TIMER"
    FIRST_TIME_CONTRIBUTOR = "FIRST_TIME_CONTRIBUTOR"
    MANNEQUIN = "MANNEQUIN"
    MEMBER = "MEMBER"
    NONE = "NONE"
    OWNER = "OWNER"


class CommentKind(StrEnum):
    """The conversation of an issue or pull request, or a line of a pull request's diff."""

    CONVERSATION = "conversation"
    REVIEW = "review"


class ReactionContent(StrEnum):
    """The reactions GitHub has."""

    PLUS_ONE = "+1"
    MINUS_ONE = "-1"
    LAUGH = "laugh"
    CONFUSED = "confused"
    HEART = "heart"
    HOORAY = "hooray"
    ROCKET = "rocket"
    EYES = "eyes"


def stable_id(name: str) -> int:
    """The same positive number for the same name in every sandbox, whatever its case."""
    return zlib.crc32(name.lower().encode()) + 1


def sha(*words: object) -> str:
    """A commit-like name for a commit that does not exist."""
    return hashlib.sha1("/".join(map(str, words)).encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Account:
    """A person, a bot or an organization, known by its login."""

    login: str
    type: AccountType = AccountType.USER

    @property
    def id(self) -> int:
        """The same in every sandbox."""
        return stable_id(self.login)


@dataclass(frozen=True, slots=True)
class Byline:
    """Who wrote something, with which standing. `via_app`: the App did, as its bot."""

    account: Account
    association: Association
    via_app: bool = False


@dataclass(frozen=True, slots=True)
class Repository:
    """`clone_url` empty: the address GitHub would give, at which nothing answers."""

    id: int
    owner: Account
    name: str
    private: bool
    description: str
    default_branch: str
    clone_url: str
    created_at: datetime

    @property
    def full_name(self) -> str:
        """`owner/name`."""
        return f"{self.owner.login}/{self.name}"


@dataclass(frozen=True, slots=True)
class Commits:
    """What a pull request wants to merge into what."""

    id: int
    """The pull request's own id; its issue has another."""
    base_ref: str
    base_sha: str
    head_ref: str
    head_sha: str


@dataclass(frozen=True, slots=True)
class Thread:
    """An issue, or with `commits` a pull request: GitHub numbers them in one row.

    `state_reason` empty: none is known.
    """

    id: int
    repository: Repository
    number: int
    title: str
    body: str
    by: Byline
    created_at: datetime
    commits: Commits | None = None
    labels: tuple[str, ...] = ()
    open: bool = True
    state_reason: str = ""

    @property
    def is_pull_request(self) -> bool:
        """Whether it asks to merge something."""
        return self.commits is not None


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the diff a review comment stands. `top_id`: the comment it replies to, 0 if none."""

    path: str
    line: int
    diff_hunk: str
    commit_id: str
    review_id: int
    top_id: int = 0


@dataclass(frozen=True, slots=True)
class Comment:
    """With `place` a review comment, otherwise one of the conversation."""

    id: int
    thread: Thread
    body: str
    by: Byline
    created_at: datetime
    place: Place | None = None

    @property
    def kind(self) -> CommentKind:
        """Which of the two rows of comments it stands in."""
        return CommentKind.REVIEW if self.place else CommentKind.CONVERSATION


@dataclass(frozen=True, slots=True)
class Reaction:
    """One account's reaction to a thread or comment."""

    id: int
    author: Account
    content: ReactionContent
    created_at: datetime
