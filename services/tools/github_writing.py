"""Change issues and conversations on GitHub, each once: what to send, and how it is recognised later.

What is made carries the effect's id in a hidden mark; what is changed is recognised by being as asked. A
branch and its pull request are `github_opening`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, timedelta
from typing import Any

from aucert.astra.v1.effect_pb2 import Effect
from aucert.tools.v1 import github_service_pb2 as pb
from services.tools.effects import Change
from services.tools.errors import FieldInvalid, OriginThread
from services.tools.github_access import GitHubRepository, Permission
from services.tools.github_items import issue_of, labels
from services.tools.github_text import effect_marker, harmless, with_marker
from services.tools.vendor_errors import VendorUnavailable

LOOKED_THROUGH_SIZE = 100
LOOKED_THROUGH_PAGES_MAX = 10
CLOCK_SKEW = timedelta(minutes=2)
ORIGIN_TEXT = (
    "This is the thread you were asked in. Your last message is posted there for you, so say it in that, and "
    "write here only into other threads."
)
Json = dict[str, Any]
_STATES: Mapping[int, Mapping[str, str]] = {
    pb.GIT_HUB_ISSUE_STATE_OPEN: {"state": "open"},
    pb.GIT_HUB_ISSUE_STATE_COMPLETED: {"state": "closed", "state_reason": "completed"},
    pb.GIT_HUB_ISSUE_STATE_NOT_PLANNED: {"state": "closed", "state_reason": "not_planned"},
}


def issue_creation(
    repository: GitHubRepository, request: pb.CreateIssueRequest
) -> Change[pb.CreateIssueResponse]:
    """A new issue."""

    async def send(effect: Effect) -> pb.CreateIssueResponse:
        body = with_marker(_said(repository, request.body), effect.effect_id)
        wanted = {"title": _said(repository, request.title), "body": body, "labels": list(request.labels)}
        return told(await repository.write("POST", "/issues", wanted, "issues"))

    async def find(effect: Effect) -> pb.CreateIssueResponse | None:
        params = {"state": "all", "sort": "created", "direction": "desc"}
        found = await find_marked(repository, "/issues", "issues", effect, **params)
        return told(found) if found else None

    def told(found: Json) -> pb.CreateIssueResponse:
        issue = issue_of(found)
        return pb.CreateIssueResponse(
            text=f"Opened {repository.name}#{issue.number}: {issue.url}", issue=issue
        )

    return Change(send, find, pb.CreateIssueResponse, lambda done: done.issue.url)


def issue_update(
    repository: GitHubRepository, request: pb.UpdateIssueRequest
) -> Change[pb.UpdateIssueResponse]:
    """A changed issue. Raises FieldInvalid where nothing is to be changed."""
    path = f"/issues/{request.number}"
    texts = {"title": request.title, "body": request.body}
    wanted: dict[str, object] = {name: _said(repository, text) for name, text in texts.items() if text}
    wanted |= _STATES.get(request.state, {})
    if request.labels:
        wanted["labels"] = list(request.labels)
    if not wanted:
        raise FieldInvalid("Say what to change: title, body, state or labels.")

    async def send(effect: Effect) -> pb.UpdateIssueResponse:
        del effect
        return told(await repository.write("PATCH", path, wanted, "issues"))

    async def find(effect: Effect) -> pb.UpdateIssueResponse | None:
        del effect
        found: Json = await repository.get(path, "issues")
        return told(found) if all(_has(found, name, value) for name, value in wanted.items()) else None

    def told(found: Json) -> pb.UpdateIssueResponse:
        issue = issue_of(found)
        return pb.UpdateIssueResponse(
            text=f"Changed {', '.join(wanted)} of {repository.name}#{issue.number}: {issue.url}", issue=issue
        )

    return Change(send, find, pb.UpdateIssueResponse, lambda done: done.issue.url)


def issue_comment(
    repository: GitHubRepository, request: pb.CommentOnIssueRequest
) -> Change[pb.CommentOnIssueResponse]:
    """A comment in a conversation. Raises OriginThread for the run's own."""
    if _is_origin(repository, request.number, 0):
        raise OriginThread(ORIGIN_TEXT)
    path = f"/issues/{request.number}/comments"

    async def send(effect: Effect) -> pb.CommentOnIssueResponse:
        body = with_marker(_said(repository, request.body), effect.effect_id)
        return told(await repository.write("POST", path, {"body": body}, "issues"))

    async def find(effect: Effect) -> pb.CommentOnIssueResponse | None:
        found = await find_marked(repository, path, "issues", effect)
        return told(found) if found else None

    def told(found: Json) -> pb.CommentOnIssueResponse:
        url = found["html_url"]
        return pb.CommentOnIssueResponse(text=f"Commented: {url}", comment_id=str(found["id"]), url=url)

    return Change(send, find, pb.CommentOnIssueResponse, lambda done: done.url)


