"""The connection to one MCP server of others: opened beside start-up, kept, opened again when it broke.

One task holds it, as the SDK wants; calls come from anywhere. While there is none, the reason is at hand and
nothing waits for it. What the answers are worth is left to `external_calls`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import structlog
from pydantic import SecretStr

from services.tools.catalogue import ToolEntry
from services.tools.errors import ArgumentsRefused
from services.tools.external_catalogue import TOOLS_MAX, entries_of, own_name
from services.tools.external_servers import DeclaredServer, KeyMissing, with_keys
from services.tools.quoting import quoted
from services.tools.vendor_errors import SourceOff, VendorUnavailable

if TYPE_CHECKING:
    import httpx2
    from mcp import Client
    from mcp_types import CallToolResult, Tool

CONNECT_SECONDS_MAX = 30.0
REFRESH_SECONDS = 300.0
"""How often the server is asked for its tools anew."""
RETRY_SECONDS_MIN, RETRY_SECONDS_MAX = 1.0, 60.0
PAGES_MAX = 20
BODY_BYTES_MAX = 8 * 1024 * 1024
"""Longest answer that is read of a server reached by HTTP."""
PLAIN = "identity"
NOT_YET = "is being connected to"
SAID_CHARS_MAX = 2_000
QUOTING_LOGGERS = ("client", "mcp.client")
"""The SDK's, which quote an answer they cannot read; it may repeat our key."""
log = structlog.get_logger()


class ExternalServer:
    """A server and its tools. `entries` by their name here and `refused` change as the server's list does.

    `filled` are the declared headers or variables with their keys, `taken` the names of other tools.
    `off_reason` is why it cannot be called; empty: it can.
    """

    def __init__(
        self, name: str, declared: DeclaredServer, filled: Mapping[str, str], taken: Collection[str]
    ) -> None:
        self.name = name
        self.declared = declared
        self.entries: dict[str, ToolEntry] = {}
        self.refused: list[str] = []
        self.off_reason = f"the MCP server {name} {NOT_YET}"
        self._filled = filled
        self._taken = taken
        self._client: Client | None = None
        self._doubted = asyncio.Event()

    async def run(self) -> None:
        """Keep the connection until cancelled."""
        pause = RETRY_SECONDS_MIN
        while True:
            try:
                async with self._connected() as client:
                    await self._keep(client)
            except Exception as error:  # noqa: BLE001 - whatever broke, it is tried again
                if not self.off_reason:  # it was of use: who only lets us connect is not asked more often
                    pause = RETRY_SECONDS_MIN
                kind = _kind(error)
                self.off_reason = f"the MCP server {self.name} does not answer ({kind})"
                log.warning("mcp_server_away", server=self.name, error=kind)
            finally:
                self._client = None
            await asyncio.sleep(pause)
            pause = min(pause * 2, RETRY_SECONDS_MAX)

    def check(self) -> None:
        """Raise SourceOff while it cannot be called; nothing was done then."""
        if self._client is None:
            raise SourceOff(f"Its tools cannot be used now: {self.off_reason}. Go on without them.")

    async def call(self, name: str, arguments: Mapping[str, Any]) -> CallToolResult:
        """Call a tool by its name here.

        Raises VendorUnavailable, after which it may have been done, and SourceOff and ArgumentsRefused, after
        which it was not.
        """
        from mcp.shared.exceptions import MCPError  # noqa: PLC0415 - loaded with the first connection
        from mcp_types import INVALID_PARAMS, METHOD_NOT_FOUND  # noqa: PLC0415

        self.check()
        assert self._client is not None
        try:
            async with asyncio.timeout(self.declared.timeout_seconds):
                return await self._client.call_tool(own_name(self.name, name), dict(arguments))
        except MCPError as error:
            # Other codes the SDK gives too, to an answer it cannot read: what was asked for may be done then.
            if error.code in (INVALID_PARAMS, METHOD_NOT_FOUND):
                words = "\n".join(quoted(error.message[:SAID_CHARS_MAX]))
                raise ArgumentsRefused(f"The MCP server {self.name} refuses the call:\n{words}") from None
            unclear = error
        except Exception as error:  # noqa: BLE001 - whatever broke, the server may have done it
            unclear = error
        self._doubted.set()
        log.warning("mcp_call_unclear", server=self.name, tool=name, error=_kind(unclear))
        raise VendorUnavailable(f"The MCP server {self.name} did not answer the call.") from None

    async def _keep(self, client: Client) -> None:
        while True:
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                tools = await _listed(client)
            entries, self.refused = entries_of(self.name, self.declared, tools, self._taken)
            self.entries.clear()
            self.entries.update(entries)
            self._client, self.off_reason = client, ""
            self._doubted.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_SECONDS):
                    await self._doubted.wait()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Client]:
        # The SDK takes a second to load, which a service without such servers does not spend.
        client = await asyncio.to_thread(self._sdk_client)
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                connected = await stack.enter_async_context(client)
            connected.session.validate_tool_result = _unchecked
            yield connected

    def _sdk_client(self) -> Client:
        from mcp import Client, StdioServerParameters  # noqa: PLC0415
        from mcp.client.streamable_http import streamable_http_client  # noqa: PLC0415

        for name in QUOTING_LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        seconds = self.declared.timeout_seconds
        if self.declared.command:
            program, *arguments = self.declared.command
            server = StdioServerParameters(command=program, args=arguments, env=dict(self._filled))
            return Client(server, read_timeout_seconds=seconds, cache=None)
        http = _bounded_http(self._filled, seconds)
        transport = streamable_http_client(self.declared.url, http_client=http)
        return Client(_closing(transport, http), read_timeout_seconds=seconds, cache=None)


