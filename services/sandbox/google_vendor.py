"""Google Drive as a vendor of the sandbox."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from services.sandbox.calls import Calls
from services.sandbox.faults import Action, Faults, middleware
from services.sandbox.google import build_google_app
from services.sandbox.google_admin import GoogleAdminRoutes, readable_errors
from services.sandbox.google_hooks import VENDOR
from services.sandbox.google_methods import error_body
from services.sandbox.google_page import google_page
from services.sandbox.google_world import GoogleWorld
from services.sandbox.settings import GoogleSettings
from services.sandbox.vendor import Vendor


def google_vendor(settings: GoogleSettings, faults: Faults, calls: Calls) -> Vendor:
    """A Google account of its own world."""
    world = GoogleWorld(settings)
    admin = web.Application(middlewares=[readable_errors])
    admin.add_routes(GoogleAdminRoutes(world).table())
    api = build_google_app(world, middleware(faults, calls, _problem))
    return Vendor(VENDOR, api, admin, google_page(world), [world.courier])


def _problem(action: Action) -> Mapping[str, object]:
    if action is Action.RATE_LIMIT:
        return error_body(403, "userRateLimitExceeded", "User Rate Limit Exceeded")
    return error_body(500, "internalError", "Internal Error")
