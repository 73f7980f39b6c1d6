"""Slack as a vendor of the sandbox."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from services.sandbox.calls import Calls
from services.sandbox.faults import Action, Faults, middleware
from services.sandbox.settings import SlackSettings
from services.sandbox.slack import build_slack_app
from services.sandbox.slack_admin import SlackAdminRoutes, readable_errors
from services.sandbox.slack_hooks import VENDOR
from services.sandbox.slack_page import slack_page
from services.sandbox.slack_world import SlackWorld
from services.sandbox.vendor import Vendor


def slack_vendor(settings: SlackSettings, faults: Faults, calls: Calls) -> Vendor:
    """A Slack workspace of its own world."""
    world = SlackWorld(settings)
    admin = web.Application(middlewares=[readable_errors])
    admin.add_routes(SlackAdminRoutes(world).table())
    api = build_slack_app(world, middleware(faults, calls, _problem))
    return Vendor(VENDOR, api, admin, slack_page(world), [world.courier])


def _problem(action: Action) -> Mapping[str, object]:
    return {"ok": False, "error": "ratelimited" if action is Action.RATE_LIMIT else "internal_error"}
