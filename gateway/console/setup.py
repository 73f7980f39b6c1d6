"""Adds the console to the gateway: its channel to Astra, its headers, the end of its streams."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import structlog
from aiohttp import web

from aucert.astra.v1.task_run_service_pb2_grpc import TaskRunServiceStub
from aucert.astra.v1.transcript_service_pb2_grpc import TranscriptServiceStub
from gateway.console.pages import OFF, guard
from gateway.console.parts import CONSOLE, Console
from gateway.console.sessions import Sessions
from gateway.settings import GatewaySettings, session_keys
from services.common.channels import CONNECTING, MESSAGE_BYTES_MAX

log = structlog.get_logger()


def add_console(app: web.Application, settings: GatewaySettings) -> None:
    """Serve the console from this application; without a session key it only says that it is off."""
    keys = session_keys(settings.console_session_key)

    async def console(app: web.Application) -> AsyncIterator[None]:
        if not keys:
            log.info("console_off", reason=OFF)
        # Everything is read with the token of whoever is signed in, so this channel adds none.
        options = [*CONNECTING, ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX)]
        channel = grpc.aio.insecure_channel(settings.astra_address, options=options)
        app[CONSOLE] = Console(
            sessions=Sessions(keys) if keys else None,
            runs=TaskRunServiceStub(channel),
            transcripts=TranscriptServiceStub(channel),
        )
        yield
        await channel.close()

    async def end_streams(app: web.Application) -> None:
        await app[CONSOLE].streams.end()

    app.cleanup_ctx.append(console)
    app.on_response_prepare.append(guard)
    app.on_shutdown.append(end_streams)
