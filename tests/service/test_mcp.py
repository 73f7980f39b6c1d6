"""The catalogue over MCP: the SDK's own client before a gateway and a tools service, with Astra in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent

import gateway.main
import services.tools.main
from aucert.tools.v1 import tool_service_pb2 as pb
from aucert.tools.v1.tool_service_pb2_grpc import ToolServiceStub
from gateway.settings import GatewaySettings
from services.common.channels import connect
from services.tools.settings import ToolsSettings
from tests.service.tools_stage import OUTSIDER, WORKER, Astra, make_repository, serving_astra

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
VERSION = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
}
TAKES = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


@dataclass
class Stage:
    astra: Astra
    url: str
    listed: pb.ListToolsResponse

    @asynccontextmanager
    async def client(self, *, mode: str = "auto", **headers: str) -> AsyncIterator[Client]:
        """The SDK's client, with the worker's token."""
        sent = {"Authorization": f"Bearer {WORKER}", **headers}
        async with httpx2.AsyncClient(headers=sent) as http:
            transport = streamable_http_client(self.url, http_client=http)
            async with Client(transport, mode=mode) as client:  # pyright: ignore[reportArgumentType] - three words
                yield client

    async def post(self, body: bytes | Mapping[str, object], **headers: str) -> httpx2.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with httpx2.AsyncClient() as http:
            return await http.post(self.url, content=content, headers={**TAKES, **headers})


@pytest_asyncio.fixture(scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    folder = tmp_path_factory.mktemp("mcp")
    async with serving_astra() as (astra, astra_address):
        both: dict[str, Any] = {"_env_file": None, "ASTRA_TOKEN": "token", "ASTRA_ADDRESS": astra_address}
        own = ToolsSettings(**both, TOOLS_PORT=0, WORKSPACE_DIR=folder / "workspace")
        async with services.tools.main.running(own) as tools:
            more: dict[str, Any] = {"GATEWAY_PORT": 0, "MCP_HOSTS": "astra.example.com"}
            door = GatewaySettings(**both, **more, TOOLS_ADDRESS=tools.address)
            async with gateway.main.running(door) as served:
                channel = connect(tools.address, WORKER)
                listed = await ToolServiceStub(channel).ListTools(pb.ListToolsRequest())
                await channel.close()
                repository = await asyncio.to_thread(make_repository, folder / "shop")
                for slug in ("acme/shop", "acme/web"):
                    astra.add_repository(slug, repository)
                yield Stage(astra, f"http://{served.address}/mcp", listed)


def words(result: CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_catalogue_is_listed_whole_and_the_same_each_time(stage: Stage, mode: str):
    async with stage.client(mode=mode) as client:
        first = await client.list_tools(cache_mode="bypass")
        second = await client.list_tools(cache_mode="bypass")
    assert first.model_dump_json() == second.model_dump_json()
    assert [each.name for each in stage.listed.tools] == [each.name for each in first.tools]
    known = {each.name: each for each in stage.listed.tools}
    for tool in first.tools:
        assert known[tool.name].description == tool.description
        assert json.loads(known[tool.name].parameters_json) == tool.input_schema
        assert tool.annotations is not None
        assert (True, False) == (tool.annotations.read_only_hint, tool.annotations.destructive_hint)


async def test_a_call_reads_the_repository_the_connection_names_and_answers_in_words_and_typed(stage: Stage):
    async with stage.client(**{"Astra-Repository": "acme/shop"}) as client:
        read = await client.call_tool("repo_read_file", {"path": "README.md"})
        wrong = await client.call_tool("repo_read_file", {"path": "nothing.md"})
    assert not read.is_error
    assert "Sells things." in words(read)
    assert (words(read), 3) == (read.structured_content["text"], read.structured_content["line_count"])
    assert wrong.is_error
    assert {"reason": "PATH_NOT_FOUND", "fixable": True} == wrong.structured_content
    async with stage.client() as client:
        unnamed = await client.call_tool("repo_read_file", {"path": "README.md"})
    assert "RUN_REQUIRED" == unnamed.structured_content["reason"]


@pytest.mark.parametrize(
    ("headers", "status", "reason"),
    [
        ({}, 401, "TOKEN_MISSING"),
        ({"Authorization": f"Basic {WORKER}"}, 401, "TOKEN_MISSING"),
        ({"Authorization": "Bearer nobody"}, 401, "TOKEN_INVALID"),
        ({"X-API-Key": "nobody"}, 401, "TOKEN_INVALID"),
        ({"X-API-Key": OUTSIDER}, 403, "SCOPE_MISSING"),
        ({"X-API-Key": WORKER, "Astra-Repository": "../shop"}, 400, "FIELD_INVALID"),
    ],
)
async def test_a_key_that_does_not_open_is_refused_before_the_message_is_read(
    stage: Stage, headers: dict[str, str], status: int, reason: str
):
    answer = await stage.post(b"no message", **headers)
    assert (status, reason) == (answer.status_code, answer.json()["reason"])
    assert (status == 401) == answer.headers.get("WWW-Authenticate", "").startswith("Bearer")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://localhost:6274"}, 200),
        ({"Host": "astra.example.com"}, 200),
        ({"Host": "evil.example"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
    ],
)
async def test_a_page_of_another_site_cannot_reach_it(stage: Stage, headers: dict[str, str], status: int):
    assert status == (await stage.post(PING, **{"X-API-Key": WORKER, **headers})).status_code


async def test_a_body_too_long_is_refused_and_there_is_no_session_to_open(stage: Stage):
    assert 413 == (await stage.post(b" " * (1024 * 1024 + 1), **{"X-API-Key": WORKER})).status_code
    async with httpx2.AsyncClient() as http:
        opened = await http.get(stage.url, headers={"X-API-Key": WORKER, "Accept": "text/event-stream"})
    assert (405, "POST") == (opened.status_code, opened.headers["Allow"])


async def test_half_a_character_is_the_callers_mistake(stage: Stage):
    told = {"name": "repo_read_file", "arguments": {"path": "\ud800"}, "_meta": META}
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": told}
    named = {"MCP-Protocol-Version": VERSION, "Mcp-Method": "tools/call", "Mcp-Name": "repo_read_file"}
    answer = await stage.post(asked, **{"X-API-Key": WORKER, **named})
    assert "half of a character" in answer.json()["error"]["message"]


async def test_a_list_of_tools_is_for_its_caller_alone(stage: Stage):
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}
    named = {"MCP-Protocol-Version": VERSION, "Mcp-Method": "tools/list"}
    listed = (await stage.post(asked, **{"X-API-Key": WORKER, **named})).json()["result"]
    assert ("private", 0) == (listed["cacheScope"], listed["ttlMs"])


async def test_without_the_tools_service_it_says_that_it_is_off():
    known: dict[str, Any] = {"_env_file": None, "ASTRA_TOKEN": "gateway-token", "GATEWAY_PORT": 0}
    async with gateway.main.running(GatewaySettings(**known)) as served, httpx2.AsyncClient() as http:
        answer = await http.post(f"http://{served.address}/mcp", json=PING)
    assert (503, True) == (answer.status_code, "TOOLS_ADDRESS" in answer.json()["detail"])