@asynccontextmanager
async def external_servers(
    declared: Mapping[str, DeclaredServer], keys: Mapping[str, SecretStr], taken: Collection[str]
) -> AsyncIterator[list[ExternalServer]]:
    """The servers, by name, kept connected until the block is left; one whose key is missing is off."""
    servers: list[ExternalServer] = []
    tasks: list[asyncio.Task[None]] = []
    for name, each in declared.items():
        try:
            filled = with_keys(each.variables if each.command else each.headers, keys)
        except KeyMissing as missing:
            server = ExternalServer(name, each, {}, taken)
            server.off_reason = str(missing)
        else:
            server = ExternalServer(name, each, filled, taken)
            tasks.append(asyncio.create_task(server.run()))
        servers.append(server)
    try:
        yield servers
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _listed(client: Client) -> list[Tool]:
    """The server's tools; of PAGES_MAX pages, and no more than are needed to say that there are too many."""
    found: list[Tool] = []
    cursor = None
    for _ in range(PAGES_MAX):
        page = await client.list_tools(cursor=cursor)
        found += page.tools
        cursor = page.next_cursor
        if not cursor or len(found) > 2 * TOOLS_MAX:
            break
    return found


async def _unchecked(name: str, result: CallToolResult) -> None:
    """In place of the SDK's check of a result against the server's own schema.

    Its patterns are the server's too and can keep this process busy for ever; and a result that breaks the
    schema is still the answer to a change that was made.
    """
    del name, result


@asynccontextmanager
async def _closing(transport: Any, http: httpx2.AsyncClient) -> AsyncGenerator[Any, None]:
    async with http, transport as streams:
        yield streams


def _bounded_http(headers: Mapping[str, str], seconds: float) -> httpx2.AsyncClient:
    """A client that reads no more than BODY_BYTES_MAX of an answer, and none that could grow by unpacking."""
    import httpx2  # noqa: PLC0415

    class Body(httpx2.AsyncByteStream):
        def __init__(self, stream: httpx2.AsyncByteStream) -> None:
            self._stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            left = BODY_BYTES_MAX
            async for chunk in self._stream:
                left -= len(chunk)
                if left < 0:
                    raise httpx2.ReadError("the answer is too long")
                yield chunk

        async def aclose(self) -> None:
            await self._stream.aclose()

    class Transport(httpx2.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            response = await super().handle_async_request(request)
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            if response.headers.get("content-encoding", PLAIN) != PLAIN:
                await response.stream.aclose()
                raise httpx2.ReadError("the answer is compressed")
            response.stream = Body(response.stream)
            return response

    sent = httpx2.Headers({**headers, "Accept-Encoding": PLAIN})
    return httpx2.AsyncClient(headers=sent, timeout=seconds, transport=Transport())


def _kind(error: BaseException) -> str:
    """The kind of the first error of a group: its words may hold what must not be told."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return type(error).__name__
