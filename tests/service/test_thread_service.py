"""ThreadService against the GitHub stand-in, with the ledger of an in-memory Astra."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr, ValidationError

from aucert.astra.v1.repository_pb2 import Repository
from aucert.astra.v1.task_run_pb2 import TaskRun
from aucert.astra.v1.thread_post_pb2 import THREAD_POST_KIND_NOTICE_FAILED, ThreadPost
from aucert.common.v1.thread_pb2 import (
    GIT_HUB_ITEM_KIND_ISSUE,
    GIT_HUB_ITEM_KIND_ISSUE_COMMENT,
    GIT_HUB_ITEM_KIND_REVIEW_COMMENT,
    GitHubThread,
    ManualThread,
    ThreadAddress,
)
from aucert.tools.v1 import thread_service_pb2 as pb
from aucert.tools.v1.thread_service_pb2_grpc import ThreadServiceStub
from services.common.channels import connect
from services.sandbox.server import SandboxServer
from services.sandbox.settings import GithubSettings, SandboxSettings
from services.tools.github_client import GitHubApp, GitHubClient
from services.tools.github_posts import BODY_CHARS_MAX, GitHubPosts
from services.tools.main import running
from services.tools.quoting import INVISIBLE
from services.tools.settings import ToolsSettings
from services.tools.vendor_errors import VendorUnavailable
from tests.service.tools_stage import WORKER, Astra, reason_of, serving_astra

if TYPE_CHECKING:
    from aucert.tools.v1.thread_service_pb2_grpc import ThreadServiceAsyncStub

APP_ID, INSTALLATION_ID = 4711, 815
REPOSITORY = "acme/rocket"
RUN = "6a51c7c5-6a8d-4d58-a1c4-5f9a3c1f8a01"
COMMENTS = "*/issues/*/comments"


@dataclass
class Stage:
    """A tools service before a sandbox with issue 1 and pull request 2."""

    astra: Astra
    threads: ThreadServiceAsyncStub
    http: aiohttp.ClientSession
    sandbox_url: str
    private_key: str = field(repr=False)

    async def admin(self, verb: str, path: str, /, **body: object) -> Any:
        async with self.http.request(verb, f"{self.sandbox_url}/_sandbox{path}", json=body or None) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json() if answer.content_type == "application/json" else None

    async def fault(self, path_pattern: str, action: str, *, times: int = 1, method: str = "POST") -> None:
        await self.admin(
            "POST", "/faults", method=method, path_pattern=path_pattern, times=times, action=action
        )

    async def thread(self, number: int = 1) -> dict[str, Any]:
        return await self.admin("GET", f"/github/threads/{REPOSITORY}/{number}")

    async def bodies(self, number: int = 1) -> list[str]:
        return [comment["body"] for comment in (await self.thread(number))["comments"]]

    async def answer(self, text: str = "[R0] Because.", **thread: Any) -> pb.PostAnswerResponse:
        request = pb.PostAnswerRequest(task_run_id=RUN, fence=1, address=github(**thread), text=text)
        return await self.threads.PostAnswer(request, timeout=30)


def github(number: int = 1, **fields: Any) -> ThreadAddress:
    values: dict[str, Any] = {"repository": REPOSITORY, "repository_id": 42, "number": number}
    return ThreadAddress(github=GitHubThread(**values, installation_id=INSTALLATION_ID, **fields))


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_pem(key: rsa.RSAPrivateKey) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def public_pem(key: rsa.RSAPrivateKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def tools_settings(tmp_path: Path, astra_address: str, **more: Any) -> ToolsSettings:
    return ToolsSettings(
        _env_file=None,
        ASTRA_TOKEN="tools-token",
        ASTRA_ADDRESS=astra_address,
        TOOLS_PORT=0,
        WORKSPACE_DIR=tmp_path / "workspace",
        GITHUB_SETTLE_SECONDS=0.05,
        **more,
    )


@pytest_asyncio.fixture
async def sandbox_url(key: rsa.RSAPrivateKey) -> AsyncGenerator[str, None]:
    github = GithubSettings(app_id=APP_ID, installation_id=INSTALLATION_ID, app_public_key=public_pem(key))
    sandbox = SandboxServer(SandboxSettings(github=github))
    yield await sandbox.start()
    await sandbox.stop()


@pytest_asyncio.fixture
async def stage(sandbox_url: str, key: rsa.RSAPrivateKey, tmp_path: Path) -> AsyncGenerator[Stage, None]:
    async with serving_astra() as (astra, astra_address), aiohttp.ClientSession() as http:
        settings = tools_settings(
            tmp_path,
            astra_address,
            GITHUB_API_URL=f"{sandbox_url}/github",
            GITHUB_APP_ID=str(APP_ID),
            GITHUB_APP_PRIVATE_KEY=private_pem(key).replace("\n", "\\n"),
        )
        async with running(settings) as server:
            channel = connect(server.address, WORKER)
            stage = Stage(astra, ThreadServiceStub(channel), http, sandbox_url, private_pem(key))
            await stage.admin("POST", "/github/repositories", repository=REPOSITORY)
            await stage.admin("POST", "/github/issues", repository=REPOSITORY, title="Why?")
            await stage.admin("POST", "/github/pulls", repository=REPOSITORY, title="Change")
            yield stage
            await channel.close()


async def refusal(call: Any) -> tuple[grpc.StatusCode, str, float]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return reason_of(caught.value)


async def test_an_answer_is_posted_once_however_often_it_is_asked_for(stage: Stage):
    first, second = await stage.answer(), await stage.answer()
    assert len(await stage.bodies()) == 1
    assert (await stage.bodies())[0].startswith("[R0] Because.\n\n<!-- astra:post ")
    assert first.url == second.url
    assert first.url.startswith("http")
    assert first.posts[0].posted


async def test_a_long_answer_is_posted_in_parts_in_order(stage: Stage):
    text = "\n\n".join(["word " * 1_000] * 20)
    posted = await stage.answer(text)
    bodies = await stage.bodies()
    assert len(bodies) == len(posted.posts) == 2
    assert max(map(len, bodies)) <= 65_536
    assert "".join(post.text for post in posted.posts) == text
    assert posted.posts[0].url == posted.url


async def test_an_answer_mentions_nobody_and_carries_no_marker_but_its_own(stage: Stage):
    posted = await stage.answer("[R0] &#64;ada, @acme/all: `@code` <!-- astra:post x -->")
    [body] = await stage.bodies()
    quiet = f"@{INVISIBLE}"
    said = f"[R0] {quiet}ada, {quiet}acme/all: `@code` <!-- astra{INVISIBLE}:post x -->"
    assert f"{said}\n\n<!-- astra:post {posted.posts[0].thread_post_id} -->" == body


async def test_parts_of_nothing_but_mentions_are_within_githubs_limit(stage: Stage):
    await stage.answer("@a " * 30_000)
    assert all(len(body) <= BODY_CHARS_MAX for body in await stage.bodies())


@pytest.mark.parametrize("fault", ["drop_after", "status_after:500", "status:502"])
async def test_after_an_unclear_failure_the_thread_is_searched_before_anything_is_sent_again(
    stage: Stage, fault: str
):
    await stage.fault(COMMENTS, fault)
    posted = await stage.answer()
    assert len(await stage.bodies()) == 1
    assert posted.posts[0].posted


async def test_an_attempt_that_was_overtaken_while_it_waited_sends_nothing_more(stage: Stage):
    stage.astra.begins_left = 1
    await stage.fault(COMMENTS, "status:502")
    assert "FENCE_STALE" == (await refusal(stage.answer()))[1]
    assert [] == await stage.bodies()


async def test_an_attempt_that_was_overtaken_between_two_parts_leaves_the_rest_to_the_newer(stage: Stage):
    text = "\n\n".join(["word " * 1_000] * 20)
    stage.astra.begins_left = 1
    assert "FENCE_STALE" == (await refusal(stage.answer(text)))[1]
    assert 1 == len(await stage.bodies())
    stage.astra.begins_left = None
    await stage.answer(text)
    assert 2 == len(await stage.bodies())


async def test_an_answer_that_was_posted_but_not_recorded_is_found_and_recorded(stage: Stage):
    stage.astra.finish_fails = 1
    assert (await refusal(stage.answer()))[0] == grpc.StatusCode.INTERNAL
    posted = await stage.answer()
    assert len(await stage.bodies()) == 1
    assert posted.posts[0].external_id == str((await stage.thread())["comments"][0]["id"])


async def test_a_part_that_was_not_posted_is_posted_by_the_next_call(stage: Stage):
    text = "\n\n".join(["word " * 1_000] * 20)
    stage.astra.finish_fails = 1
    await refusal(stage.answer(text))
    assert len(await stage.bodies()) == 1
    await stage.answer(text)
    assert len(await stage.bodies()) == 2


async def test_a_vendor_that_stays_away_is_told_and_a_later_call_posts(stage: Stage):
    await stage.fault(COMMENTS, "status:503", times=2)
    assert (await refusal(stage.answer()))[:2] == (grpc.StatusCode.UNAVAILABLE, "VENDOR_UNAVAILABLE")
    assert await stage.bodies() == []
    await stage.answer()
    assert len(await stage.bodies()) == 1


@pytest.mark.parametrize("status", ["403", "429"])
async def test_a_rate_limit_says_how_long(stage: Stage, no_blocks: None, status: str):
    await stage.fault(COMMENTS, f"rate_limit:7:{status}")
    assert await refusal(stage.answer()) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "VENDOR_RATE_LIMITED",
        7.0,
    )
    await stage.answer()
    assert len(await stage.bodies()) == 1


@pytest.mark.parametrize("status", ["403", "404", "410", "422"])
async def test_a_refusal_for_good_is_told_as_one(stage: Stage, status: str):
    await stage.fault(COMMENTS, f"status:{status}")
    assert (await refusal(stage.answer()))[:2] == (grpc.StatusCode.FAILED_PRECONDITION, "VENDOR_REFUSED")


async def test_a_revoked_token_is_replaced_by_the_next_call(stage: Stage):
    await stage.threads.Acknowledge(pb.AcknowledgeRequest(address=github(item_kind=GIT_HUB_ITEM_KIND_ISSUE)))
    await stage.admin("DELETE", "/github/tokens")
    await stage.answer()
    assert len(await stage.bodies()) == 1


async def test_a_review_thread_is_answered_under_its_top_comment(stage: Stage):
    top = await stage.admin(
        "POST", "/github/comments", repository=REPOSITORY, number=2, body="Why?", kind="review"
    )
    await stage.answer(number=2, review_comment_id=top["id"])
    reply = (await stage.thread(2))["comments"][1]
    assert (reply["kind"], reply["in_reply_to"]) == ("review", top["id"])


async def test_a_reply_in_a_review_thread_that_was_not_recorded_is_found(stage: Stage):
    top = await stage.admin(
        "POST", "/github/comments", repository=REPOSITORY, number=2, body="Why?", kind="review"
    )
    await stage.fault("*/replies", "drop_after")
    await stage.answer(number=2, review_comment_id=top["id"])
    assert len(await stage.bodies(2)) == 2


async def test_a_conversation_is_read_up_to_the_item_and_our_words_are_told_from_others(stage: Stage):
    for words in ("one", "two", "three"):
        await stage.admin("POST", "/github/comments", repository=REPOSITORY, number=1, body=words)
    await stage.answer("[R0] Because.")
    asked = await stage.admin("POST", "/github/comments", repository=REPOSITORY, number=1, body="@atlas?")
    await stage.admin("POST", "/github/comments", repository=REPOSITORY, number=1, body="later")
    address = github(item_kind=GIT_HUB_ITEM_KIND_ISSUE_COMMENT, item_id=asked["id"])

    talk = await stage.threads.FetchThread(pb.FetchThreadRequest(address=address, messages_max=3))

    assert [("one", False), ("[R0] Because.", True), ("@atlas?", False)] == [
        (each.text, each.ours) for each in talk.messages
    ]
    assert 2 == talk.left_out_count
    assert str(asked["id"]) == talk.messages[-1].external_id


async def test_of_a_long_conversation_the_first_comment_and_the_last_are_read(stage: Stage):
    for number in range(205):
        await stage.admin("POST", "/github/comments", repository=REPOSITORY, number=1, body=f"say {number}")
    talk = await stage.threads.FetchThread(pb.FetchThreadRequest(address=github(), messages_max=3))
    assert ["say 0", "say 203", "say 204"] == [each.text for each in talk.messages]
    assert 202 == talk.left_out_count


async def test_a_review_thread_is_read_without_the_others_of_its_pull_request(stage: Stage):
    review = {"repository": REPOSITORY, "number": 2, "kind": "review"}
    top = await stage.admin("POST", "/github/comments", **review, body="why?")
    await stage.admin("POST", "/github/comments", **review, body="another")
    await stage.admin("POST", "/github/comments", **review, body="because", in_reply_to=top["id"])
    address = github(2, review_comment_id=top["id"])
    talk = await stage.threads.FetchThread(pb.FetchThreadRequest(address=address))
    assert ["why?", "because"] == [each.text for each in talk.messages]


RESOLVED = pb.ResolveThreadResponse(resolved=True)


async def test_a_review_thread_is_resolved_once_even_if_github_denies_it(stage: Stage):
    review = {"repository": REPOSITORY, "number": 2, "kind": "review"}
    await stage.admin("POST", "/github/comments", **review, body="another")
    top = await stage.admin("POST", "/github/comments", **review, body="why?")
    await stage.admin("POST", "/github/comments", **review, body="because", in_reply_to=top["id"])
    request = pb.ResolveThreadRequest(address=github(2, review_comment_id=top["id"]))

    await stage.fault("*/graphql", "status:502")
    assert "VENDOR_UNAVAILABLE" == (await refusal(stage.threads.ResolveThread(request)))[1]
    await stage.admin(
        "POST", "/faults", method="POST", path_pattern="*/graphql", every=2, times=1, action="drop_after"
    )
    assert "VENDOR_UNAVAILABLE" == (await refusal(stage.threads.ResolveThread(request)))[1]
    assert [False, True, False] == [each["resolved"] for each in (await stage.thread(2))["comments"]]

    await stage.admin("DELETE", "/calls")
    assert RESOLVED == await stage.threads.ResolveThread(request)
    assert [1] == [each["count"] for each in (await stage.admin("GET", "/calls"))["calls"]], "it only looked"


@pytest.mark.parametrize(
    "place", [{}, {"number": 2}, {"number": 2, "review_comment_id": 1}], ids=["issue", "pull", "gone"]
)
async def test_nothing_but_a_review_thread_is_resolved_on_github(stage: Stage, place: dict[str, int]):
    request = pb.ResolveThreadRequest(address=github(**place))
    assert not (await stage.threads.ResolveThread(request)).resolved
    assert ["open", "open"] == [(await stage.thread(each))["state"] for each in (1, 2)]


async def test_what_graphql_refuses_with_200_is_a_refusal(stage: Stage):
    elsewhere = github(1, review_comment_id=1)  # an issue has no review threads
    assert (
        "VENDOR_REFUSED"
        == (await refusal(stage.threads.ResolveThread(pb.ResolveThreadRequest(address=elsewhere))))[1]
    )


async def test_each_kind_of_notice_is_posted_once_beside_the_answer(stage: Stage):
    notice = pb.PostNoticeRequest(
        task_run_id=RUN, fence=1, address=github(), kind=THREAD_POST_KIND_NOTICE_FAILED, text="I gave up."
    )
    first, second = await stage.threads.PostNotice(notice), await stage.threads.PostNotice(notice)
    await stage.answer()
    assert len(await stage.bodies()) == 2
    assert first.url == second.url


@pytest.mark.parametrize("fault", ["drop_after", "status_after:500"])
async def test_a_notice_github_posted_and_denied_is_there_once(stage: Stage, fault: str):
    await stage.fault(COMMENTS, fault)
    notice = pb.PostNoticeRequest(
        task_run_id=RUN, fence=1, address=github(), kind=THREAD_POST_KIND_NOTICE_FAILED, text="I gave up."
    )
    posted = await stage.threads.PostNotice(notice)
    (comment,) = (await stage.thread())["comments"]
    assert comment["html_url"] == posted.url


async def test_eyes_github_showed_and_denied_are_there_once(stage: Stage):
    asked = pb.AcknowledgeRequest(address=github(item_kind=GIT_HUB_ITEM_KIND_ISSUE, item_id=1))
    await stage.fault("*/reactions", "status_after:500")
    assert (await refusal(stage.threads.Acknowledge(asked)))[1] == "VENDOR_UNAVAILABLE"
    await stage.threads.Acknowledge(asked)
    assert ["eyes"] == [each["content"] for each in (await stage.thread())["reactions"]]


async def test_a_post_is_found_by_its_marker_and_another_is_not(stage: Stage):
    posted = (await stage.answer()).posts[0]
    found = await stage.threads.FindPost(
        pb.FindPostRequest(address=github(), thread_post_id=posted.thread_post_id)
    )
    assert (found.found, found.external_id, found.url) == (True, posted.external_id, posted.url)
    assert not (await stage.threads.FindPost(pb.FindPostRequest(address=github(), thread_post_id=RUN))).found


async def test_a_post_on_a_later_page_is_found(stage: Stage):
    for number in range(101):
        await stage.admin("POST", "/github/comments", repository=REPOSITORY, number=1, body=f"say {number}")
    posted = (await stage.answer()).posts[0]
    found = await stage.threads.FindPost(
        pb.FindPostRequest(address=github(), thread_post_id=posted.thread_post_id)
    )
    assert found.external_id == posted.external_id


async def test_what_a_person_wrote_gets_one_pair_of_eyes(stage: Stage):
    comment = await stage.admin("POST", "/github/comments", repository=REPOSITORY, number=1, body="@atlas")
    review = await stage.admin(
        "POST", "/github/comments", repository=REPOSITORY, number=2, body="@atlas", kind="review"
    )
    addresses = [
        github(item_kind=GIT_HUB_ITEM_KIND_ISSUE, item_id=1),
        github(item_kind=GIT_HUB_ITEM_KIND_ISSUE_COMMENT, item_id=comment["id"]),
        github(2, item_kind=GIT_HUB_ITEM_KIND_REVIEW_COMMENT, item_id=review["id"]),
    ]
    for address in [*addresses, *addresses]:
        await stage.threads.Acknowledge(pb.AcknowledgeRequest(address=address))
    issue, pull_request = await stage.thread(1), await stage.thread(2)
    for reacted in (issue, issue["comments"][0], pull_request["comments"][0]):
        assert [each["content"] for each in reacted["reactions"]] == ["eyes"]


async def test_the_answer_of_a_manual_thread_is_in_the_record_alone(stage: Stage):
    address = ThreadAddress(manual=ManualThread())
    request = pb.PostAnswerRequest(task_run_id=RUN, fence=1, address=address, text="x" * 100_000)
    posted = await stage.threads.PostAnswer(request)
    assert posted.url == ""
    assert [(post.posted, post.external_id) for post in posted.posts] == [(True, "record")]
    await stage.threads.Acknowledge(pb.AcknowledgeRequest(address=address))
    assert not (await stage.threads.FindPost(pb.FindPostRequest(address=address, thread_post_id=RUN))).found


async def test_without_credentials_the_source_is_off(tmp_path: Path):
    async with (
        serving_astra() as (_, astra_address),
        running(tools_settings(tmp_path, astra_address)) as server,
    ):
        channel = connect(server.address, WORKER)
        call = ThreadServiceStub(channel).Acknowledge(
            pb.AcknowledgeRequest(address=github(item_kind=GIT_HUB_ITEM_KIND_ISSUE))
        )
        refused = await refusal(call)
        await channel.close()
    assert refused[:2] == (grpc.StatusCode.FAILED_PRECONDITION, "SOURCE_OFF")


async def test_a_request_nobody_answers_ends_in_time(stage: Stage):
    app = GitHubApp(f"{stage.sandbox_url}/github", str(APP_ID), SecretStr(stage.private_key))
    posts = GitHubPosts(GitHubClient(app, timeout_seconds=0.2))
    await stage.fault("*/access_tokens", "timeout_before")
    with pytest.raises(VendorUnavailable):
        async with asyncio.timeout(5):
            await posts.find(github(), ThreadPost(thread_post_id=RUN))


async def test_a_clone_credential_is_made_for_githubs_own_host_only(stage: Stage):
    app = GitHubApp(f"{stage.sandbox_url}/github", str(APP_ID), SecretStr(stage.private_key))
    client = GitHubClient(app)
    run = TaskRun(address=github())
    own = await client.clone_credential(run, Repository(clone_url="https://127.0.0.1/acme/rocket"))
    assert own is not None
    assert own.username == "x-access-token"
    assert own.secret not in repr(own)
    assert await client.clone_credential(run, Repository(clone_url="https://example.com/acme/rocket")) is None
    assert await client.clone_credential(run, Repository(clone_url="/srv/rocket")) is None


def test_a_private_key_that_is_none_stops_the_start(tmp_path: Path):
    with pytest.raises(ValidationError, match="GITHUB_APP_PRIVATE_KEY"):
        tools_settings(tmp_path, "127.0.0.1:1", GITHUB_APP_PRIVATE_KEY="secret")
