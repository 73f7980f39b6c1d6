"""GitHub's issues, pull requests and comments, as the contract has them and as a model reads them."""

from __future__ import annotations

from typing import Any

from aucert.tools.v1 import github_service_pb2 as pb
from services.tools.quoting import one_line, quoted

Json = dict[str, Any]
GHOST = "ghost"
"""GitHub's name for an account that is gone."""


def issue_of(found: Json) -> pb.GitHubIssue:
    """An issue, or a pull request as an issue."""
    return pb.GitHubIssue(
        number=found["number"],
        title=one_line(found["title"]),
        state=found["state"],
        author=author(found),
        url=found["html_url"],
    )


def issue_line(found: Json) -> str:
    """One line of a list."""
    labels = f"  [{label_names(found)}]" if found.get("labels") else ""
    return (
        f"#{found['number']}  {found['state']}{labels}  {one_line(found['title'])}  ({author(found)}, "
        f"{found.get('comments', 0)} comments, updated {found['updated_at']})"
    )


def issue_lines(found: Json) -> list[str]:
    """An issue's own text, with what is known about it."""
    kind = "Pull request" if found.get("pull_request") else "Issue"
    reason = f" as {found['state_reason']}" if found.get("state_reason") else ""
    facts = [f"{found['state']}{reason}", f"opened by {author(found)} on {found['created_at']}"]
    if found.get("labels"):
        facts.append(f"labels {label_names(found)}")
    if found.get("assignees"):
        facts.append("assigned to " + ", ".join(each["login"] for each in found["assignees"]))
    if found.get("locked"):
        facts.append("locked")
    head = f"{kind} #{found['number']}: {one_line(found['title'])}"
    return [head, "; ".join(facts), found["html_url"], *quoted(found.get("body"))]


def comment_lines(found: Json) -> list[str]:
    """A comment of a conversation."""
    return ["", f"Comment by {author(found)} on {found['created_at']}:", *quoted(found.get("body"))]


def pull_request_of(found: Json) -> pb.GitHubPullRequest:
    """A pull request."""
    return pb.GitHubPullRequest(
        number=found["number"],
        title=one_line(found["title"]),
        state="merged" if found.get("merged_at") else found["state"],
        author=author(found),
        head_ref=found["head"]["ref"],
        head_sha=found["head"]["sha"],
        base_ref=found["base"]["ref"],
        url=found["html_url"],
    )


def pull_request_lines(found: Json) -> list[str]:
    """A pull request's own text, with what is known about it."""
    shown = pull_request_of(found)
    head, base = found["head"], found["base"]
    mergeable = {True: "can be merged", False: "cannot be merged as it is"}.get(found.get("mergeable", 0))
    facts = [
        shown.state + (", draft" if found.get("draft") else ""),
        f"opened by {shown.author} on {found['created_at']}",
        *([mergeable] if mergeable and shown.state == "open" else []),
    ]
    return [
        f"Pull request #{shown.number}: {shown.title}",
        "; ".join(facts),
        f"{head['label']} ({head['sha']}) into {base['label']} ({base['sha']})",
        f"{found['commits']} commits, {found['changed_files']} files, "
        f"+{found['additions']} -{found['deletions']}",
        shown.url,
        *quoted(found.get("body")),
    ]


def changed_file_of(found: Json) -> pb.GitHubChangedFile:
    """A file of a pull request."""
    return pb.GitHubChangedFile(
        path=found["filename"],
        status=found["status"],
        additions=found["additions"],
        deletions=found["deletions"],
    )


def changed_file_lines(found: Json) -> list[str]:
    """A file of a pull request with its diff."""
    before = f" (was {found['previous_filename']})" if found.get("previous_filename") else ""
    head = f"{found['filename']}{before}: {found['status']}, +{found['additions']} -{found['deletions']}"
    diff = quoted(found["patch"]) if found.get("patch") else ["(GitHub shows no diff of this file)"]
    return [head, *diff]


def review_comment_of(found: Json) -> pb.GitHubReviewComment:
    """A comment on a diff."""
    return pb.GitHubReviewComment(
        comment_id=str(found["id"]),
        in_reply_to_id=str(found.get("in_reply_to_id") or ""),
        path=found["path"],
        line=found.get("line") or 0,
        author=author(found),
        url=found["html_url"],
    )


def review_comment_lines(found: Json) -> list[str]:
    """A comment on a diff, with where it stands."""
    shown = review_comment_of(found)
    where = f"{shown.path}:{shown.line}" if shown.line else f"{shown.path} (the line has changed since)"
    reply = f", reply to {shown.in_reply_to_id}" if shown.in_reply_to_id else ""
    return [
        f"Comment {shown.comment_id} by {shown.author} at {where}{reply}, {found['created_at']}:",
        *quoted(found.get("body")),
        "",
    ]


def author(found: Json) -> str:
    """Login of who wrote it."""
    return (found.get("user") or {}).get("login") or GHOST


def label_names(found: Json) -> str:
    """Names of its labels; GitHub gives some as text alone."""
    return ", ".join(sorted(labels(found)))


def labels(found: Json) -> list[str]:
    """Names of its labels in GitHub's order."""
    return [each if isinstance(each, str) else one_line(each.get("name")) for each in found["labels"]]
