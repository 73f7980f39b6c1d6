"""Known secrets in every place that takes one; then a search of everything the platform writes down or says.

The vendors here are as careless as can be: they repeat what they were sent, in texts, in error codes and in
error bodies. The repository holds a token that somebody committed.
"""

from __future__ import annotations

import asyncio
import base64
import io
import os
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import grpc
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from grpc_status import rpc_status
from psycopg.conninfo import conninfo_to_dict
from temporalio.client import Client

from aucert.astra.v1 import token_vault_pb2 as vault
from aucert.astra.v1 import token_vault_service_pb2 as vault_pb
from aucert.astra.v1.repository_service_pb2 import RegisterRepositoryRequest
from aucert.tools.v1 import drive_service_pb2, slack_service_pb2
from aucert.tools.v1.drive_service_pb2_grpc import DriveServiceStub
from aucert.tools.v1.slack_service_pb2_grpc import SlackServiceStub
from services.cli.embedded import EmbeddedTemporal, postgres_binary
from services.cli.state import Secrets
from services.common import children
from services.common.channels import connect
from services.common.logs import configure_logs
from services.tools import git as git_runner
from tests.conftest import PostgresCluster
from tests.e2e.conftest import RunStory
from tests.e2e.story import SCRIPT, Story, git, make_repository

VAULT_KEY = base64.b64encode(b"the vault's own key, recognised!").decode()
ACCESS_TOKEN = "ya29.seeded-access-token-0123456789"
ENVIRONMENT = {
    "VAULT_KEY": f"seeded:{VAULT_KEY}",
    "SLACK_SIGNING_SECRET": "seeded-slack-signing-secret",
    "SLACK_BOT_TOKEN": "xoxb-seeded-of-the-environment",
    "PLANE_WEBHOOK_SECRET": "plane_wh_seeded",
    "PLANE_API_KEY": "plane_api_seeded0123456789abcdef",
    "GOOGLE_CLIENT_SECRET": "GOCSPX-seeded-client-secret",
    "GOOGLE_REFRESH_TOKEN": "1//seeded-refresh-token",
    "DRIVE_CHANNEL_TOKEN": "seeded-drive-channel-token",
}
IN_VAULT = {
    "slack": vault.Credential(slack=vault.SlackCredential(bot_token="xoxb-seeded-of-the-vault")),
    "brave": vault.Credential(brave=vault.BraveCredential(api_key="BSA-seeded-subscription-key")),
}
ASKED = "@atlas where did you put the keys, and how is the cart built?"
CALLS = {
    "repo_read_file": {"path": "leaked.env"},
    "repo_search_text": {"pattern": "TOKEN="},
    "web_search": {"query": "cart"},
    "slack_list_channels": {},
    "plane_list_projects": {},
    "drive_search_files": {"query": "cart"},
    "github_get_issue": {"number": 99_999},
    "github_get_repository": {},
    "no_such_tool": {},
}


@dataclass
class Careless:
    """Vendors that repeat what they were sent, and a host of a repository. `shown`: what they were sent."""

    folder: Path
    shown: list[str] = field(default_factory=list[str])

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/google/token", self._sign_in)
        app.router.add_get("/brave/res/v1/web/search", self._brave)
        app.router.add_get("/git/{owner}/{name}.git/{path:.*}", self._git)
        app.router.add_route("*", "/slack/{path:.*}", self._slack)
        app.router.add_route("*", "/{path:.*}", self._refuse)
        return app

    async def _sign_in(self, request: web.Request) -> web.Response:
        self.shown.append(await request.text())
        return web.json_response({"access_token": ACCESS_TOKEN, "expires_in": 3600})

    async def _brave(self, request: web.Request) -> web.Response:
        key = self._note(request)
        result = {"title": f"Key {key}", "url": f"https://a.example/?k={key}", "description": f"is {key}"}
        return web.json_response({"web": {"results": [result]}})

    async def _slack(self, request: web.Request) -> web.Response:
        return web.json_response({"ok": False, "error": self._note(request)})

    async def _refuse(self, request: web.Request) -> web.Response:
        key = self._note(request)
        told = {"message": f"{key} may not", "errors": [{"reason": key}], "status": key}
        return web.json_response({"error": told, "detail": key}, status=403)

    async def _git(self, request: web.Request) -> web.StreamResponse:
        self._note(request)
        path = self.folder / "shop.git" / request.match_info["path"]
        if not path.is_file():
            raise web.HTTPNotFound
        return web.FileResponse(path)

    def _note(self, request: web.Request) -> str:
        sent = request.headers
        shown = sent.get("Authorization") or sent.get("X-Api-Key") or sent.get("X-Subscription-Token") or ""
        self.shown.append(shown)
        return shown.removeprefix("Bearer ")


