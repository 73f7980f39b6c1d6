"""Composes the stand-ins into one aiohttp application.

| path | what |
|---|---|
| `/github/…` | GitHub's REST API: GITHUB_API_URL is the sandbox's address with `/github` behind it |
| `/_sandbox/…` | admin API: faults, calls, deliveries; `/_sandbox/github/…` to act as a person there |
| `/`, `/web/…` | the page |

A vendor adds its REST application, its admin routes and its `VendorPage` here, and nothing elsewhere.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web

from services.sandbox import admin, github_admin
from services.sandbox.calls import Calls
from services.sandbox.faults import Faults, middleware
from services.sandbox.github import build_github_app
from services.sandbox.github_page import github_page
from services.sandbox.github_wire import API_PREFIX
from services.sandbox.github_world import GithubWorld
from services.sandbox.page import PageRoutes
from services.sandbox.settings import SandboxSettings

REQUEST_BYTES_MAX = 1024 * 1024
"""Room for the longest body GitHub takes, with every character escaped."""


def build_app(settings: SandboxSettings) -> web.Application:
    """An application of its own world; two of them share nothing."""
    github = GithubWorld(settings.github)
    faults, calls = Faults(), Calls()
    app = web.Application(client_max_size=REQUEST_BYTES_MAX)
    app.add_routes(PageRoutes([github_page(github)]).table())
    app.add_subapp(API_PREFIX, build_github_app(github, middleware(faults, calls)))
    app.add_subapp(admin.ADMIN_PREFIX, _admin_app(github, faults, calls))

    async def couriers_run(_: web.Application) -> AsyncIterator[None]:
        async with github.courier.running():
            yield

    async def release_held_calls(_: web.Application) -> None:
        faults.release()

    app.cleanup_ctx.append(couriers_run)
    app.on_shutdown.append(release_held_calls)
    return app


def _admin_app(github: GithubWorld, faults: Faults, calls: Calls) -> web.Application:
    app = web.Application(middlewares=[admin.readable_errors])
    app.add_routes(admin.AdminRoutes(faults, calls, [github.courier]).table())
    for_github = web.Application(middlewares=[github_admin.readable_errors])
    for_github.add_routes(github_admin.GithubAdminRoutes(github).table())
    app.add_subapp("/github", for_github)
    return app
