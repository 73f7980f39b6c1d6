"""Serves the gateway."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import structlog
from aiohttp import web

from gateway.app import build
from gateway.settings import GatewaySettings
from services.common.logs import configure_logs
from services.common.process import run_until_signal
from services.common.server import RunningServer

DRAIN_SECONDS = 10.0

log = structlog.get_logger()


@asynccontextmanager
async def running(settings: GatewaySettings) -> AsyncGenerator[RunningServer, None]:
    """Serve until the block is left, then give requests under way DRAIN_SECONDS. Port 0 takes a free one."""
    runner = web.AppRunner(build(settings), access_log=None, shutdown_timeout=DRAIN_SECONDS)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.host, settings.port)
        await site.start()
        port = int(runner.addresses[0][1])
        server = RunningServer(name="gateway", address=f"{settings.host}:{port}", port=port)
        log.info("serving", service=server.name, address=server.address)
        yield server
    finally:
        await runner.cleanup()
        log.info("stopped", service="gateway")


def main() -> None:
    """Run the gateway until it is told to stop."""
    settings = GatewaySettings()  # pyright: ignore[reportCallIssue] - the environment fills it
    configure_logs(level=settings.log_level)
    run_until_signal(lambda: running(settings))


if __name__ == "__main__":
    main()
