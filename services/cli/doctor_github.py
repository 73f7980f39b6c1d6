"""`astra doctor --source github`: asks GitHub, as our App, whether a comment there can become an answer.

Changes nothing and prints no secret. What is asked is here, what the answers mean in `doctor_github_app.py`.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import grpc
from pydantic import ValidationError

from aucert.astra.v1.repository_pb2 import Repository
from aucert.astra.v1.repository_service_pb2 import ListRepositoriesRequest
from aucert.astra.v1.task_run_pb2 import TaskRun
from aucert.common.v1.thread_pb2 import GitHubThread, ThreadAddress
from services.cli.client import operator_clients
from services.cli.doctor import Finding, github_configured
from services.cli.doctor_github_app import (
    WEBHOOK_PATH,
    App,
    judge_app,
    judge_deliveries,
    judge_events,
    judge_hook,
    judge_installation,
    judge_permissions,
    judge_ping,
    refused_app,
)
from services.cli.state import NoStack
from services.common.errors import ServiceError, from_rpc
from services.dispatcher.sources.github import DELIVERY_HEADER, PING, SIGNATURE_HEADER, signature
from services.dispatcher.sources.github_payload import EVENT_HEADER
from services.tools.git import GitError, GitOutputError, GitTimeoutError, Remote, run_git
from services.tools.github_app import PERMISSIONS, AppRefused, GitHubAppClient
from services.tools.github_client import GitHubApp, GitHubClient
from services.tools.settings import ToolsSettings

DELIVERIES_READ = 20
INSTALLATIONS_READ = 100
REPOSITORIES_MAX = 50
DOOR_SECONDS = 10
ANSWER_BYTES_MAX = 64 * 1024
CONTAINER = "github:"


async def examine_github(state_dir: Path, environment: Mapping[str, str]) -> list[Finding]:
    """All that can be found out, in the order in which it should be mended."""
    configured = github_configured(environment)
    if configured.verdict != "ok":
        return [configured]
    try:
        ours = credentials(environment)
    except ValidationError as error:
        wrong = "; ".join(f"{each['loc'][0]} {each['msg']}" for each in error.errors(include_input=False))
        return [Finding("wrong", "settings", wrong, "Paste the whole file GitHub let you download")]
    asked = GitHubAppClient(ours)
    try:
        app = App.of(await asked.get("/app"))
    except AppRefused as refused:
        return [refused_app(refused, ours.app_id)]
    except (ServiceError, LookupError, TypeError):
        told = f"{ours.api_url} does not answer as GitHub does"
        return [Finding("wrong", "app", told, "Look at GITHUB_API_URL and at the way out of this network")]
    public_url = environment.get("PUBLIC_BASE_URL", "").rstrip("/")
    return [
        judge_app(app, environment.get("GITHUB_APP_SLUG", "")),
        judge_permissions(app),
        judge_events(app),
        await _door(public_url, environment["GITHUB_WEBHOOK_SECRET"]),
        *await _or_why_not("webhook", _webhook(asked, app, public_url)),
        *await _or_why_not("installation", _installations(asked, app)),
        *await _or_why_not("repositories", _repositories(state_dir, environment, asked, ours, app)),
    ]


async def _or_why_not(subject: str, asking: Awaitable[list[Finding]]) -> list[Finding]:
    try:
        return await asking
    except (AppRefused, ServiceError) as error:
        return [Finding("wrong", subject, f"not known: {error}".removesuffix("."), "Try again")]


def credentials(environment: Mapping[str, str]) -> GitHubApp:
    """Read as the tools service reads them. Raises ValidationError."""
    names = {each.alias for each in ToolsSettings.model_fields.values()}
    given = {name: value for name, value in environment.items() if name in names}
    settings = ToolsSettings(**{"ASTRA_TOKEN": "unused", **given}, _env_file=None)  # pyright: ignore[reportCallIssue, reportArgumentType] - as in stack.py
    return settings.github_app


async def _webhook(asked: GitHubAppClient, app: App, public_url: str) -> list[Finding]:
    config = await asked.get("/app/hook/config")
    deliveries = await asked.get("/app/hook/deliveries", per_page=DELIVERIES_READ)
    return [judge_hook(app, config, public_url), judge_deliveries(app, deliveries)]


async def _door(public_url: str, secret: str) -> Finding:
    """Knock as GitHub does: a signed ping to the public URL, which Astra answers and does not keep."""
    if not public_url:
        return Finding(
            "off", "public url", "not checked", "Set PUBLIC_BASE_URL to the https address GitHub can reach"
        )
    body = b'{"zen": "astra doctor"}'
    headers = {
        "content-type": "application/json",
        EVENT_HEADER: PING,
        DELIVERY_HEADER: str(uuid.uuid4()),
        SIGNATURE_HEADER: signature(secret, body),
    }
    url = public_url + WEBHOOK_PATH
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DOOR_SECONDS)) as http,
            http.post(url, data=body, headers=headers, allow_redirects=False) as response,
        ):
            return judge_ping(url, response.status, await response.content.read(ANSWER_BYTES_MAX))
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:  # ValueError: a URL that is none
        return Finding(
            "wrong",
            "public url",
            f"{url} does not answer: {type(error).__name__}",
            "Start `astra up` and the tunnel",
        )


async def _installations(asked: GitHubAppClient, app: App) -> list[Finding]:
    found = await asked.get("/app/installations", per_page=INSTALLATIONS_READ)
    if not found:
        return [
            Finding(
                "wrong", "installation", "none: no repository is covered", f"Install it: {app.install_page}"
            )
        ]
    return [judge_installation(app, each) for each in found]


async def _repositories(
    state_dir: Path,
    environment: Mapping[str, str],
    asked: GitHubAppClient,
    ours: GitHubApp,
    app: App,
) -> list[Finding]:
    """One finding for each GitHub container of the first REPOSITORIES_MAX registered repositories."""
    try:
        async with operator_clients(state_dir, environment) as clients:
            request = ListRepositoriesRequest(page_size=REPOSITORIES_MAX)
            listed = await clients.repositories.ListRepositories(request)
    except NoStack as none:
        return [Finding("missing", "repositories", "not known", str(none).removesuffix("."))]
    except grpc.aio.AioRpcError as error:
        return [Finding("missing", "repositories", from_rpc(error).message)]
    reading = GitHubClient(ours)
    found = [
        await _repository(asked, reading, app, each, name.removeprefix(CONTAINER))
        for each in listed.repositories
        for name in each.source_containers
        if name.startswith(CONTAINER)
    ]
    if listed.next_page_token:
        told = f"more than {REPOSITORIES_MAX} are registered; the others were not looked at"
        return [*found, Finding("off", "repositories", told)]
    return found or [
        Finding(
            "missing",
            "repositories",
            "none is registered for GitHub, so no comment starts a run",
            "astra repositories add <slug> <clone url> --container github:<owner>/<name>",
        )
    ]


async def _repository(
    asked: GitHubAppClient, reading: GitHubClient, app: App, repository: Repository, name: str
) -> Finding:
    """Whether a run that starts in this repository could read it, clone it and answer there."""
    try:
        installation_id = int((await asked.get(f"/repos/{name}/installation"))["id"])
    except AppRefused as refused:
        if refused.status != 404:
            return Finding("wrong", name, str(refused), "Try again")
        return Finding("wrong", name, "no installation of the App covers it", f"Add it: {app.install_page}")
    try:
        await asked.try_token(installation_id, PERMISSIONS)
        seen = await reading.request(installation_id, "GET", f"/repos/{name}")
    except AppRefused as refused:
        return Finding("wrong", name, f"no token to answer with: {refused}", "See installation above")
    except ServiceError as error:
        return Finding("wrong", name, f"cannot be read: {error.message}", "Try again")
    if seen["archived"]:
        return Finding("wrong", name, "is archived, so nobody can comment", "Choose another repository")
    return await _clone(reading, repository, name, installation_id)


async def _clone(reading: GitHubClient, repository: Repository, name: str, installation_id: int) -> Finding:
    """Ask git for the remote's HEAD with the credential a run would get."""
    thread = GitHubThread(repository=name, installation_id=installation_id)
    url, where = repository.clone_url, urlsplit(repository.clone_url).hostname or "this machine"
    try:
        credential = await reading.clone_credential(TaskRun(address=ThreadAddress(github=thread)), repository)
        heads = await run_git(["ls-remote", "--end-of-options", url, "HEAD"], remote=Remote(url, credential))
    except (GitError, GitTimeoutError, GitOutputError, ServiceError) as error:
        told = next(iter(str(error).splitlines()))
        return Finding(
            "wrong", name, f"cannot be cloned from {where}: {told}", "Register the right clone URL"
        )
    if not heads:
        return Finding("wrong", name, f"{where} has no commit of it to read", "Push one")
    return Finding(
        "ok", name, f"installation {installation_id}; read, and cloned from {where} at {heads[:7].decode()}"
    )
