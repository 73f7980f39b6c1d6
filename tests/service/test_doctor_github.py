"""`astra doctor --source github` against the GitHub stand-in: all is well, and each fault."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from typer.testing import CliRunner, Result

from aucert.astra.v1 import repository_service_pb2 as pb
from aucert.astra.v1.repository_pb2 import Repository
from services.cli import doctor_github, main, sandbox
from services.cli.doctor import Finding
from services.cli.doctor_github import examine_github
from services.dispatcher.sources.github import is_genuine
from services.sandbox.settings import GithubSettings
from services.tools.github_app import PERMISSIONS
from tests.e2e.story import git, make_repository
from tests.service.github_app_kit import APP_ID, SECRET, app_of, github, new_key, private_pem

GUIDE = Path(__file__).parents[2] / "docs" / "live-github.md"


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return new_key()


@pytest.fixture(scope="module")
def app(key: rsa.RSAPrivateKey) -> GithubSettings:
    return app_of(key)


@asynccontextmanager
async def serving(route: web.RouteDef) -> AsyncIterator[str]:
    """One route; yields where."""
    application = web.Application()
    application.add_routes([route])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def door(secret: str = SECRET) -> AbstractAsyncContextManager[str]:
    """Where the tunnel ends: takes what is signed with the secret, as the gateway does."""

    async def receive(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        if not is_genuine(secret, headers, await request.read()):
            return web.json_response({"reason": "SIGNATURE_INVALID", "detail": "No."}, status=401)
        return web.json_response({"pong": True})

    return serving(web.post("/webhooks/github", receive))


class Registered:
    """Stands where Astra's registry is asked."""

    def __init__(self, *repositories: Repository) -> None:
        self._repositories = repositories
        self.repositories = self

    async def ListRepositories(self, request: pb.ListRepositoriesRequest) -> pb.ListRepositoriesResponse:
        page, rest = self._repositories[: request.page_size], self._repositories[request.page_size :]
        return pb.ListRepositoriesResponse(repositories=page, next_page_token="more" if rest else "")


SetUp = Callable[..., AbstractAsyncContextManager[dict[str, str]]]
Examine = Callable[..., Awaitable[dict[str, Finding]]]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    path = make_repository(tmp_path_factory.mktemp("doctor") / "shop")
    return Repository(slug="acme/shop", clone_url=str(path), source_containers=["github:acme/shop"])


@pytest.fixture
def set_up(
    key: rsa.RSAPrivateKey, app: GithubSettings, shop: Repository, monkeypatch: pytest.MonkeyPatch
) -> SetUp:
    """An App that is set up well, but for what the arguments change; yields the environment."""

    @asynccontextmanager
    async def run(
        *,
        registered: tuple[Repository, ...] | None = (shop,),
        door_secret: str = SECRET,
        webhook_url: str = "",
        environment: Mapping[str, str] | None = None,
        **changed: Any,
    ) -> AsyncIterator[dict[str, str]]:
        @asynccontextmanager
        async def clients(*_: object) -> AsyncIterator[Registered]:
            yield Registered(*(registered or ()))

        if registered is not None:
            monkeypatch.setattr(doctor_github, "operator_clients", clients)
        async with door(door_secret) as public, github(replace(app, **changed)) as url:
            hook = {"url": webhook_url or f"{public}/webhooks/github"}
            await sandbox.call(url, "PUT", "/_sandbox/github/webhook", hook)
            await sandbox.call(url, "POST", "/_sandbox/github/ping")
            yield {
                "GITHUB_API_URL": f"{url}/github",
                "GITHUB_APP_ID": APP_ID,
                "GITHUB_APP_SLUG": "astra-atlas",
                "GITHUB_APP_PRIVATE_KEY": private_pem(key).replace("\n", "\\n"),
                "GITHUB_WEBHOOK_SECRET": SECRET,
                "PUBLIC_BASE_URL": f"{public}/",
                **(environment or {}),
            }

    return run


