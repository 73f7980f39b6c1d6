"""Plane as a vendor of the sandbox."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from services.sandbox.calls import Calls
from services.sandbox.faults import Action, Faults, middleware
from services.sandbox.plane import BROKEN, THROTTLED, build_plane_app
from services.sandbox.plane_admin import PlaneAdminRoutes, readable_errors
from services.sandbox.plane_hooks import VENDOR
from services.sandbox.plane_page import plane_page
from services.sandbox.plane_world import PlaneWorld
from services.sandbox.settings import PlaneSettings
from services.sandbox.vendor import Vendor


def plane_vendor(settings: PlaneSettings, faults: Faults, calls: Calls) -> Vendor:
    """A Plane workspace of its own world."""
    world = PlaneWorld(settings)
    admin = web.Application(middlewares=[readable_errors])
    admin.add_routes(PlaneAdminRoutes(world).table())
    api = build_plane_app(world, middleware(faults, calls, _problem))
    return Vendor(VENDOR, api, admin, plane_page(world), [world.courier])


def _problem(action: Action) -> Mapping[str, object]:
    return THROTTLED if action is Action.RATE_LIMIT else BROKEN
