"""`POST /mcp`: the catalogue over streamable HTTP, for whoever has a key whose principal may use tools.

Each request stands by itself, without a session, so any replica answers it; what it asks for is asked of the
tools service with its own key. GET and DELETE, which are for sessions and streams, are answered with 405. The
SDK is loaded for the first request, so that a gateway nobody asks does not pay for it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from aiohttp import web

from aucert.astra.v1.principal_service_pb2_grpc import PrincipalServiceStub
from aucert.common.v1.scope_pb2 import SCOPE_TOOLS_CALL, SCOPE_TOOLS_READ, Scope
from aucert.tools.v1.tool_service_pb2_grpc import ToolServiceStub
from gateway.mcp.asgi import answer_by
from gateway.problems import of_error
from gateway.settings import GatewaySettings
from services.common import metadata as keys
from services.common.channels import CONNECTING, MESSAGE_BYTES_MAX, connect
from services.common.errors import Forbidden, Invalid, Unauthenticated, Unavailable
from services.common.identity import Authenticator, RemoteAuthenticator

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    from aucert.tools.v1.tool_service_pb2_grpc import ToolServiceAsyncStub

API_KEY_HEADER = "X-API-Key"
REPOSITORY_HEADER = "Astra-Repository"
BODY_BYTES_MAX = 1024 * 1024
ANSWER_SECONDS_MAX = 900.0
"""More than any call takes; what would stream for ever ends here."""
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
NEEDED = (SCOPE_TOOLS_READ, SCOPE_TOOLS_CALL)
METADATA = "astra.metadata"
"""Key in the ASGI scope of what the calls of a request carry."""
_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")

log = structlog.get_logger()


class Endpoint:
    """Answers /mcp. `hosts` are the names it may be called by besides those of this machine."""

    def __init__(
        self, authenticator: Authenticator, tools: ToolServiceAsyncStub, hosts: Sequence[str]
    ) -> None:
        self._authenticator = authenticator
        self._tools = tools
        self._hosts = (*LOOPBACK, *hosts)
        self._closing = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[StreamableHTTPSessionManager] | None = None

    async def answer(self, request: web.Request) -> web.Response:
        """One message of a client. 401 and 403 say what is wrong with the key, before the message is read."""
        try:
            metadata = await self._admitted(request)
        except Unauthenticated as error:
            response = of_error(error)
            response.headers["WWW-Authenticate"] = 'Bearer realm="astra"'
            return response
        manager = await self._serving()
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                return await answer_by(manager.handle_request, request, **{METADATA: metadata})
        except TimeoutError:
            raise Unavailable("The answer took too long. Ask again.") from None

    async def aclose(self) -> None:
        """End what is under way."""
        self._closing.set()
        if self._running is not None:
            await self._running

    async def _admitted(self, request: web.Request) -> list[tuple[str, str]]:
        key = _key(request)
        principal = await self._authenticator.principal(key)
        for scope in NEEDED:
            if scope not in principal.scopes:
                raise Forbidden(
                    f"{principal.name} may not use the tools: it lacks {Scope.Name(scope)}.",
                    metadata={"scope": Scope.Name(scope)},
                )
        return [(keys.AUTHORIZATION, keys.BEARER + key), *_repository(request)]

    async def _serving(self) -> StreamableHTTPSessionManager:
        if self._ready is None:
            self._ready = asyncio.get_running_loop().create_future()
            self._running = asyncio.create_task(self._serve(self._ready))
        return await asyncio.shield(self._ready)

    async def _serve(self, ready: asyncio.Future[StreamableHTTPSessionManager]) -> None:
        # One task from beginning to end, as the SDK's task group wants it.
        try:
            manager = await asyncio.to_thread(_manager, self._tools, self._hosts)
        except Exception as error:  # noqa: BLE001 - told to every request that waits
            ready.set_exception(error)
            return
        async with manager.run():
            ready.set_result(manager)
            await self._closing.wait()


ENDPOINT = web.AppKey("mcp_endpoint", Endpoint)


def add_mcp(app: web.Application, settings: GatewaySettings) -> None:
    """Serve /mcp from this application; without the tools' address it only says that it is off."""

    async def mcp(app: web.Application) -> AsyncIterator[None]:
        if not settings.tools_address:
            log.info("mcp_off", reason="not set: TOOLS_ADDRESS")
            yield
            return
        options = [*CONNECTING, ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX)]
        # Tools are called with the caller's own key, so this channel adds none.
        callers = grpc.aio.insecure_channel(settings.tools_address, options=options)
        astra = connect(settings.astra_address, settings.astra_token.get_secret_value())
        authenticator = RemoteAuthenticator(PrincipalServiceStub(astra))
        endpoint = Endpoint(authenticator, ToolServiceStub(callers), settings.hosts_of_mcp)
        app[ENDPOINT] = endpoint
        yield
        await endpoint.aclose()
        await callers.close()
        await astra.close()

    app.cleanup_ctx.append(mcp)


async def answer(request: web.Request) -> web.Response:
    """The handler of the route."""
    if ENDPOINT not in request.app:
        raise Unavailable("MCP is off here: TOOLS_ADDRESS is not set.")
    return await request.app[ENDPOINT].answer(request)


def _key(request: web.Request) -> str:
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    named = bearer if scheme.lower() == "bearer" else request.headers.get(API_KEY_HEADER, "")
    key = named.strip()
    if not key:
        raise Unauthenticated(
            f"Send the header Authorization: Bearer <key>, or {API_KEY_HEADER}.", reason="TOKEN_MISSING"
        )
    if not (key.isascii() and key.isprintable()):
        raise Unauthenticated("Nobody has this key.")
    return key


def _repository(request: web.Request) -> list[tuple[str, str]]:
    slug = request.headers.get(REPOSITORY_HEADER, "") or request.query.get("repository", "")
    if not slug:
        return []
    if not _SLUG.fullmatch(slug):
        raise Invalid(f"{REPOSITORY_HEADER} is no slug of a repository.")
    return [(keys.REPOSITORY, slug)]


def _manager(tools: ToolServiceAsyncStub, hosts: Sequence[str]) -> StreamableHTTPSessionManager:
    # Slow to import, and of use only here.
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager  # noqa: PLC0415
    from mcp.server.transport_security import TransportSecuritySettings  # noqa: PLC0415

    from gateway.mcp.catalogue_server import catalogue_server  # noqa: PLC0415

    def metadata_of(ctx: Any) -> list[tuple[str, str]]:
        return ctx.request.scope[METADATA]

    return StreamableHTTPSessionManager(
        catalogue_server(tools, metadata_of),
        json_response=True,
        stateless=True,
        security_settings=TransportSecuritySettings(
            allowed_hosts=[name for host in hosts for name in (host, f"{host}:*")],
            allowed_origins=[
                f"{scheme}://{host}{port}"
                for host in hosts
                for scheme in ("https", "http")
                for port in ("", ":*")
            ],
        ),
        max_request_body_size=BODY_BYTES_MAX,
    )