def review_reply(
    repository: GitHubRepository, request: pb.ReplyToReviewCommentRequest
) -> Change[pb.ReplyToReviewCommentResponse]:
    """A reply in a thread on a diff; OriginThread for the run's own is raised when it is sent.

    GitHub takes replies to the comment that opens a thread only, so that one is looked up.
    """
    path = f"/pulls/{request.number}/comments"

    async def send(effect: Effect) -> pb.ReplyToReviewCommentResponse:
        named: Json = await repository.get(f"/pulls/comments/{request.comment_id}", "pull_requests")
        top = int(named.get("in_reply_to_id") or named["id"])
        if _is_origin(repository, request.number, top):
            raise OriginThread(ORIGIN_TEXT)
        body = with_marker(_said(repository, request.body), effect.effect_id)
        return told(await repository.write("POST", f"{path}/{top}/replies", {"body": body}, "pull_requests"))

    async def find(effect: Effect) -> pb.ReplyToReviewCommentResponse | None:
        order = {"sort": "created", "direction": "desc"}
        found = await find_marked(repository, path, "pull_requests", effect, **order)
        return told(found) if found else None

    def told(found: Json) -> pb.ReplyToReviewCommentResponse:
        url = found["html_url"]
        return pb.ReplyToReviewCommentResponse(text=f"Replied: {url}", comment_id=str(found["id"]), url=url)

    return Change(send, find, pb.ReplyToReviewCommentResponse, lambda done: done.url)


async def find_marked(
    repository: GitHubRepository, path: str, permission: Permission, effect: Effect, **params: str
) -> Json | None:
    """Look for what an effect made, among what changed since it was written down.

    The id in a mark is ours and unguessable. Raises VendorUnavailable for too much to look through.
    """
    since = effect.created_time.ToDatetime(UTC) - CLOCK_SKEW
    asked: dict[str, str | int] = {**params, "since": since.strftime("%Y-%m-%dT%H:%M:%SZ")}
    for page in range(1, LOOKED_THROUGH_PAGES_MAX + 1):
        found: list[Json] = await repository.get(
            path, permission, per_page=LOOKED_THROUGH_SIZE, page=page, **asked
        )
        for each in found:
            if effect_marker(effect.effect_id) in (each.get("body") or ""):
                return each
        if len(found) < LOOKED_THROUGH_SIZE:
            return None
    raise VendorUnavailable("There is too much to look through for an earlier change.")


def _said(repository: GitHubRepository, text: str) -> str:
    return harmless(text, may_mention=repository.requester)


def _has(found: Json, name: str, value: object) -> bool:
    if name == "labels":
        return set(labels(found)) == set(value)  # pyright: ignore[reportArgumentType] - a list of names
    return (found.get(name) or "") == value


def _is_origin(repository: GitHubRepository, number: int, review_comment_id: int) -> bool:
    """Whether it is the thread the run answers in."""
    here = repository.run.address.github if repository.run else None
    return (
        here is not None
        and here.repository.lower() == repository.name.lower()
        and (here.number, here.review_comment_id) == (number, review_comment_id)
    )
