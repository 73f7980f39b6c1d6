"""Every tool gives the same result by each of its four doors: model call, typed RPC, command line, MCP.

What a tool reads is read by all of them. What it changes is changed once for a run and once for an operator,
who has the other three doors: the same request id makes the second and third find what the first did.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import platform
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pool import Default
from google.protobuf.message_factory import GetMessageClass
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent

from aucert.models.v1.message_pb2 import Part, ToolCall
from aucert.tools.v1.tool_pb2 import TOOL_EFFECT_READ, Tool
from aucert.tools.v1.tool_service_pb2 import CallToolRequest, CallToolResponse, ListToolsRequest
from aucert.tools.v1.tool_service_pb2_grpc import ToolServiceStub
from gateway.mcp.catalogue_server import REQUEST_ID_META
from services.cli import tool_commands
from services.cli.embedded import EmbeddedTemporal
from services.common import metadata as keys
from services.sandbox.server import SandboxServer
from services.sandbox.settings import BraveSettings, SandboxSettings
from tests.conftest import PostgresCluster
from tests.e2e.doors import SHOP, Attempt, Doors, opened
from tests.e2e.every_tool import ARGUMENTS, furnish

GRPCURL = Path(sys.prefix) / "bin" / "grpcurl"
ASTRA = (sys.executable, "-m", "services.cli.main")
PATIENCE_SECONDS = 40.0

pytestmark = pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"), reason="the packaged grpcurl is for these"
)


@dataclass(frozen=True)
class Answer:
    """What a model reads, and the typed response."""

    text: str
    response: Any


@dataclass
class House:
    """A furnished stack, and a run with an open call of every tool."""

    doors: Doors
    catalogue: Mapping[str, Tool]
    words: Mapping[str, str]
    attempt: Attempt

    @property
    def state(self) -> Path:
        return self.doors.folder / "state"

    async def by_model(self, tool: Tool) -> Answer:
        """As the worker calls it inside a run."""
        request = CallToolRequest(tool_name=tool.name, arguments_json=self._arguments(tool, "run"))
        call = [
            (keys.TASK_RUN, self.attempt.task_run_id),
            (keys.CALL_ID, tool.name),
            (keys.FENCE, str(self.attempt.fence)),
        ]
        stub: Any = ToolServiceStub(self.doors.to("tools", "worker"))
        return answered(await stub.CallTool(request, metadata=call, timeout=PATIENCE_SECONDS))

    async def by_grpcurl(self, tool: Tool) -> Answer:
        """JSON in, JSON out."""
        stack = self.doors.stack
        headers = ("authorization: Bearer ${TOKEN}", f"{keys.REPOSITORY}: {SHOP}")
        ran = await printed(
            *(str(GRPCURL), "-plaintext", "-expand-headers"),
            *(part for each in (*headers, f"{keys.REQUEST_ID}: four-{tool.name}") for part in ("-H", each)),
            *("-d", self._arguments(tool), stack.tools_address, tool.method),
            TOKEN=stack.operator_token,
        )
        service, _, method = tool.method.partition("/")
        kind = Default().FindServiceByName(service).FindMethodByName(method).output_type
        response = json_format.Parse(ran, GetMessageClass(kind)())
        shown: Any = json_format.MessageToDict(response, preserving_proto_field_name=True)
        return Answer(shown["text"], shown)

    async def by_command(self, tool: Tool) -> Answer:
        """`astra tools call`, without the second a process of its own takes."""
        shown = io.StringIO()
        with redirect_stdout(shown):
            await tool_commands.call_tool(
                tool.name,
                self._arguments(tool),
                repository=SHOP,
                request_id=f"four-{tool.name}",
                state=self.state,
                as_json=True,
            )
        return answered(json_format.Parse(shown.getvalue(), CallToolResponse()))

    async def by_mcp(self, tool: Tool) -> Answer:
        """The SDK's client, over HTTP."""
        meta: Any = {REQUEST_ID_META: f"four-{tool.name}"}
        async with self.mcp() as client:
            return of_mcp(await client.call_tool(tool.name, json.loads(self._arguments(tool)), meta=meta))

    @asynccontextmanager
    async def mcp(self) -> AsyncIterator[Client]:
        """A client with the operator's key."""
        key = {"Authorization": f"Bearer {self.doors.stack.operator_token}", "Astra-Repository": SHOP}
        async with httpx2.AsyncClient(headers=key) as http:
            transport = streamable_http_client(f"{self.doors.stack.gateway_url}/mcp", http_client=http)
            async with Client(transport, read_timeout_seconds=PATIENCE_SECONDS) as client:
                yield client

    def _arguments(self, tool: Tool, whose: str = "operator") -> str:
        text = json.dumps(ARGUMENTS[tool.name]).replace("<new>", f"fix-by-{whose}")
        for word, known in self.words.items():
            text = text.replace(word, known)
        return text


