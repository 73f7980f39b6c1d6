"""GitHub as a vendor of the sandbox."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from services.sandbox.calls import Calls
from services.sandbox.faults import Action, Faults, middleware
from services.sandbox.github import build_github_app
from services.sandbox.github_admin import GithubAdminRoutes, readable_errors
from services.sandbox.github_hooks import VENDOR
from services.sandbox.github_page import github_page
from services.sandbox.github_world import GithubWorld
from services.sandbox.settings import GithubSettings
from services.sandbox.vendor import Vendor


def github_vendor(settings: GithubSettings, faults: Faults, calls: Calls) -> Vendor:
    """A GitHub of its own world."""
    world = GithubWorld(settings)
    admin = web.Application(middlewares=[readable_errors])
    admin.add_routes(GithubAdminRoutes(world).table())
    api = build_github_app(world, middleware(faults, calls, _problem))
    return Vendor(VENDOR, api, admin, github_page(world), [world.courier])


def _problem(action: Action) -> Mapping[str, object]:
    if action is Action.RATE_LIMIT:
        return {"message": "You have exceeded a secondary rate limit. Please wait before you try again."}
    return {"message": "Server Error"}
