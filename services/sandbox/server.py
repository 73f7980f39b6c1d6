"""Runs a sandbox in the caller's event loop: what tests and `astra up` use."""

from __future__ import annotations

from aiohttp import web

from services.sandbox.app import build_app
from services.sandbox.settings import SandboxSettings

SHUTDOWN_SECONDS = 2.0
"""How long calls under way may take to end once the server stops."""


class SandboxServer:
    """Start it once. `stop` may be called at any time, also twice."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._runner = web.AppRunner(
            build_app(settings), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS, handle_signals=False
        )

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen and return the base URL, without a slash at its end; port 0 takes a free one."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError:
            await self._runner.cleanup()
            raise
        bound_port: int = self._runner.addresses[0][1]
        return f"http://{host}:{bound_port}"

    async def stop(self) -> None:
        """Close every connection and let background deliveries end."""
        await self._runner.cleanup()