@pytest.fixture
async def careless(tmp_path: Path) -> AsyncIterator[tuple[Careless, str]]:
    """The vendors and their address; the repository below it holds the environment's Slack token."""
    shop = make_repository(tmp_path / "shop")
    (shop / "leaked.env").write_text(f"TOKEN={ENVIRONMENT['SLACK_BOT_TOKEN']}\n")
    git(shop, "add", ".")
    git(shop, "commit", "--quiet", "--message", "Leak")
    git(shop, "clone", "--quiet", "--bare", ".", str(tmp_path / "shop.git"))
    git(tmp_path / "shop.git", "update-server-info")
    vendors = Careless(tmp_path)
    server = TestServer(vendors.app())
    await server.start_server()
    yield vendors, str(server.make_url("")).rstrip("/")
    await server.close()


@pytest.fixture
def logs() -> Iterator[io.StringIO]:
    """What every service of the stack logs, debugging included."""
    written = io.StringIO()
    configure_logs(level="DEBUG", stream=written, pretty=False)
    yield written
    configure_logs(level="WARNING", stream=sys.stdout, pretty=False)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command lines of the children that the tools service starts."""
    lines = list[str]()

    async def noted(command: Any, **how: Any) -> Any:
        lines.append(" ".join(map(os.fsdecode, command)))
        return await children.start_child(command, **how)

    monkeypatch.setattr(git_runner, "start_child", noted)
    return lines


async def test_seeded_secrets_are_found_nowhere(
    story: RunStory,
    careless: tuple[Careless, str],
    credentials: Secrets,
    postgres: PostgresCluster,
    temporal: EmbeddedTemporal,
    logs: io.StringIO,
    started: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    vendors, url = careless
    turns = [{"tool_calls": [{"name": name, "arguments": told} for name, told in CALLS.items()]}, SCRIPT[-1]]
    environment = ENVIRONMENT | {
        "SLACK_API_URL": f"{url}/slack/",
        "PLANE_API_URL": url,
        "PLANE_WORKSPACE": "acme",
        "BRAVE_API_URL": f"{url}/brave",
        "GOOGLE_API_URL": url,
        "GOOGLE_TOKEN_URL": f"{url}/google/token",
        "GOOGLE_CLIENT_ID": "an-id",
    }
    async with story(turns, **environment) as told:
        await put_tokens(told, credentials)
        await told.clients.repositories.RegisterRepository(
            RegisterRepositoryRequest(
                slug=told.slug,
                clone_url=f"{url}/git/{told.slug}.git",
                source_containers=[f"github:{told.slug}"],
            )
        )
        await told.comment(ASKED)
        (run,) = await told.settled()
        calls = await told.rows("SELECT tool_name, result_text FROM tool_calls")
        opened = await told.rows("SELECT DISTINCT principal, integration FROM audit_events WHERE use <> ''")
        ready = await readiness(told)
        places = {
            "database": await dump(told, postgres),
            "history": await history(temporal, run["workflow_id"]),
            "answers": "\n".join(await told.posts()).encode(),
            "errors": await errors(told, postgres),
            "workspace": files(told.state / "workspace"),
            "arguments": "\n".join(started).encode(),
            "servers": b"\n".join(map(files, tmp_path_factory.getbasetemp().glob("temporal*")))
            + b"\n".join(
                path.read_bytes() for path in tmp_path_factory.getbasetemp().glob("postgres*/*.log")
            ),
        }
    places["logs"] = logs.getvalue().encode()

    assert "success" == run["outcome"]
    texts = {each["tool_name"]: each["result_text"] for each in calls}
    assert texts.keys() == CALLS.keys()
    assert "TOKEN=[redacted]" in texts["repo_read_file"]
    assert "Key [redacted]" in texts["web_search"]
    assert {("agent:atlas", name) for name in ("brave", "github", "slack")} <= {
        (each["principal"], each["integration"]) for each in opened
    }
    assert {"on": True, "off_reason": ""} == ready["vault"]
    sent = " ".join(vendors.shown)
    assert [] == [name for name in used_secrets() if name not in sent], "the vendors were shown less"
    searched = secrets_of(credentials, postgres)
    assert [] == [
        (place, name, form)
        for place, content in places.items()
        for name, secret in searched.items()
        for form in forms(secret)
        if form.encode() in content
    ]
    looked_at = {
        "database": ASKED,
        "history": str(run["id"]),
        "logs": "PostAnswer",
        "arguments": " fetch --quiet ",
    }
    looked_at |= {"answers": "The shop is small", "errors": "VENDOR_REFUSED", "workspace": "[core]"}
    assert [] == [place for place, known in looked_at.items() if known.encode() not in places[place]]


def used_secrets() -> list[str]:
    """What the run must have shown the vendors."""
    names = ("PLANE_API_KEY",)
    tokens = [IN_VAULT["slack"].slack.bot_token, IN_VAULT["brave"].brave.api_key, ACCESS_TOKEN]
    return [*(ENVIRONMENT[name] for name in names), *tokens]


def secrets_of(credentials: Secrets, postgres: PostgresCluster) -> dict[str, str]:
    """Everything that must be found nowhere, by name."""
    pem = [line for line in credentials.app_private_key.splitlines() if len(line) > 40]
    return {
        **{name: value.removeprefix("seeded:") for name, value in ENVIRONMENT.items()},
        "Slack's token in the vault": IN_VAULT["slack"].slack.bot_token,
        "Brave's key in the vault": IN_VAULT["brave"].brave.api_key,
        "Google's access token": ACCESS_TOKEN,
        "GitHub's webhook secret": credentials.webhook_secret,
        **{f"line {number} of the App's private key": line for number, line in enumerate(pem)},
        "an installation token": "ghs_",
        **{f"the token of {name}": token for name, token in postgres.tokens.items()},
    }


def forms(secret: str) -> set[str]:
    """A secret as it may be written."""
    raw = secret.encode()
    return {
        secret,
        quote(secret, safe=""),
        raw.hex(),
        base64.b64encode(raw).decode(),
        base64.b64encode(b"x-access-token:" + raw).decode(),
    }


async def put_tokens(told: Story, credentials: Secrets) -> None:
    """Slack's, Brave's and GitHub's of atlas; the App is the one that the stand-in knows."""
    github = vault.GitHubCredential(app_id="1", private_key=credentials.app_private_key)
    for credential in (*IN_VAULT.values(), vault.Credential(github=github)):
        await told.clients.vault.PutToken(vault_pb.PutTokenRequest(credential=credential, agent_slug="atlas"))