@pytest.fixture
def examine(set_up: SetUp, tmp_path: Path) -> Examine:
    """The findings by subject; arguments as `set_up` takes them."""

    async def run(**arguments: Any) -> dict[str, Finding]:
        async with set_up(**arguments) as environment:
            findings = await examine_github(tmp_path, environment)
        said = json.dumps([str(each) for each in findings])
        assert SECRET not in said
        assert "PRIVATE KEY" not in said
        assert "ghs_" not in said
        return {each.subject: each for each in findings}

    return run


async def test_an_app_that_is_set_up_well_is_ok_in_every_respect(examine: Examine):
    findings = await examine()
    assert [
        ("app", "ok"),
        ("permissions", "ok"),
        ("events", "ok"),
        ("public url", "ok"),
        ("webhook", "ok"),
        ("deliveries", "ok"),
        ("installation", "ok"),
        ("acme/shop", "ok"),
    ] == [(each.subject, each.verdict) for each in findings.values()]
    assert "1 of the last 1 were taken, ping the newest" in findings["deliveries"].detail
    assert "read, and cloned from this machine at " in findings["acme/shop"].detail


async def test_a_key_of_another_app_is_told_with_githubs_words_and_nothing_else_is_asked(examine: Examine):
    stranger = private_pem(new_key())
    findings = await examine(environment={"GITHUB_APP_PRIVATE_KEY": stranger})
    assert ["app"] == list(findings)
    assert "wrong" == findings["app"].verdict
    assert "A JSON web token could not be decoded" in findings["app"].detail
    assert "generate a new private key" in findings["app"].remedy


async def test_a_key_that_is_none_is_told_before_github_is_asked(examine: Examine):
    findings = await examine(environment={"GITHUB_APP_PRIVATE_KEY": "-----BEGIN NOTHING-----"})
    assert ["settings"] == list(findings)
    assert "GITHUB_APP_PRIVATE_KEY" in findings["settings"].detail


@pytest.mark.parametrize(("theirs", "way"), [(-1, "ahead of"), (1, "behind")])
async def test_a_clock_that_is_off_is_named_before_the_key(examine: Examine, theirs: int, way: str):
    async def refuse(_: web.Request) -> web.Response:
        date = format_datetime(datetime.now(UTC) + timedelta(hours=theirs), usegmt=True)
        return web.json_response({"message": "'iat' is in the future"}, status=401, headers={"Date": date})

    async with serving(web.get("/app", refuse)) as url:
        findings = await examine(environment={"GITHUB_API_URL": url})
    told = rf"'iat' is in the future; this clock is 3[56]\d\d s {way} GitHub's"
    assert re.search(told, findings["app"].detail)
    assert "Set the clock" == findings["app"].remedy


async def test_something_that_is_not_github_is_told_as_such(examine: Examine):
    async with door() as elsewhere:
        findings = await examine(environment={"GITHUB_API_URL": elsewhere})
    assert "wrong" == findings["app"].verdict


async def test_nothing_answering_points_to_the_address(examine: Examine):
    findings = await examine(environment={"GITHUB_API_URL": "http://127.0.0.1:9"})
    assert "http://127.0.0.1:9 does not answer as GitHub does" == findings["app"].detail


async def test_another_slug_than_the_apps_is_told(examine: Examine):
    findings = await examine(environment={"GITHUB_APP_SLUG": "somebody-else"})
    assert "Set GITHUB_APP_SLUG=astra-atlas" == findings["app"].remedy


async def test_a_missing_permission_is_named_with_the_level_needed(examine: Examine):
    findings = await examine(permissions={**PERMISSIONS, "issues": "read"})
    assert ("wrong", "lacking issues: write") == (
        findings["permissions"].verdict,
        findings["permissions"].detail,
    )
    assert "/settings/apps/astra-atlas/permissions" in findings["permissions"].remedy
    assert "wrong" == findings["acme/shop"].verdict


