"""The GitHub stand-in, driven by githubkit, which is generated from GitHub's OpenAPI description."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar, cast

import aiohttp
import httpx
import jwt
import pytest
import pytest_asyncio
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from githubkit import AppAuthStrategy, AppInstallationAuthStrategy, GitHub
from githubkit.auth import BaseAuthStrategy
from githubkit.cache import MemCacheStrategy
from githubkit.exception import (
    GraphQLFailed,
    RequestError,
    RequestFailed,
    RequestTimeout,
    SecondaryRateLimitExceeded,
)
from githubkit.utils import UNSET, Unset
from githubkit.webhooks import parse
from githubkit_schemas.latest import models  # pyright: ignore[reportMissingTypeStubs]
from githubkit_schemas.latest.types import AppPermissionsType  # pyright: ignore[reportMissingTypeStubs]

from services.sandbox.github_auth import BadCredentialsError, GithubAuth
from services.sandbox.github_domain import Account, Association, Byline, CommentKind
from services.sandbox.github_state import GithubState
from services.sandbox.server import SandboxServer
from services.sandbox.settings import GithubSettings, SandboxSettings
from services.tools.github_reviews import RESOLVE, THREADS

pytestmark = pytest.mark.asyncio

SECRET = "it is a secret to everybody"
APP_ID = 4711
INSTALLATION_ID = 815
REPOSITORY = "acme/rocket"
ANSWER_SECONDS = 5.0
BODY_LIMIT = 65_536


@dataclass(frozen=True)
class Received:
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Receiver:
    """The far end of the webhooks: keeps what arrives, answers what it is told to."""

    url: str = ""
    status: int = 202
    queue: asyncio.Queue[Received] = field(default_factory=asyncio.Queue[Received])

    async def handle(self, request: web.Request) -> web.Response:
        await self.queue.put(Received(dict(request.headers), await request.read()))
        return web.Response(status=self.status, text="noted")

    async def next(self) -> Received:
        return await asyncio.wait_for(self.queue.get(), ANSWER_SECONDS)


@dataclass(frozen=True)
class Stage:
    """A running sandbox with one repository, issue 1 and pull request 2, whose opening webhooks are read.

    It keeps the clients it hands out: `client.rest` holds its client by a weak reference only.
    """

    base: str
    receiver: Receiver
    http: aiohttp.ClientSession
    private_key: str
    clients: list[object] = field(default_factory=list[object])

    async def admin(self, verb: str, path: str, /, **body: object) -> aiohttp.ClientResponse:
        sent = body if verb in ("POST", "PUT") else None
        response = await self.http.request(verb, f"{self.base}/_sandbox{path}", json=sent)
        assert response.status < 300, await response.text()
        return response

    async def say(self, number: int, body: str = "hello", /, **more: object) -> dict[str, object]:
        response = await self.admin(
            "POST", "/github/comments", repository=REPOSITORY, number=number, body=body, **more
        )
        return await response.json()

    async def thread(self, number: int) -> dict[str, object]:
        return await (await self.admin("GET", f"/github/threads/{REPOSITORY}/{number}")).json()

    async def bodies(self, number: int) -> list[str]:
        comments = cast("list[dict[str, str]]", (await self.thread(number))["comments"])
        return [comment["body"] for comment in comments]

    def bot(
        self,
        *,
        permissions: AppPermissionsType | Unset = UNSET,
        repositories: Sequence[str] | Unset = UNSET,
        timeout: float = ANSWER_SECONDS,
    ) -> GitHub[AppInstallationAuthStrategy]:
        auth = AppInstallationAuthStrategy(
            APP_ID, self.private_key, INSTALLATION_ID, permissions=permissions, repositories=repositories
        )
        self.clients.append(bot := client(self.base, auth, timeout))
        return bot

    def app(self) -> GitHub[AppAuthStrategy]:
        auth = AppAuthStrategy(APP_ID, self.private_key)
        self.clients.append(app := client(self.base, auth, ANSWER_SECONDS))
        return app


Auth = TypeVar("Auth", bound=BaseAuthStrategy)


def client(base: str, auth: Auth, timeout: float) -> GitHub[Auth]:
    """With a token cache of its own, as githubkit's default one is shared by the whole process.

    Without the HTTP cache, whose transport forgets the timeout.
    """
    return GitHub(
        auth,
        base_url=f"{base}/github",
        auto_retry=False,
        timeout=timeout,
        cache_strategy=MemCacheStrategy(),
        http_cache=False,
    )


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_pem(key: rsa.RSAPrivateKey) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def public_pem(key: rsa.RSAPrivateKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def settings(key: rsa.RSAPrivateKey, url: str = "", rate_limit_per_hour: int = 5_000) -> GithubSettings:
    return GithubSettings(
        webhook_url=url,
        webhook_secret=SECRET,
        app_id=APP_ID,
        installation_id=INSTALLATION_ID,
        app_public_key=public_pem(key),
        rate_limit_per_hour=rate_limit_per_hour,
    )


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver, app = Receiver(), web.Application()
    app.router.add_post("/webhooks/github", receiver.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/webhooks/github"
    yield receiver
    await runner.cleanup()


@pytest_asyncio.fixture
async def stage(receiver: Receiver, key: rsa.RSAPrivateKey) -> AsyncIterator[Stage]:
    server = SandboxServer(SandboxSettings(settings(key, receiver.url)))
    async with aiohttp.ClientSession() as http:
        stage = Stage(await server.start(), receiver, http, private_pem(key))
        await stage.admin("POST", "/github/repositories", repository=REPOSITORY, private=True)
        await stage.admin(
            "POST", "/github/issues", repository=REPOSITORY, title="It does not fly", body="Why?"
        )
        await stage.admin("POST", "/github/pulls", repository=REPOSITORY, title="Add fuel", deliver=False)
        await receiver.next()
        yield stage
    await server.stop()


# What the App may do


async def test_an_installation_token_is_minted_for_a_valid_jwt_and_accepted(stage: Stage) -> None:
    repository = (await stage.bot().rest.repos.async_get("acme", "rocket")).parsed_data

    assert (repository.full_name, repository.private) == (REPOSITORY, True)
    assert isinstance(repository, models.FullRepository)


async def test_the_minted_token_is_of_the_long_kind_and_lives_an_hour(stage: Stage) -> None:
    before = datetime.now(UTC).replace(microsecond=0)

    grant = (
        await stage.app().rest.apps.async_create_installation_access_token(
            INSTALLATION_ID, data={"permissions": {"issues": "write"}, "repositories": ["rocket"]}
        )
    ).parsed_data

    assert grant.token.startswith(f"ghs_{APP_ID}_")
    assert len(grant.token) > 255
    lives = datetime.fromisoformat(grant.expires_at) - before
    assert timedelta(hours=1) <= lives <= timedelta(hours=1, seconds=ANSWER_SECONDS)
    assert grant.repository_selection == "selected"


async def test_a_token_reaches_no_further_than_its_permissions(stage: Stage) -> None:
    reader = stage.bot(permissions={"issues": "read"})

    assert (await reader.rest.issues.async_get("acme", "rocket", 1)).parsed_data.number == 1
    with pytest.raises(RequestFailed) as refused:
        await reader.rest.issues.async_create_comment("acme", "rocket", 1, body="hello")
    assert refused.value.response.status_code == 403
    assert await stage.bodies(1) == []


async def test_a_token_for_one_repository_does_not_see_another(stage: Stage) -> None:
    await stage.admin("POST", "/github/repositories", repository="acme/other")
    limited = stage.bot(repositories=["rocket"])

    assert (await limited.rest.repos.async_get("acme", "rocket")).parsed_data.name == "rocket"
    with pytest.raises(RequestFailed) as refused:
        await limited.rest.repos.async_get("acme", "other")
    assert refused.value.response.status_code == 404


async def test_a_jwt_of_another_key_mints_nothing(stage: Stage) -> None:
    stranger = private_pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    bot = client(stage.base, AppInstallationAuthStrategy(APP_ID, stranger, INSTALLATION_ID), ANSWER_SECONDS)

    with pytest.raises(RequestError) as refused:
        await bot.rest.repos.async_get("acme", "rocket")
    assert isinstance(refused.value.__cause__, RequestFailed)
    assert refused.value.__cause__.response.status_code == 401


@pytest.mark.parametrize(
    ("iat", "exp", "issuer"),
    [(-60, -1, APP_ID), (-60, 900, APP_ID), (600, 660, APP_ID), (-60, 540, 1)],
    ids=["expired", "expires too far ahead", "issued in the future", "another app"],
)
async def test_a_jwt_out_of_bounds_is_refused(
    key: rsa.RSAPrivateKey, iat: int, exp: int, issuer: int
) -> None:
    now = time.time()
    claims = {"iat": int(now + iat), "exp": int(now + exp), "iss": str(issuer)}
    token = jwt.encode(claims, private_pem(key), algorithm="RS256")
    auth = GithubAuth(settings(key), lambda: datetime.fromtimestamp(now, UTC))

    with pytest.raises(BadCredentialsError):
        auth.check_jwt(f"Bearer {token}")


async def test_an_unsigned_jwt_is_refused_even_without_a_public_key() -> None:
    now = datetime.now(UTC)
    claims = {"iat": now - timedelta(seconds=60), "exp": now + timedelta(minutes=9), "iss": "1"}
    auth = GithubAuth(GithubSettings(), lambda: now)

    with pytest.raises(BadCredentialsError):
        auth.check_jwt("Bearer " + jwt.encode(claims, "x" * 32, algorithm="HS256"))


async def test_a_token_ends_with_its_hour(key: rsa.RSAPrivateKey) -> None:
    now = datetime.now(UTC)
    auth = GithubAuth(settings(key), lambda: now)
    token = auth.mint({}, None).token

    assert token == auth.check_token(f"token {token}").token
    now += timedelta(hours=1)
    with pytest.raises(BadCredentialsError):
        auth.check_token(f"token {token}")


async def test_revoked_tokens_are_answered_as_github_answers_bad_credentials(stage: Stage) -> None:
    bot = stage.bot()
    await bot.rest.repos.async_get("acme", "rocket")
    await stage.admin("DELETE", "/github/tokens")

    with pytest.raises(RequestFailed) as refused:
        await bot.rest.repos.async_get("acme", "rocket")
    assert refused.value.response.status_code == 401
    assert refused.value.response.json() == {
        "message": "Bad credentials",
        "documentation_url": "https://docs.github.com/rest",
        "status": "401",
    }


# What the App asks about itself


async def test_the_app_reads_what_it_is_and_where_it_is_installed(stage: Stage) -> None:
    apps = stage.app().rest.apps

    app = (await apps.async_get_authenticated()).parsed_data
    (installation,) = (await apps.async_list_installations()).parsed_data
    of_repository = (await apps.async_get_repo_installation("acme", "rocket")).parsed_data

    assert app is not None
    assert (app.slug, set(app.events)) == ("astra-atlas", set(installation.events))
    assert (installation.id, installation.app_id) == (INSTALLATION_ID, APP_ID)
    assert of_repository.id == INSTALLATION_ID
    assert isinstance(of_repository.account, models.SimpleUser)
    assert of_repository.account.login == "acme"
    assert of_repository.permissions.issues == "write"


async def test_the_hooks_configuration_shows_a_secret_as_stars(stage: Stage) -> None:
    config = (await stage.app().rest.apps.async_get_webhook_config_for_app()).parsed_data

    assert (config.url, config.content_type, config.secret) == (stage.receiver.url, "json", "********")


async def test_an_app_that_is_installed_nowhere_gets_no_token(key: rsa.RSAPrivateKey) -> None:
    server = SandboxServer(SandboxSettings(replace(settings(key), installed=False)))
    base = await server.start()
    app = client(base, AppAuthStrategy(APP_ID, private_pem(key)), ANSWER_SECONDS)

    assert (await app.rest.apps.async_list_installations()).parsed_data == []
    with pytest.raises(RequestFailed) as refused:
        await app.rest.apps.async_create_installation_access_token(INSTALLATION_ID)
    assert refused.value.response.status_code == 404
    await server.stop()


async def test_a_suspended_installation_says_so_and_gets_no_token(key: rsa.RSAPrivateKey) -> None:
    server = SandboxServer(SandboxSettings(replace(settings(key), suspended=True)))
    base = await server.start()
    app = client(base, AppAuthStrategy(APP_ID, private_pem(key)), ANSWER_SECONDS)

    (installation,) = (await app.rest.apps.async_list_installations()).parsed_data
    assert installation.suspended_at is not None
    with pytest.raises(RequestFailed) as refused:
        await app.rest.apps.async_create_installation_access_token(INSTALLATION_ID)
    assert refused.value.response.status_code == 403
    await server.stop()


# Threads, comments, reactions


async def test_issue_and_pull_request_have_githubs_shape(stage: Stage) -> None:
    rest = stage.bot().rest

    issue = (await rest.issues.async_get("acme", "rocket", 1)).parsed_data
    as_issue = (await rest.issues.async_get("acme", "rocket", 2)).parsed_data
    pull_request = (await rest.pulls.async_get("acme", "rocket", 2)).parsed_data

    assert (issue.title, issue.body, issue.author_association) == ("It does not fly", "Why?", "MEMBER")
    assert not issue.pull_request
    assert as_issue.pull_request
    assert pull_request.number == 2
    assert pull_request.base.ref == "main"
    with pytest.raises(RequestFailed):
        await rest.pulls.async_get("acme", "rocket", 1)


async def test_the_bots_comment_is_stored_and_told_to_the_app_itself(stage: Stage) -> None:
    made = await stage.bot().rest.issues.async_create_comment("acme", "rocket", 1, body="[R0] Fuel.")

    assert made.status_code == 201
    assert await stage.bodies(1) == ["[R0] Fuel."]
    event = parse("issue_comment", (await stage.receiver.next()).body)
    assert isinstance(event, models.WebhookIssueCommentCreated)
    assert (event.sender.type, event.sender.login) == ("Bot", "astra-atlas[bot]")
    assert made.parsed_data.id == event.comment.id
    assert event.comment.performed_via_github_app
    assert event.comment.performed_via_github_app.id == APP_ID


async def test_comments_come_in_pages_with_links(stage: Stage) -> None:
    for number in range(5):
        await stage.say(1, f"comment {number}", deliver=False)
    list_comments = stage.bot().rest.issues.async_list_comments

    page = await list_comments("acme", "rocket", 1, per_page=2, page=2)

    assert [comment.body for comment in page.parsed_data] == ["comment 2", "comment 3"]
    links = page.raw_response.links
    assert {rel: httpx.URL(links[rel]["url"]).params["page"] for rel in links} == {
        "prev": "1",
        "first": "1",
        "next": "3",
        "last": "3",
    }


async def test_since_leaves_out_older_comments(stage: Stage) -> None:
    await stage.say(1, "now", deliver=False)
    list_comments = stage.bot().rest.issues.async_list_comments
    now = datetime.now(UTC)

    recent = await list_comments("acme", "rocket", 1, since=now - timedelta(minutes=1))
    future = await list_comments("acme", "rocket", 1, since=now + timedelta(minutes=1))

    assert [comment.body for comment in recent.parsed_data] == ["now"]
    assert future.parsed_data == []


async def test_the_comments_of_a_whole_repository_are_listed_since_a_time(stage: Stage) -> None:
    await stage.admin("POST", "/github/repositories", repository="acme/other")
    await stage.admin("POST", "/github/issues", repository="acme/other", title="Elsewhere")
    await stage.admin("POST", "/github/comments", repository="acme/other", number=1, body="elsewhere")
    for number, body in ((1, "one"), (2, "two"), (1, "three")):
        await stage.say(number, body)
    await stage.say(2, "on a line", kind="review")
    rest, hour = stage.bot().rest, timedelta(hours=1)
    issues, pulls = rest.issues, rest.pulls
    said = (
        await issues.async_list_comments_for_repo("acme", "rocket", since=datetime.now(UTC) - hour)
    ).parsed_data
    turned = await issues.async_list_comments_for_repo("acme", "rocket", sort="updated", direction="desc")
    later = await issues.async_list_comments_for_repo("acme", "rocket", since=datetime.now(UTC) + hour)
    lines = (await pulls.async_list_review_comments_for_repo("acme", "rocket", sort="updated")).parsed_data
    page = await issues.async_list_comments_for_repo("acme", "rocket", per_page=2)

    assert all(isinstance(each, models.IssueComment) for each in said)
    assert ["one", "two", "three"] == [each.body for each in said]
    assert ["three", "two", "one"] == [each.body for each in turned.parsed_data]
    assert ([], ["on a line"]) == (later.parsed_data, [each.body for each in lines])
    assert 'rel="next"' in page.headers["Link"]


async def test_issues_are_listed_by_their_last_change(stage: Stage) -> None:
    await stage.say(1, "moves it to the end")
    by_change = stage.bot().rest.issues.async_list_for_repo(
        "acme", "rocket", state="all", sort="updated", direction="asc"
    )
    newest_first = stage.bot().rest.issues.async_list_for_repo("acme", "rocket", state="all")

    assert [2, 1] == [each.number for each in (await by_change).parsed_data]
    assert [2, 1] == [each.number for each in (await newest_first).parsed_data]


async def test_a_reply_joins_the_review_thread_and_a_reply_to_a_reply_is_refused(stage: Stage) -> None:
    top = await stage.say(2, "Why hydrogen?", kind="review", path="src/tank.py", line=7)
    assert isinstance(top["id"], int)
    await stage.receiver.next()
    pulls = stage.bot().rest.pulls

    reply = await pulls.async_create_reply_for_review_comment(
        "acme", "rocket", 2, top["id"], body="It is light."
    )
    with pytest.raises(RequestFailed) as refused:
        await pulls.async_create_reply_for_review_comment(
            "acme", "rocket", 2, reply.parsed_data.id, body="And?"
        )

    assert reply.status_code == 201
    assert (top["id"], "src/tank.py") == (reply.parsed_data.in_reply_to_id, reply.parsed_data.path)
    assert refused.value.response.status_code == 422
    listed = (await pulls.async_list_review_comments("acme", "rocket", 2)).parsed_data
    assert [comment.body for comment in listed] == ["Why hydrogen?", "It is light."]
    event = parse("pull_request_review_comment", (await stage.receiver.next()).body)
    assert isinstance(event, models.WebhookPullRequestReviewCommentCreated)
    assert top["id"] == event.comment.in_reply_to_id


async def test_a_review_thread_that_is_resolved_is_told_as_github_describes_it(stage: Stage) -> None:
    top = await stage.say(2, "Why hydrogen?", kind="review")
    await stage.say(2, "It is light.", kind="review", in_reply_to=top["id"])
    for _ in range(2):
        await stage.receiver.next()
    asked = {"repository": REPOSITORY, "comment": top["id"], "author": "ada"}
    answers = [await (await stage.admin("POST", "/github/resolutions", **asked)).json() for _ in range(2)]

    received = await stage.receiver.next()
    event = parse("pull_request_review_thread", received.body)
    assert isinstance(event, models.WebhookPullRequestReviewThreadResolved)
    assert "pull_request_review_thread" == received.headers["X-GitHub-Event"]
    assert ["Why hydrogen?", "It is light."] == [each.body for each in event.thread.comments]
    assert [True, False] == [bool(each["delivery"]) for each in answers], "there is nothing new to tell"


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("query { viewer { login } }", {}),
        (RESOLVE.replace("resolveReviewThread", "unresolveReviewThread"), {"threadId": "PRRT_nobody"}),
        (RESOLVE, {"threadId": "PRRT_nobody"}),
        (RESOLVE, {}),
        (THREADS, {"owner": "acme", "name": "rocket", "number": 2, "first": 101}),
        (THREADS, {"owner": "acme", "name": "rocket", "number": "2", "first": 1}),
        (THREADS, {"owner": "acme", "name": "nobody", "number": 2, "first": 1}),
    ],
)
async def test_graphql_beyond_the_two_operations_or_with_odd_values_is_an_error_in_a_200(
    stage: Stage, query: str, variables: dict[str, object]
) -> None:
    with pytest.raises(GraphQLFailed):
        await stage.bot().async_graphql(query, variables)


async def test_resolving_a_review_thread_takes_contents_too(stage: Stage) -> None:
    await stage.say(2, "Why hydrogen?", kind="review")
    place = {"owner": "acme", "name": "rocket", "number": 2, "first": 1}
    found = await stage.bot(permissions={"pull_requests": "read"}).async_graphql(THREADS, place)
    [thread] = found["repository"]["pullRequest"]["reviewThreads"]["nodes"]
    with pytest.raises(GraphQLFailed, match="FORBIDDEN"):
        await stage.bot(permissions={"pull_requests": "write"}).async_graphql(
            RESOLVE, {"threadId": thread["id"]}
        )
    assert not (await stage.thread(2))["comments"][0]["resolved"]  # pyright: ignore[reportIndexIssue]


async def test_a_reply_to_an_unknown_comment_is_not_found(stage: Stage) -> None:
    with pytest.raises(RequestFailed) as refused:
        await stage.bot().rest.pulls.async_create_reply_for_review_comment(
            "acme", "rocket", 2, 99, body="Anyone?"
        )
    assert refused.value.response.status_code == 404


async def test_a_body_may_be_as_long_as_githubs_limit_and_no_longer(stage: Stage) -> None:
    create = stage.bot().rest.issues.async_create_comment

    await create("acme", "rocket", 1, body="🚀" * BODY_LIMIT)
    with pytest.raises(RequestFailed) as refused:
        await create("acme", "rocket", 1, body="x" * (BODY_LIMIT + 1))

    assert refused.value.response.status_code == 422
    error = refused.value.response.parsed_data
    assert isinstance(error, models.ValidationError)
    assert error.errors
    assert error.errors[0].message == "Body is too long (maximum is 65536 characters)"
    assert await stage.bodies(1) == ["🚀" * BODY_LIMIT]


@pytest.mark.parametrize("where", ["issues/1", "issues/comments/{}", "pulls/comments/{}"])
async def test_a_reaction_is_made_once_wherever_it_is_asked_for(stage: Stage, where: str) -> None:
    kind, number = ("review", 2) if where.startswith("pulls") else ("issue", 1)
    comment = await stage.say(number, kind=kind)
    path = f"/repos/{REPOSITORY}/{where.format(comment['id'])}/reactions"
    bot = stage.bot()

    made = [
        await bot.arequest("POST", path, json={"content": "eyes"}, response_model=models.Reaction)  # pyright: ignore[reportUnknownMemberType]
        for _ in range(2)
    ]
    listed = await bot.arequest("GET", path, response_model=list[models.Reaction])  # pyright: ignore[reportUnknownMemberType]

    assert [answer.status_code for answer in made] == [201, 200]
    assert made[0].parsed_data.id == made[1].parsed_data.id
    assert [reaction.content for reaction in listed.parsed_data] == ["eyes"]


async def test_every_answer_carries_githubs_headers(stage: Stage) -> None:
    bot = stage.bot()

    first = await bot.rest.repos.async_get("acme", "rocket")
    second = await bot.rest.repos.async_get("acme", "rocket")

    assert first.headers["X-GitHub-Request-Id"] != second.headers["X-GitHub-Request-Id"]
    assert first.headers["X-RateLimit-Limit"] == "5000"
    assert int(second.headers["X-RateLimit-Remaining"]) + 1 == int(first.headers["X-RateLimit-Remaining"])


async def test_an_endpoint_the_stand_in_lacks_is_not_found_in_githubs_shape(stage: Stage) -> None:
    with pytest.raises(RequestFailed) as refused:
        await stage.bot().rest.repos.async_list_branches("acme", "rocket")
    assert refused.value.response.status_code == 404
    assert refused.value.response.json()["message"] == "Not Found"


async def test_ids_are_above_those_of_an_earlier_sandbox() -> None:
    octocat = Byline(Account("octocat"), Association.MEMBER)
    earlier = GithubState(lambda: datetime.now(UTC), first_id=1_000)
    thread = earlier.add_issue(earlier.add_repository(REPOSITORY), "t", "", octocat)
    comment = earlier.add_comment(thread, "hi", octocat)

    assert [comment] == earlier.comments(thread, CommentKind.CONVERSATION)
    assert 1_000 <= thread.id < comment.id


# Webhooks


async def test_a_webhook_is_signed_over_its_raw_bytes_and_names_its_origin(stage: Stage) -> None:
    told = await stage.say(1, "hé 🚀")

    received = await stage.receiver.next()
    digest = hmac.new(SECRET.encode(), received.body, hashlib.sha256).hexdigest()
    assert f"sha256={digest}" == received.headers["X-Hub-Signature-256"]
    assert received.headers["X-GitHub-Event"] == "issue_comment"
    assert received.headers["X-GitHub-Hook-Installation-Target-Type"] == "integration"
    assert str(APP_ID) == received.headers["X-GitHub-Hook-Installation-Target-ID"]
    assert received.headers["User-Agent"].startswith("GitHub-Hookshot/")
    assert received.headers["Content-Type"] == "application/json"
    delivery = told["delivery"]
    assert isinstance(delivery, dict)
    assert (received.headers["X-GitHub-Delivery"], 202) == (delivery["guid"], delivery["status_code"])


@pytest.mark.parametrize(
    ("path", "body", "event", "model"),
    [
        ("issues", {"title": "New"}, "issues", models.WebhookIssuesOpened),
        ("pulls", {"title": "New"}, "pull_request", models.WebhookPullRequestOpened),
        ("comments", {"number": 1}, "issue_comment", models.WebhookIssueCommentCreated),
        (
            "comments",
            {"number": 2, "kind": "pull_request"},
            "issue_comment",
            models.WebhookIssueCommentCreated,
        ),
        (
            "comments",
            {"number": 2, "kind": "review"},
            "pull_request_review_comment",
            models.WebhookPullRequestReviewCommentCreated,
        ),
    ],
)
async def test_each_payload_is_one_githubs_description_allows(
    stage: Stage, path: str, body: dict[str, object], event: str, model: type
) -> None:
    sent = {
        "repository": REPOSITORY,
        "body": "hello",
        "author": "mallory",
        "association": "FIRST_TIME_CONTRIBUTOR",
    }
    await stage.admin("POST", f"/github/{path}", **sent, **body)

    received = await stage.receiver.next()
    payload = parse(event, received.body)
    assert event == received.headers["X-GitHub-Event"]
    assert isinstance(payload, model)
    told = json.loads(received.body)
    assert (told["sender"]["login"], told["installation"]["id"]) == ("mallory", INSTALLATION_ID)
    assert b'"author_association":"FIRST_TIME_CONTRIBUTOR"' in received.body


async def test_a_pull_requests_conversation_is_told_from_an_issues_by_one_key(stage: Stage) -> None:
    await stage.say(1)
    on_issue = parse("issue_comment", (await stage.receiver.next()).body)
    await stage.say(2)
    on_pull_request = parse("issue_comment", (await stage.receiver.next()).body)

    assert isinstance(on_issue, models.WebhookIssueCommentCreated)
    assert isinstance(on_pull_request, models.WebhookIssueCommentCreated)
    assert not on_issue.issue.pull_request
    assert on_pull_request.issue.pull_request


async def test_ping_has_no_action(stage: Stage) -> None:
    await stage.admin("POST", "/github/ping")

    received = await stage.receiver.next()
    assert received.headers["X-GitHub-Event"] == "ping"
    ping = parse("ping", received.body)
    assert isinstance(ping, models.WebhookPing)
    assert b'"action"' not in received.body


async def test_a_failed_delivery_is_not_repeated_until_asked_and_then_is_the_same(stage: Stage) -> None:
    stage.receiver.status = 503
    await stage.say(1)
    failed = await stage.receiver.next()
    apps = stage.app().rest.apps
    [entry, *_] = (await apps.async_list_webhook_deliveries()).parsed_data
    assert (entry.status, entry.status_code, entry.redelivery) == ("Invalid HTTP Response: 503", 503, False)
    assert stage.receiver.queue.empty()

    stage.receiver.status = 202
    answer = await apps.async_redeliver_webhook_delivery(entry.id)
    again = await stage.receiver.next()

    assert answer.status_code == 202
    assert failed.body == again.body
    assert again.headers["X-GitHub-Delivery"] == failed.headers["X-GitHub-Delivery"] == entry.guid
    assert failed.headers["X-Hub-Signature-256"] == again.headers["X-Hub-Signature-256"]
    async with asyncio.timeout(ANSWER_SECONDS):  # the log is written once the receiver's answer is read
        while not (newest := (await apps.async_list_webhook_deliveries()).parsed_data[0]).redelivery:
            await asyncio.sleep(0)
    assert (newest.guid, newest.status) == (entry.guid, "OK")


async def test_the_delivery_log_shows_what_went_over_the_wire(stage: Stage) -> None:
    await stage.say(1, "hello")
    apps = stage.app().rest.apps
    first_page = await apps.async_list_webhook_deliveries(per_page=1)
    [entry] = first_page.parsed_data

    detail = (await apps.async_get_webhook_delivery(entry.id)).parsed_data
    following = await apps.async_list_webhook_deliveries(
        per_page=1, cursor=httpx.URL(first_page.raw_response.links["next"]["url"]).params["cursor"]
    )

    assert detail.status == "OK"
    assert detail.response.payload == "noted"
    assert [older.event for older in following.parsed_data] == ["issues"]


async def test_a_receiver_that_is_not_there_is_logged_as_such(stage: Stage) -> None:
    with_nobody = "http://127.0.0.1:1/"
    await stage.admin("PUT", "/github/webhook", url=with_nobody)

    delivery = (await stage.say(1))["delivery"]

    assert isinstance(delivery, dict)
    assert (delivery["ok"], delivery["status_code"], delivery["problem"]) == (
        False,
        0,
        "failed to connect to host",
    )


async def test_a_lost_webhook_leaves_the_comment(stage: Stage) -> None:
    told = await stage.say(1, "lost", deliver=False)

    assert told["delivery"] is None
    assert await stage.bodies(1) == ["lost"]
    assert stage.receiver.queue.empty()


# Faults


async def test_a_status_fault_hits_as_often_as_declared_and_does_nothing_else(stage: Stage) -> None:
    bot = stage.bot()
    await stage.admin(
        "POST", "/faults", method="POST", path_pattern="*/comments", times=2, action="status:502"
    )

    for _ in range(2):
        with pytest.raises(RequestFailed) as failed:
            await bot.rest.issues.async_create_comment("acme", "rocket", 1, body="hello")
        assert failed.value.response.status_code == 502
    await bot.rest.issues.async_create_comment("acme", "rocket", 1, body="third time")

    assert await stage.bodies(1) == ["third time"]


async def test_drop_after_performs_the_effect_and_answers_nothing(stage: Stage) -> None:
    await stage.admin("POST", "/faults", method="POST", path_pattern="*/comments", action="drop_after")

    with pytest.raises(RequestError):
        await stage.bot().rest.issues.async_create_comment("acme", "rocket", 1, body="did it arrive?")

    assert await stage.bodies(1) == ["did it arrive?"]
    assert b"did it arrive?" in (await stage.receiver.next()).body


async def test_timeout_before_answers_nothing_and_performs_nothing(stage: Stage) -> None:
    await stage.admin("POST", "/faults", method="POST", path_pattern="*/comments", action="timeout_before")
    impatient = stage.bot(timeout=0.3)
    await impatient.rest.repos.async_get("acme", "rocket")

    with pytest.raises(RequestTimeout):
        await impatient.rest.issues.async_create_comment("acme", "rocket", 1, body="lost")

    assert await stage.bodies(1) == []


async def test_a_rate_limit_says_how_long_to_wait(stage: Stage) -> None:
    await stage.admin("POST", "/faults", path_pattern="*/issues/1", action="rate_limit:7:403")

    with pytest.raises(SecondaryRateLimitExceeded) as limited:
        await stage.bot().rest.issues.async_get("acme", "rocket", 1)

    assert limited.value.response.status_code == 403
    assert timedelta(seconds=7) == limited.value.retry_after


async def test_a_delay_is_waited_and_then_the_call_goes_through(stage: Stage) -> None:
    await stage.admin("POST", "/faults", path_pattern="*/issues/1", action="delay:50")
    bot = stage.bot()
    await bot.rest.repos.async_get("acme", "rocket")
    started = time.monotonic()

    issue = (await bot.rest.issues.async_get("acme", "rocket", 1)).parsed_data

    assert issue.number == 1
    assert time.monotonic() - started >= 0.05


async def test_cleared_faults_hit_nothing(stage: Stage) -> None:
    await stage.admin("POST", "/faults", path_pattern="*", times=5, action="status:500")
    await stage.admin("DELETE", "/faults")

    assert (await stage.bot().rest.repos.async_get("acme", "rocket")).status_code == 200
    assert (await (await stage.admin("GET", "/faults")).json()) == {"faults": []}


@pytest.mark.parametrize(
    "action",
    ["explode", "status", "status:200", "status:502:403", "drop_after:1", "delay:-1", "rate_limit:x"],
)
async def test_a_fault_that_makes_no_sense_is_refused(stage: Stage, action: str) -> None:
    body = {"path_pattern": "*", "action": action}
    async with stage.http.post(f"{stage.base}/_sandbox/faults", json=body) as refused:
        assert refused.status == 422


async def test_calls_are_counted_with_those_a_fault_hit(stage: Stage) -> None:
    bot = stage.bot()
    await stage.admin("POST", "/faults", path_pattern="*/issues/1", action="status:500")
    with pytest.raises(RequestFailed):
        await bot.rest.issues.async_get("acme", "rocket", 1)
    await bot.rest.issues.async_get("acme", "rocket", 1)

    calls = (await (await stage.admin("GET", "/calls")).json())["calls"]

    assert {"method": "GET", "path": "/github/repos/acme/rocket/issues/1", "count": 2} in calls


async def test_the_primary_limit_refuses_the_call_too_many(key: rsa.RSAPrivateKey) -> None:
    server = SandboxServer(SandboxSettings(settings(key, rate_limit_per_hour=2)))
    base = await server.start()
    try:
        async with aiohttp.ClientSession() as http:
            answers = [await http.get(f"{base}/github/app") for _ in range(3)]
            assert [answer.status for answer in answers] == [401, 401, 403]
            assert answers[-1].headers["X-RateLimit-Remaining"] == "0"
    finally:
        await server.stop()


# The page


async def test_a_comment_typed_on_the_page_arrives_as_a_webhook(stage: Stage) -> None:
    page = f"{stage.base}/web/github/{REPOSITORY}/issues/1"
    form = {"place": "conversation", "author": "octocat", "standing": "OWNER", "body": "@atlas\r\nwhy?"}

    async with stage.http.post(page, data=form) as answer:
        text = await answer.text()

    assert (200, f"/web/github/{REPOSITORY}/issues/1") == (answer.status, answer.url.path)
    assert "why?" in text
    event = parse("issue_comment", (await stage.receiver.next()).body)
    assert isinstance(event, models.WebhookIssueCommentCreated)
    assert (event.comment.body, event.comment.author_association) == ("@atlas\nwhy?", "OWNER")


async def test_the_page_answers_within_a_review_thread(stage: Stage) -> None:
    top = await stage.say(2, "Why?", kind="review", deliver=False)
    page = f"{stage.base}/web/github/{REPOSITORY}/pull/2"

    form = {"place": str(top["id"]), "author": "octocat", "standing": "MEMBER", "body": "Because."}
    await stage.http.post(page, data=form)

    event = parse("pull_request_review_comment", (await stage.receiver.next()).body)
    assert isinstance(event, models.WebhookPullRequestReviewCommentCreated)
    assert top["id"] == event.comment.in_reply_to_id


async def test_hostile_text_is_shown_and_never_run(stage: Stage) -> None:
    hostile = '</pre><script>alert("$title")</script>'
    issue = {"repository": REPOSITORY, "title": hostile, "body": hostile, "deliver": False}
    await stage.admin("POST", "/github/issues", **issue)

    for path in ("/", f"/web/github/{REPOSITORY}/issues/3"):
        async with stage.http.get(stage.base + path) as answer:
            text = await answer.text()
        assert "&lt;script&gt;alert(&quot;$title&quot;)" in text
        assert "<script>alert" not in text
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


async def test_a_form_of_another_site_writes_nothing(stage: Stage) -> None:
    page = f"{stage.base}/web/github/{REPOSITORY}/issues/1"
    form = {"place": "conversation", "author": "octocat", "standing": "OWNER", "body": "forged"}

    async with stage.http.post(page, data=form, headers={"Origin": "https://evil.example"}) as page_answer:
        assert page_answer.status == 403
    async with stage.http.post(f"{stage.base}/_sandbox/github/comments", data=b"{}") as admin_answer:
        assert admin_answer.status == 415
    assert await stage.bodies(1) == []


@pytest.mark.parametrize("wrong", [{"author": "<b>"}, {"standing": "KING"}, {"place": "7"}, {"body": " "}])
async def test_a_form_that_cannot_be_is_refused_with_what_was_typed(
    stage: Stage, wrong: dict[str, str]
) -> None:
    form = {"place": "conversation", "author": "octocat", "standing": "OWNER", "body": "typed"} | wrong

    async with stage.http.post(f"{stage.base}/web/github/{REPOSITORY}/issues/1", data=form) as answer:
        text = await answer.text()

    assert answer.status == 422
    assert 'role="alert"' in text
    assert form["body"] in text
