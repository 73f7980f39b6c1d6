"""The App's manifest asks for what the code reads and calls: all of it, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr

from aucert.astra.v1.effect_pb2 import Effect
from aucert.astra.v1.repository_pb2 import Repository
from aucert.astra.v1.task_run_pb2 import TaskRun
from aucert.astra.v1.thread_post_pb2 import ThreadPost
from aucert.common.v1.thread_pb2 import (
    GIT_HUB_ITEM_KIND_ISSUE,
    GIT_HUB_ITEM_KIND_ISSUE_COMMENT,
    GIT_HUB_ITEM_KIND_REVIEW_COMMENT,
    GitHubThread,
    ThreadAddress,
)
from aucert.tools.v1 import github_service_pb2
from aucert.tools.v1.github_service_pb2 import CreateIssueRequest
from services.cli import sandbox
from services.dispatcher.sources.github_payload import EVENTS
from services.sandbox.settings import GithubSettings
from services.tools.github_access import GitHubRepository
from services.tools.github_app import PERMISSIONS
from services.tools.github_client import GitHubApp, GitHubClient
from services.tools.github_opening import pull_request_opening
from services.tools.github_posts import GitHubPosts
from services.tools.github_reading import get_file
from services.tools.github_threads import get_issue, get_pull_request
from services.tools.github_writing import issue_creation
from services.tools.vendor_errors import VendorRefused
from tests.service.github_app_kit import APP_ID, INSTALLATION_ID, app_of, github, new_key, private_pem

DOCS = Path(__file__).parents[2] / "docs"
POST = ThreadPost(thread_post_id="a-post", text="[R0] Because.")
Call = Callable[[], Awaitable[object]]


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return new_key()


@pytest.fixture(scope="module")
def app(key: rsa.RSAPrivateKey) -> GithubSettings:
    return app_of(key)


async def threads(url: str) -> dict[str, ThreadAddress]:
    """One of each kind, with something of maria's to react to."""
    say = {"repository": "acme/shop", "author": "maria", "body": "@atlas why?"}

    async def commented(**more: object) -> int:
        return (await sandbox.call(url, "POST", "/_sandbox/github/comments", {**say, **more}))["id"]

    await sandbox.call(url, "POST", "/_sandbox/github/pulls", {**say, "title": "Change"})
    on_issue, on_diff = await commented(number=1), await commented(number=2, kind="review")
    issue, comment, review = (
        GIT_HUB_ITEM_KIND_ISSUE,
        GIT_HUB_ITEM_KIND_ISSUE_COMMENT,
        GIT_HUB_ITEM_KIND_REVIEW_COMMENT,
    )
    kinds = {
        "issue": GitHubThread(number=1, item_kind=issue),
        "comment": GitHubThread(number=1, item_kind=comment, item_id=on_issue),
        "diff": GitHubThread(number=2, item_kind=review, item_id=on_diff, review_comment_id=on_diff),
    }
    for thread in kinds.values():
        thread.repository = "acme/shop"
    return {name: ThreadAddress(github=thread) for name, thread in kinds.items()}


async def refused_calls(key: rsa.RSAPrivateKey, settings: GithubSettings) -> set[str]:
    """Make every call the tools service makes of GitHub; returns those this App may not make."""
    async with github(settings) as url:
        secret = SecretStr(private_pem(key))
        client = GitHubClient(GitHubApp(f"{url}/github", APP_ID, secret, INSTALLATION_ID))
        posts, here = GitHubPosts(client), Repository(clone_url=f"{url}/acme/shop.git")
        calls: dict[str, Call] = {"clone": partial(client.clone_credential, TaskRun(), here)}
        for name, address in (await threads(url)).items():
            calls |= {
                f"answer {name}": partial(posts.post, address, POST),
                f"find {name}": partial(posts.find, address, POST),
                f"acknowledge {name}": partial(posts.acknowledge, address),
            }
        await sandbox.call(
            url, "POST", "/_sandbox/github/files", {"repository": "acme/shop", "files": {"a.py": "x = 1\n"}}
        )
        calls |= tool_calls(GitHubRepository("acme/shop", None, INSTALLATION_ID, client))
        return {name for name, call in calls.items() if await is_refused(call)}


def tool_calls(shop: GitHubRepository) -> dict[str, Call]:
    """One call of the tools for each permission and level; what they send in all is tested beside them."""
    opening = github_service_pb2.OpenPullRequestRequest(
        branch="b", title="T", files=[github_service_pb2.GitHubFileChange(path="a.py")]
    )
    effect = Effect(effect_id="an-effect")
    return {
        "read file": partial(get_file, shop, "a.py", "", ""),
        "read issue": partial(get_issue, shop, 1, ""),
        "open issue": partial(issue_creation(shop, CreateIssueRequest(title="T")).send, effect),
        "read pull request": partial(get_pull_request, shop, 2, ""),
        "open pull request": partial(pull_request_opening(shop, opening).send, effect),
    }


async def is_refused(call: Call) -> bool:
    try:
        await call()
    except VendorRefused:
        return True
    return False


def test_the_manifest_names_the_events_that_are_read_and_the_permissions_that_are_needed():
    manifest = json.loads((DOCS / "github-app-manifest.json").read_text())
    assert sorted(EVENTS) == sorted(manifest["default_events"])
    assert PERMISSIONS == manifest["default_permissions"]


def test_the_guides_link_asks_for_what_the_manifest_asks():
    guide = (DOCS / "live-github.md").read_text()
    for name, level in PERMISSIONS.items():
        assert f"&{name}={level}" in guide
    for event in EVENTS:
        assert f"&events[]={event}" in guide


async def test_the_permissions_are_enough_for_every_call(key: rsa.RSAPrivateKey, app: GithubSettings):
    assert set() == await refused_calls(key, app)


@pytest.mark.parametrize(
    ("permission", "refused"),
    [
        ("contents", {"clone", "read file", "open pull request"}),
        (
            "issues",
            {"answer issue", "find issue", "acknowledge issue"}
            | {"answer comment", "find comment", "acknowledge comment"}
            | {"read issue", "open issue"},
        ),
        (
            "pull_requests",
            {"answer diff", "find diff", "acknowledge diff", "read pull request", "open pull request"},
        ),
    ],
)
async def test_none_of_the_permissions_can_be_left_out(
    key: rsa.RSAPrivateKey, app: GithubSettings, permission: str, refused: set[str]
):
    less = {name: level for name, level in PERMISSIONS.items() if name != permission}
    assert refused == await refused_calls(key, replace(app, permissions=less))


@pytest.mark.parametrize(
    ("permission", "refused"),
    [
        ("contents", {"open pull request"}),
        (
            "issues",
            {"answer issue", "acknowledge issue", "answer comment", "acknowledge comment", "open issue"},
        ),
        ("pull_requests", {"answer diff", "acknowledge diff", "open pull request"}),
    ],
)
async def test_reading_alone_neither_answers_nor_changes_anything(
    key: rsa.RSAPrivateKey, app: GithubSettings, permission: str, refused: set[str]
):
    less = {**PERMISSIONS, permission: "read"}
    assert refused == await refused_calls(key, replace(app, permissions=less))
