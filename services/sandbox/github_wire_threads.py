"""Issues, pull requests, comments and reactions as GitHub's JSON, for REST answers and webhook payloads.

The same rule as in `github_wire`: every required field is there, and empty where the stand-in has nothing.
"""

from __future__ import annotations

from collections import Counter
from urllib.parse import quote

from services.sandbox.github_domain import (
    Comment,
    CommentKind,
    Commits,
    NoSuchThingError,
    Place,
    Reaction,
    ReactionContent,
    Repository,
    Thread,
    stable_id,
)
from services.sandbox.github_state import GithubState
from services.sandbox.github_wire import GithubWire, JsonObject, moment, node_id

_WHOLE_ONLY = frozenset(
    {
        "merged",
        "mergeable",
        "rebaseable",
        "mergeable_state",
        "merged_by",
        "comments",
        "review_comments",
        "maintainer_can_modify",
        "commits",
        "additions",
        "deletions",
        "changed_files",
    }
)
"""What GitHub tells of a pull request only where it is asked for or an event is about it."""


class GithubThreadWire:
    """Reads the counts and reactions it shows from the state."""

    def __init__(self, wire: GithubWire, state: GithubState) -> None:
        self._wire = wire
        self._state = state

    def issue(self, thread: Thread) -> JsonObject:
        """A pull request too is an issue; only its key `pull_request` tells."""
        url = f"{self._repository_url(thread)}/issues/{thread.number}"
        issue: JsonObject = {
            "id": thread.id,
            "node_id": node_id("I", thread.id),
            "url": url,
            "repository_url": self._repository_url(thread),
            "labels_url": f"{url}/labels{{/name}}",
            "comments_url": f"{url}/comments",
            "events_url": f"{url}/events",
            "timeline_url": f"{url}/timeline",
            **self._common(thread),
            "state_reason": thread.state_reason or None,
            "comments": len(self._state.comments(thread, CommentKind.CONVERSATION)),
            "reactions": self._rollup(url, thread.id),
            "performed_via_github_app": None,
        }
        if thread.is_pull_request:
            issue |= {"draft": False, "pull_request": {**self._pull_urls(thread), "merged_at": None}}
        return issue

    def pull_request(self, thread: Thread, commits: Commits) -> JsonObject:
        """A `pull-request`, the one object for REST and webhooks."""
        urls = self._pull_urls(thread)
        url, repository_url = urls["url"], self._repository_url(thread)
        related = {
            "issue": f"{repository_url}/issues/{thread.number}",
            "comments": f"{repository_url}/issues/{thread.number}/comments",
            "review_comments": f"{url}/comments",
            "review_comment": f"{repository_url}/pulls/comments{{/number}}",
            "commits": f"{url}/commits",
            "statuses": f"{repository_url}/statuses/{commits.head_sha}",
        }
        links = {"self": url, "html": urls["html_url"], **related}
        return {
            "id": commits.id,
            "node_id": node_id("PR", commits.id),
            **urls,
            **{f"{name}_url": address for name, address in related.items()},
            **self._common(thread),
            "merged_at": None,
            "merge_commit_sha": None,
            "requested_reviewers": [],
            "requested_teams": [],
            "draft": False,
            "head": self._branch(thread.repository, commits.head_ref, commits.head_sha),
            "base": self._branch(thread.repository, commits.base_ref, commits.base_sha),
            "_links": {name: {"href": address} for name, address in links.items()},
            "auto_merge": None,
            "merged": False,
            "mergeable": None,
            "rebaseable": None,
            "mergeable_state": "unknown",
            "merged_by": None,
            "comments": len(self._state.comments(thread, CommentKind.CONVERSATION)),
            "review_comments": len(self._state.comments(thread, CommentKind.REVIEW)),
            "maintainer_can_modify": False,
            "commits": 1,
            "additions": 1,
            "deletions": 0,
            "changed_files": 1,
        }

    def simple_pull_request(self, thread: Thread) -> JsonObject:
        """A `simple-pull-request`: a pull request without its counts and without what a merge would do."""
        if thread.commits is None:
            raise NoSuchThingError(f"{thread.repository.full_name}#{thread.number} is an issue")
        whole = self.pull_request(thread, thread.commits)
        return {name: value for name, value in whole.items() if name not in _WHOLE_ONLY}

    def comment(self, comment: Comment) -> JsonObject:
        """An `issue-comment` or a `pull-request-review-comment`."""
        if comment.place is not None:
            return self._review_comment(comment, comment.place)
        url = f"{self._repository_url(comment.thread)}/issues/comments/{comment.id}"
        return {
            "url": url,
            "html_url": self.comment_page(comment),
            "issue_url": f"{self._repository_url(comment.thread)}/issues/{comment.thread.number}",
            "id": comment.id,
            "node_id": node_id("IC", comment.id),
            **self._authored(comment, url),
            "performed_via_github_app": self._wire.app() if comment.by.via_app else None,
        }

    def reaction(self, reaction: Reaction) -> JsonObject:
        """A `reaction`."""
        return {
            "id": reaction.id,
            "node_id": node_id("REA", reaction.id),
            "user": self._wire.account(reaction.author),
            "content": reaction.content.value,
            "created_at": moment(reaction.created_at),
        }

    def comment_page(self, comment: Comment) -> str:
        """Where a person reads it."""
        anchor = "discussion_r" if comment.place else "issuecomment-"
        return f"{self.thread_page(comment.thread)}#{anchor}{comment.id}"

    def _review_comment(self, comment: Comment, place: Place) -> JsonObject:
        pull_url = f"{self._repository_url(comment.thread)}/pulls/{comment.thread.number}"
        url = f"{self._repository_url(comment.thread)}/pulls/comments/{comment.id}"
        html_url = self.comment_page(comment)
        links = {"self": url, "html": html_url, "pull_request": pull_url}
        reply: JsonObject = {"in_reply_to_id": place.top_id} if place.top_id else {}
        return {
            "url": url,
            "pull_request_review_id": place.review_id,
            "id": comment.id,
            "node_id": node_id("PRRC", comment.id),
            "diff_hunk": place.diff_hunk,
            "path": place.path,
            "position": 1,
            "original_position": 1,
            "commit_id": place.commit_id,
            "original_commit_id": place.commit_id,
            "html_url": html_url,
            "pull_request_url": pull_url,
            **self._authored(comment, url),
            "_links": {name: {"href": address} for name, address in links.items()},
            "start_line": None,
            "original_start_line": None,
            "start_side": None,
            "line": place.line,
            "original_line": place.line,
            "side": "RIGHT",
            "subject_type": "line",
            **reply,
        }

    def _authored(self, comment: Comment, url: str) -> JsonObject:
        return {
            "user": self._wire.account(comment.by.account),
            "created_at": moment(comment.created_at),
            "updated_at": moment(comment.created_at),
            "body": comment.body,
            "author_association": comment.by.association.value,
            "reactions": self._rollup(url, comment.id),
        }

    def _common(self, thread: Thread) -> JsonObject:
        return {
            "html_url": self.thread_page(thread),
            "number": thread.number,
            "title": thread.title,
            "body": thread.body or None,
            "user": self._wire.account(thread.by.account),
            "author_association": thread.by.association.value,
            "labels": [self._label(thread, name) for name in thread.labels],
            "state": "open" if thread.open else "closed",
            "locked": False,
            "active_lock_reason": None,
            "assignee": None,
            "assignees": [],
            "milestone": None,
            "created_at": moment(thread.created_at),
            "updated_at": moment(self._state.updated_at(thread)),
            "closed_at": None if thread.open else moment(self._state.updated_at(thread)),
        }

    def _label(self, thread: Thread, name: str) -> JsonObject:
        number = stable_id(f"{thread.repository.full_name}/{name}")
        return {
            "id": number,
            "node_id": node_id("LA", number),
            "url": f"{self._repository_url(thread)}/labels/{quote(name)}",
            "name": name,
            "description": None,
            "color": "ededed",
            "default": False,
        }

    def _rollup(self, url: str, subject_id: int) -> JsonObject:
        counts = Counter(reaction.content for reaction in self._state.reactions(subject_id))
        each = {content.value: counts[content] for content in ReactionContent}
        return {"url": f"{url}/reactions", "total_count": counts.total(), **each}

    def _branch(self, repository: Repository, ref: str, commit: str) -> JsonObject:
        return {
            "label": f"{repository.owner.login}:{ref}",
            "ref": ref,
            "sha": commit,
            "user": self._wire.account(repository.owner),
            "repo": self._wire.repository(repository),
        }

    def _repository_url(self, thread: Thread) -> str:
        return f"{self._wire.api}/repos/{thread.repository.full_name}"

    def thread_page(self, thread: Thread) -> str:
        """Where a person reads it."""
        kind = "pull" if thread.is_pull_request else "issues"
        return f"{self._wire.web}/{thread.repository.full_name}/{kind}/{thread.number}"

    def _pull_urls(self, thread: Thread) -> dict[str, str]:
        page = self.thread_page(thread)
        url = f"{self._repository_url(thread)}/pulls/{thread.number}"
        return {"url": url, "html_url": page, "diff_url": f"{page}.diff", "patch_url": f"{page}.patch"}