async def test_a_permission_nobody_needs_is_named_and_breaks_nothing(examine: Examine):
    findings = await examine(permissions={**PERMISSIONS, "administration": "write"})
    assert "ok" == findings["permissions"].verdict
    assert findings["permissions"].detail.endswith("; not needed: administration: write")


async def test_permissions_the_owner_has_not_accepted_are_told_of_the_installation(examine: Examine):
    findings = await examine(accepted_permissions={"contents": "read", "metadata": "read"})
    assert "ok" == findings["permissions"].verdict
    assert "lacking contents: write, issues: write, pull_requests: write" in findings["installation"].detail
    assert "no token to answer with" in findings["acme/shop"].detail


async def test_a_missing_event_is_named(examine: Examine):
    findings = await examine(events=("issues", "issue_comment", "pull_request"))
    assert ("wrong", "not subscribed to pull_request_review_comment, pull_request_review_thread") == (
        findings["events"].verdict,
        findings["events"].detail,
    )


async def test_a_hook_that_points_elsewhere_is_told_with_both_addresses(examine: Examine):
    findings = await examine(webhook_url="http://127.0.0.1:9/webhooks/github")
    assert "wrong" == findings["webhook"].verdict
    assert findings["webhook"].detail.startswith(
        "it points to http://127.0.0.1:9/webhooks/github, not to http://"
    )
    assert "failed to connect to host" in findings["deliveries"].detail


async def test_a_hook_without_a_secret_is_told(examine: Examine):
    findings = await examine(webhook_secret="")
    assert "it has no secret" in findings["webhook"].detail
    assert "got 401" in findings["deliveries"].detail


async def test_another_secret_at_github_shows_in_the_deliveries(examine: Examine):
    findings = await examine(webhook_secret="another")
    assert ("ok", "ok") == (findings["webhook"].verdict, findings["public url"].verdict)
    assert "wrong" == findings["deliveries"].verdict
    assert "same webhook secret" in findings["deliveries"].remedy


async def test_a_gateway_that_runs_with_another_secret_is_told(examine: Examine):
    findings = await examine(door_secret="another")
    assert "runs with another GITHUB_WEBHOOK_SECRET" in findings["public url"].detail


async def test_a_public_url_where_nothing_answers_is_told(examine: Examine):
    findings = await examine(environment={"PUBLIC_BASE_URL": "http://127.0.0.1:9"})
    assert "does not answer: ClientConnectorError" in findings["public url"].detail


async def test_a_public_url_where_something_else_answers_is_told(examine: Examine, app: GithubSettings):
    async with github(app) as elsewhere:
        findings = await examine(environment={"PUBLIC_BASE_URL": elsewhere})
    assert "answered 404, and not as Astra does" in findings["public url"].detail


async def test_without_a_public_url_the_rest_is_still_checked(examine: Examine):
    findings = await examine(environment={"PUBLIC_BASE_URL": ""})
    assert ("off", "ok") == (findings["public url"].verdict, findings["webhook"].verdict)


async def test_an_app_that_is_installed_nowhere_is_told_where_to_install_it(examine: Examine):
    findings = await examine(installed=False)
    assert "wrong" == findings["installation"].verdict
    assert findings["installation"].remedy.endswith("/apps/astra-atlas/installations/new")
    assert "no installation of the App covers it" == findings["acme/shop"].detail


async def test_a_suspended_installation_is_told(examine: Examine):
    findings = await examine(suspended=True)
    assert findings["installation"].detail.endswith("suspended")
    assert "403" in findings["acme/shop"].detail


async def test_a_registered_repository_the_app_does_not_cover_is_told(examine: Examine, shop: Repository):
    other = Repository(slug="other", clone_url=shop.clone_url, source_containers=["github:acme/other"])
    findings = await examine(registered=(shop, other))
    assert ("ok", "wrong") == (findings["acme/shop"].verdict, findings["acme/other"].verdict)


