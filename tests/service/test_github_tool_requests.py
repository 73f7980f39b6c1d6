"""What the GitHub tools send, and what the stand-in answers, is what GitHub's own OpenAPI description allows.

githubkit's client is generated from it: its methods know every parameter, its models every body.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from githubkit import GitHub
from githubkit_schemas.latest import models  # pyright: ignore[reportMissingTypeStubs]
from pydantic import BaseModel, TypeAdapter

from services.tools.github_client import GitHubClient, Reach
from tests.service.github_app_kit import new_key
from tests.service.github_stage import SHOP, github_stage

OF_TOKEN = ("owner", "repo", "headers", "stream")


@dataclass(frozen=True)
class Endpoint:
    """An endpoint of GitHub: the generated method, what it answers with, and the body it takes."""

    method: str
    answer: Any
    body: type[BaseModel] | None = None
    permission: tuple[str, str] = ("metadata", "read")


ISSUES, PULLS = ("issues", "read"), ("pull_requests", "read")
CONTENTS, COMMITS = ("contents", "read"), ("contents", "write")
ENDPOINTS: Mapping[str, Endpoint] = {
    r"GET /repos/\w+/\w+": Endpoint("repos.get", models.FullRepository),
    r"GET /repos/\w+/\w+/contents/.+\.py": Endpoint("repos.get_content", models.ContentFile, None, CONTENTS),
    r"GET /repos/\w+/\w+/contents/\w*": Endpoint(
        "repos.get_content", list[models.ContentDirectoryItems], None, CONTENTS
    ),
    r"GET /search/code": Endpoint("search.code", models.SearchCodeGetResponse200, None, CONTENTS),
    r"GET /search/issues": Endpoint(
        "search.issues_and_pull_requests", models.SearchIssuesGetResponse200, None, ISSUES
    ),
    r"GET /repos/\w+/\w+/issues/\d+": Endpoint("issues.get", models.Issue, None, ISSUES),
    r"GET /repos/\w+/\w+/issues/\d+/comments": Endpoint(
        "issues.list_comments", list[models.IssueComment], None, ISSUES
    ),
    r"GET /repos/\w+/\w+/issues": Endpoint("issues.list_for_repo", list[models.Issue], None, ISSUES),
    r"POST /repos/\w+/\w+/issues": Endpoint(
        "issues.create", models.Issue, models.ReposOwnerRepoIssuesPostBody, ("issues", "write")
    ),
    r"PATCH /repos/\w+/\w+/issues/\d+": Endpoint(
        "issues.update", models.Issue, models.ReposOwnerRepoIssuesIssueNumberPatchBody, ("issues", "write")
    ),
    r"POST /repos/\w+/\w+/issues/\d+/comments": Endpoint(
        "issues.create_comment",
        models.IssueComment,
        models.ReposOwnerRepoIssuesIssueNumberCommentsPostBody,
        ("issues", "write"),
    ),
    r"GET /repos/\w+/\w+/pulls/\d+": Endpoint("pulls.get", models.PullRequest, None, PULLS),
    r"GET /repos/\w+/\w+/pulls/\d+/files": Endpoint("pulls.list_files", list[models.DiffEntry], None, PULLS),
    r"GET /repos/\w+/\w+/pulls/\d+/comments": Endpoint(
        "pulls.list_review_comments", list[models.PullRequestReviewComment], None, PULLS
    ),
    r"GET /repos/\w+/\w+/pulls/comments/\d+": Endpoint(
        "pulls.get_review_comment", models.PullRequestReviewComment, None, PULLS
    ),
    r"POST /repos/\w+/\w+/pulls/\d+/comments/\d+/replies": Endpoint(
        "pulls.create_reply_for_review_comment",
        models.PullRequestReviewComment,
        models.ReposOwnerRepoPullsPullNumberCommentsCommentIdRepliesPostBody,
        ("pull_requests", "write"),
    ),
    r"GET /repos/\w+/\w+/pulls": Endpoint("pulls.list", list[models.PullRequestSimple], None, PULLS),
    r"POST /repos/\w+/\w+/pulls": Endpoint(
        "pulls.create", models.PullRequest, models.ReposOwnerRepoPullsPostBody, ("pull_requests", "write")
    ),
    r"GET /repos/\w+/\w+/git/ref/heads/.+": Endpoint("git.get_ref", models.GitRef, None, CONTENTS),
    r"GET /repos/\w+/\w+/git/commits/\w+": Endpoint("git.get_commit", models.GitCommit, None, CONTENTS),
    r"POST /repos/\w+/\w+/git/trees": Endpoint(
        "git.create_tree", models.GitTree, models.ReposOwnerRepoGitTreesPostBody, COMMITS
    ),
    r"POST /repos/\w+/\w+/git/commits": Endpoint(
        "git.create_commit", models.GitCommit, models.ReposOwnerRepoGitCommitsPostBody, COMMITS
    ),
    r"POST /repos/\w+/\w+/git/refs": Endpoint(
        "git.create_ref", models.GitRef, models.ReposOwnerRepoGitRefsPostBody, COMMITS
    ),
}
CALLS: list[tuple[str, dict[str, object]]] = [
    ("github_get_repository", {}),
    ("github_get_file", {"path": "src/cart.py", "ref": "use-sets"}),
    ("github_get_file", {"path": "src"}),
    ("github_search_code", {"query": "cart"}),
    ("github_search_issues", {"query": "why"}),
    ("github_get_issue", {"number": 3}),
    ("github_create_issue", {"title": "T", "body": "B", "labels": ["bug"]}),
    ("github_update_issue", {"number": 3, "title": "T2", "state": "not_planned", "labels": ["bug", "x"]}),
    ("github_comment_on_issue", {"number": 3, "body": "B"}),
    ("github_get_pull_request", {"number": 2}),
    ("github_list_pull_request_files", {"number": 2}),
    ("github_list_review_comments", {"number": 2}),
    ("github_reply_to_review_comment", {"number": 2, "body": "B"}),
    ("github_open_pull_request", {"branch": "b", "title": "T", "files": [{"path": "a", "content": "x"}]}),
]
ASKED_AGAIN = ("*/issues", "*/issues/3/comments", "*/issues/3", "*/replies", "*/pulls")
"""Writes that GitHub fails to confirm, so that the requests which look for them are made too."""


@dataclass(frozen=True)
class Made:
    """A request and its answer."""

    call: str
    json: Mapping[str, object] | None
    params: Mapping[str, object] | None
    reach: Reach | None
    answer: object


async def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Made]:
    """Every request of a call of each tool that GitHub answers with success."""
    requests: list[Made] = []
    request = GitHubClient.request

    async def noted(self: GitHubClient, installation_id: int, method: str, path: str, **more: Any) -> Any:
        answer = await request(self, installation_id, method, path, **more)
        found = Made(f"{method} {path}", more.get("json"), more.get("params"), more.get("reach"), answer)
        requests.append(found)
        return answer

    monkeypatch.setattr(GitHubClient, "request", noted)
    async with github_stage(new_key(), tmp_path) as stage:
        await stage.admin("/github/issues", repository=SHOP, title="Three")
        await stage.say("A comment.", number=3)
        comment = await stage.say("Why?", number=2, kind="review")
        for path in ASKED_AGAIN:
            await stage.fault(path, "status_after:500", method="PATCH" if path.endswith("/3") else "POST")
        run = stage.add_run()
        for number, (tool, arguments) in enumerate(CALLS):
            more = {"comment_id": str(comment)} if "reply" in tool else {}
            await stage.text(tool, run=run, call_id=f"t1_{number}", **arguments, **more)
        # The writes whose answers were lost, once more: a refusal is not looked at, an answer is.
        for number, (tool, arguments) in enumerate(CALLS):
            more = {"comment_id": str(comment)} if "reply" in tool else {}
            if "open" not in tool:
                await stage.text(tool, run=run, call_id=f"t2_{number}", **arguments, **more)
        files = [{"path": "a", "content": "x"}]
        await stage.text(
            "github_open_pull_request", run=run, call_id="t3_0", branch="c", title="T", files=files
        )
    return requests


async def test_every_request_and_every_answer_fits_githubs_description(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    met: set[str] = set()
    client: Any = GitHub()  # its namespaces hold it by a weak reference
    for each in await made(tmp_path, monkeypatch):
        (pattern,) = [known for known in ENDPOINTS if re.fullmatch(known, each.call)]
        endpoint = ENDPOINTS[pattern]
        met.add(pattern)
        namespace, _, name = endpoint.method.partition(".")
        signature = inspect.signature(getattr(getattr(client.rest, namespace), name))
        assert set(each.params or {}) <= set(signature.parameters) - set(OF_TOKEN), each.call
        assert (each.json is None) == (endpoint.body is None), each.call
        if endpoint.body is not None:
            assert set(each.json or {}) <= set(endpoint.body.model_fields)
            endpoint.body.model_validate(each.json)
        TypeAdapter(endpoint.answer).validate_python(each.answer)
        assert each.reach is not None
        assert (SHOP, (endpoint.permission,)) == (each.reach.repository, each.reach.permissions), each.call
    assert set(ENDPOINTS) == met