def answered(response: CallToolResponse) -> Answer:
    assert not response.failed, f"{response.reason}: {response.text}"
    return Answer(response.text, json.loads(response.response_json))


def of_mcp(result: CallToolResult) -> Answer:
    (content,) = result.content
    assert isinstance(content, TextContent)
    assert not result.is_error, content.text
    return Answer(content.text, result.structured_content)


def shape(value: Any) -> Any:
    """What is left of a response without its ids and times."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    return [shape(each) for each in value] if isinstance(value, list) else type(value).__name__


async def printed(*command: str, **environment: str) -> str:
    """What a program prints; it must end well."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    assert process.returncode == 0, (out + err).decode()
    return out.decode()


@pytest.fixture(scope="module")
async def house(
    postgres: PostgresCluster, temporal: EmbeddedTemporal, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        search = SandboxServer(SandboxSettings())
        brave = {"BRAVE_API_URL": f"{await search.start()}/brave", "BRAVE_API_KEY": BraveSettings().api_key}
        stack.push_async_callback(search.stop)
        folder = tmp_path_factory.mktemp("doors")
        doors = await stack.enter_async_context(opened(postgres, temporal, folder, **brave))
        repository_id, words = await furnish(doors)
        listed = await ToolServiceStub(doors.to("tools", "operator")).ListTools(ListToolsRequest())
        attempt = await doors.attempt(await doors.run(repository_id=repository_id, trusted=True))
        calls = [Part(tool_call=ToolCall(call_id=each.name, tool_name=each.name)) for each in listed.tools]
        await doors.commit_turn(attempt, await doors.reserve(attempt), *calls)
        yield House(doors, {each.name: each for each in listed.tools}, words, attempt)


async def test_mcp_lists_what_the_service_lists_and_every_tool_is_tried_here(house: House):
    async with house.mcp() as client:
        listed = [each.name for each in (await client.list_tools()).tools]
    assert list(house.catalogue) == listed
    assert ARGUMENTS.keys() == house.catalogue.keys()


@pytest.mark.parametrize("name", ARGUMENTS)
async def test_a_tool_gives_the_same_result_by_all_four_doors(house: House, name: str):
    tool = house.catalogue[name]
    by_model, by_grpcurl = await house.by_model(tool), await house.by_grpcurl(tool)
    assert by_grpcurl.text
    assert by_grpcurl == await house.by_command(tool)
    assert by_grpcurl == await house.by_mcp(tool)
    if tool.effect == TOOL_EFFECT_READ:
        assert by_model == by_grpcurl
    else:
        assert shape(by_model.response) == shape(by_grpcurl.response)


async def test_the_commands_are_doors_as_processes_of_their_own_too(house: House):
    known = await house.by_model(house.catalogue["repo_read_file"])
    asked = ("repo_read_file", '{"path": "README.md"}')
    shown = await printed(*ASTRA, "tools", "call", *asked, "--state", str(house.state))
    assert f"{known.text}\n" == shown
    served = StdioServerParameters(
        command=ASTRA[0], args=[*ASTRA[1:], "mcp", "--state", str(house.state)], env=dict(os.environ)
    )
    async with Client(served, read_timeout_seconds=PATIENCE_SECONDS) as client:
        assert list(house.catalogue) == [each.name for each in (await client.list_tools()).tools]
        assert known == of_mcp(await client.call_tool("repo_read_file", {"path": "README.md"}))
