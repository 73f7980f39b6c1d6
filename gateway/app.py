"""Builds the aiohttp application: its parts, its middleware, its routes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
from aiohttp import web
from grpc_health.v1.health_pb2_grpc import HealthStub

from aucert.astra.v1.token_vault_service_pb2_grpc import TokenVaultServiceStub
from aucert.dispatcher.v1.dispatcher_service_pb2_grpc import DispatcherServiceStub
from aucert.models.v1.model_service_pb2_grpc import ModelServiceStub
from gateway.batcher import Batcher
from gateway.console.setup import add_console
from gateway.mcp.endpoint import add_mcp
from gateway.parts import PARTS, Parts
from gateway.problems import answering
from gateway.routes import routes
from gateway.settings import GatewaySettings
from services.common.channels import CONNECTING, connect


def build(settings: GatewaySettings) -> web.Application:
    """The application. Its channels are made when it starts up, connect when first used, close at its end."""
    app = web.Application(middlewares=[answering], client_max_size=settings.webhook_body_bytes_max)
    app.add_routes(routes())

    async def parts(app: web.Application) -> AsyncIterator[None]:
        token = settings.astra_token.get_secret_value()
        addresses = {
            "dispatcher": settings.dispatcher_address,
            "astra": settings.astra_address,
            "models": settings.models_address,
            "tools": settings.tools_address,
            "worker": settings.worker_address,
        }
        channels = {name: connect(address, token) for name, address in addresses.items() if address}
        # Tasks are asked for with the caller's own token, so this channel adds none.
        callers = grpc.aio.insecure_channel(settings.dispatcher_address, options=CONNECTING)
        dispatcher = DispatcherServiceStub(channels["dispatcher"])
        batcher = Batcher(dispatcher)
        app[PARTS] = Parts(
            batcher=batcher,
            dispatcher=dispatcher,
            callers_dispatcher=DispatcherServiceStub(callers),
            models=ModelServiceStub(channels["models"]) if "models" in channels else None,
            vault=TokenVaultServiceStub(channels["astra"]),
            health={name: HealthStub(channel) for name, channel in channels.items()},
        )
        yield
        await batcher.close()
        for channel in (*channels.values(), callers):
            await channel.close()

    app.cleanup_ctx.append(parts)
    add_console(app, settings)
    add_mcp(app, settings)
    return app
