"""Composes the stand-ins into one aiohttp application.

| path | what |
|---|---|
| `/<vendor>/…` | the vendor's API: GITHUB_API_URL is the sandbox's address with `/github` behind it |
| `/_sandbox/…` | admin API: faults, calls, deliveries; `/_sandbox/<vendor>/…` to act as a person there |
| `/`, `/web/…` | the page |

A vendor is a line in `_vendors`, and a field of the settings. Nobody writes to an agent through Brave, so its
API at `/brave` has neither page nor admin API.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from aiohttp import web

from services.sandbox.admin import AdminRoutes, readable_errors
from services.sandbox.brave import build_brave_app
from services.sandbox.calls import Calls
from services.sandbox.faults import Faults
from services.sandbox.github_vendor import github_vendor
from services.sandbox.google_vendor import google_vendor
from services.sandbox.page import PageRoutes
from services.sandbox.plane_vendor import plane_vendor
from services.sandbox.settings import SandboxSettings
from services.sandbox.slack_vendor import slack_vendor
from services.sandbox.vendor import ADMIN_PREFIX, Vendor

REQUEST_BYTES_MAX = 1024 * 1024
"""Room for the longest body GitHub takes, with every character escaped."""


def build_app(settings: SandboxSettings) -> web.Application:
    """An application of its own world; two of them share nothing."""
    faults, calls = Faults(), Calls()
    vendors = _vendors(settings, faults, calls)
    couriers = [courier for vendor in vendors for courier in vendor.couriers]
    app = web.Application(client_max_size=REQUEST_BYTES_MAX)
    app.add_routes(PageRoutes([vendor.page for vendor in vendors]).table())
    admin = web.Application(middlewares=[readable_errors])
    admin.add_routes(AdminRoutes(faults, calls, couriers).table())
    for vendor in vendors:
        app.add_subapp(f"/{vendor.name}", vendor.api)
        admin.add_subapp(f"/{vendor.name}", vendor.admin)
    app.add_subapp("/brave", build_brave_app(settings.brave, faults, calls))
    app.add_subapp(ADMIN_PREFIX, admin)

    async def couriers_run(_: web.Application) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for courier in couriers:
                await stack.enter_async_context(courier.running())
            yield

    async def release_held_calls(_: web.Application) -> None:
        faults.release()

    app.cleanup_ctx.append(couriers_run)
    app.on_shutdown.append(release_held_calls)
    return app


def _vendors(settings: SandboxSettings, faults: Faults, calls: Calls) -> list[Vendor]:
    return [
        github_vendor(settings.github, faults, calls),
        slack_vendor(settings.slack, faults, calls),
        plane_vendor(settings.plane, faults, calls),
        google_vendor(settings.google, faults, calls),
    ]