async def test_that_not_every_repository_was_looked_at_is_said(
    examine: Examine, shop: Repository, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(doctor_github, "REPOSITORIES_MAX", 1)
    findings = await examine(registered=(shop, shop))
    assert ("off", "more than 1 are registered; the others were not looked at") == (
        findings["repositories"].verdict,
        findings["repositories"].detail,
    )


async def test_a_clone_url_that_leads_nowhere_is_told(examine: Examine, tmp_path: Path):
    gone = Repository(slug="shop", clone_url=str(tmp_path / "gone"), source_containers=["github:acme/shop"])
    findings = await examine(registered=(gone,))
    assert "cannot be cloned from this machine" in findings["acme/shop"].detail


async def test_a_repository_without_a_commit_is_told(examine: Examine, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    git(tmp_path / "empty", "init", "--quiet")
    empty = Repository(slug="shop", clone_url=str(tmp_path / "empty"), source_containers=["github:acme/shop"])
    findings = await examine(registered=(empty,))
    assert "no commit" in findings["acme/shop"].detail


async def test_without_a_registered_repository_the_command_that_registers_one_is_told(examine: Examine):
    findings = await examine(registered=())
    assert "missing" == findings["repositories"].verdict
    assert findings["repositories"].remedy.startswith("astra repositories add ")


async def test_without_a_stack_the_rest_is_still_told(examine: Examine):
    findings = await examine(registered=None)
    assert ("missing", "ok") == (findings["repositories"].verdict, findings["installation"].verdict)
    assert "astra up" in findings["repositories"].remedy


async def test_a_registry_that_does_not_answer_is_told(examine: Examine):
    nowhere = {"ASTRA_TOKEN": "some-token", "ASTRA_ADDRESS": "127.0.0.1:9"}
    findings = await examine(registered=None, environment=nowhere)
    assert ("missing", "ok") == (findings["repositories"].verdict, findings["installation"].verdict)


@pytest.mark.parametrize("half", [{}, {"GITHUB_APP_ID": "4711"}])
async def test_what_is_not_configured_is_not_asked(half: dict[str, str], tmp_path: Path):
    (found,) = await examine_github(tmp_path, half)
    assert found.verdict == ("missing" if half else "off")


# The command


@pytest.fixture
def astra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Awaitable[Result]]:
    """Run `astra …` where no `.env` and no stack is, in a thread of its own as it brings its own loop."""
    monkeypatch.chdir(tmp_path)

    async def run(*arguments: str, **environment: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, main.app, arguments, env=environment)

    return run


async def test_the_guide_shows_what_the_command_prints(
    set_up: SetUp, astra: Callable[..., Awaitable[Result]]
):
    async with set_up() as environment:
        ran = await astra("doctor", "--source", "github", **environment)
    (shown,) = re.findall(r"^```text\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert same_each_time(shown) == same_each_time(ran.stdout)
    assert 0 == ran.exit_code


def same_each_time(text: str) -> str:
    text = re.sub(r"https?://[^/\s]+", "<address>", text)
    return re.sub(r"at [0-9a-f]{7}$", "at <commit>", text, flags=re.MULTILINE)


async def test_what_must_be_mended_makes_the_command_fail(astra: Callable[..., Awaitable[Result]]):
    ran = await astra("doctor", "--source", "github", "--json", GITHUB_APP_ID=APP_ID)
    assert 1 == ran.exit_code
    (found,) = json.loads(ran.stdout)
    assert {"verdict", "subject", "detail", "remedy"} == found.keys()
    assert "missing" == found["verdict"]


async def test_a_source_that_is_off_is_no_failure_and_an_unknown_one_is_wrong_usage(
    astra: Callable[..., Awaitable[Result]],
):
    assert 0 == (await astra("doctor", "--source", "github")).exit_code
    assert 2 == (await astra("doctor", "--source", "telepathy")).exit_code
