"""Builds the aiohttp application: its parts, its middleware, its routes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
from aiohttp import web
from grpc_health.v1.health_pb2_grpc import HealthStub

from aucert.dispatcher.v1.dispatcher_service_pb2_grpc import DispatcherServiceStub
from gateway.batcher import Batcher
from gateway.parts import PARTS, Parts
from gateway.problems import answering
from gateway.routes import routes
from gateway.settings import GatewaySettings
from services.common.channels import connect

# Like the services' own channels: back within two seconds of the other end.
_RECONNECT = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 2_000)]


def build(settings: GatewaySettings) -> web.Application:
    """The application; its channels open and close with it."""
    app = web.Application(middlewares=[answering], client_max_size=settings.webhook_body_bytes_max)
    app.add_routes(routes())

    async def parts(app: web.Application) -> AsyncIterator[None]:
        token = settings.astra_token.get_secret_value()
        dispatcher = connect(settings.dispatcher_address, token)
        astra = connect(settings.astra_address, token)
        # Tasks are asked for with the caller's own token, so this channel adds none.
        callers = grpc.aio.insecure_channel(settings.dispatcher_address, options=_RECONNECT)
        batcher = Batcher(DispatcherServiceStub(dispatcher))
        app[PARTS] = Parts(
            batcher=batcher,
            callers_dispatcher=DispatcherServiceStub(callers),
            health={"dispatcher": HealthStub(dispatcher), "astra": HealthStub(astra)},
        )
        yield
        await batcher.close()
        for channel in (dispatcher, astra, callers):
            await channel.close()

    app.cleanup_ctx.append(parts)
    return app