async def readiness(told: Story) -> Any:
    url = f"{told.stack.gateway_url}/readyz"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return await response.json()


async def dump(told: Story, postgres: PostgresCluster) -> bytes:
    """The whole database as pg_dump writes it."""
    name = str(conninfo_to_dict(told.stack.operator_database_url)["dbname"])
    owner = {key: str(value) for key, value in conninfo_to_dict(postgres.urls(name).owner).items()}
    environment = {**os.environ, "PGPASSWORD": owner["password"]}
    process = await asyncio.create_subprocess_exec(
        postgres_binary("pg_dump"),
        *("--inserts", "--host", owner["host"], "--port", owner["port"]),
        *("--username", owner["user"], owner["dbname"]),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert 0 == process.returncode
    return out


async def history(temporal: EmbeddedTemporal, workflow_id: str) -> bytes:
    """Every event of the run's workflow, its payloads as they are."""
    client = await Client.connect(temporal.address)
    fetched = await client.get_workflow_handle(workflow_id).fetch_history()
    return b"\n".join(each.SerializeToString() for each in fetched.events) + fetched.to_json().encode()


async def errors(told: Story, postgres: PostgresCluster) -> bytes:
    """Everything two calls that vendors refuse are answered with, details and all."""
    channel = connect(told.stack.tools_address, postgres.tokens["operator"])
    said: list[bytes] = []
    slack, drive = SlackServiceStub(channel), DriveServiceStub(channel)
    for call in (
        slack.ListChannels(slack_service_pb2.ListChannelsRequest()),
        drive.SearchFiles(drive_service_pb2.SearchFilesRequest(query="cart")),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        status = rpc_status.from_call(caught.value)  # pyright: ignore[reportArgumentType]
        assert status is not None
        said += [str(caught.value).encode(), status.SerializeToString()]
    await channel.close()
    return b"\n".join(said)


def files(folder: Path) -> bytes:
    """All files below a folder."""
    return b"\n".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
