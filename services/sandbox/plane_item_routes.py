"""The routes of Plane's API that are about projects and work items; comments are `plane`'s."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from services.sandbox.plane_domain import (
    PRIORITIES,
    STATES,
    NoSuchThingError,
    Project,
    RefusedError,
    WorkItem,
    state_id,
)
from services.sandbox.plane_http import expanded, json_object, paged
from services.sandbox.plane_state import ItemChanges, ItemFields
from services.sandbox.plane_world import PlaneWorld

SEARCH_LIMIT = 10
NAME_CHARS_MAX = 255
ITEM_FIELDS = frozenset({"name", "description_html", "priority", "state", "external_source", "external_id"})
"""What of a work item can be set here; Plane knows more."""


class PlaneItemRoutes:
    """Paths below a workspace; the slash at their end is part of them."""

    def __init__(self, world: PlaneWorld) -> None:
        self._world = world
        self._state = world.state
        self._wire = world.wire

    def table(self, workspace: str) -> list[web.RouteDef]:
        """Every route, below the workspace's path."""
        items = workspace + "/projects/{project}/work-items/"
        return [
            web.get(workspace + "/projects/", self.list_projects),
            web.get(workspace + "/projects/{project}/states/", self.list_states),
            web.get(workspace + "/work-items/search/", self.search),
            web.get(workspace + "/work-items/{identifier}/", self.item_named),
            web.get(items, self.list_items),
            web.post(items, self.add_item),
            web.get(items + "{item}/", self.item),
            web.patch(items + "{item}/", self.change_item),
        ]

    async def list_projects(self, request: web.Request) -> web.Response:
        """Every project."""
        return paged(request, [self._wire.project(each) for each in self._state.projects()])

    async def list_states(self, request: web.Request) -> web.Response:
        """A project's states."""
        project = self._state.project(request.match_info["project"])
        made = {"project": project.id, "workspace": self._state.workspace_id}
        return paged(
            request,
            [{**self._wire.state(project, each), **made, "default": each is STATES[0]} for each in STATES],
        )

    async def search(self, request: web.Request) -> web.Response:
        """Work items with the words in their title, or with their number; newest first."""
        asked, slug = request.query, self._world.settings.workspace
        everywhere = asked.get("workspace_search", "false") != "false"
        project_id = "" if everywhere else asked.get("project_id", "")
        found = [
            each
            for each in reversed(self._state.items())
            if _matches(each, asked.get("search", "")) and project_id in ("", each.project.id)
        ]
        shown = found[: int(asked.get("limit", SEARCH_LIMIT))]
        return web.json_response({"issues": [self._wire.match(each, slug) for each in shown]})

    async def item_named(self, request: web.Request) -> web.Response:
        """One work item by what people call it."""
        named = [each for each in self._state.items() if each.identifier == request.match_info["identifier"]]
        if not named:
            raise NoSuchThingError
        return web.json_response(self._wire.item(named[0], expand=expanded(request)))

    async def add_item(self, request: web.Request) -> web.Response:
        """File one as the key's user, and tell the webhook of it."""
        project = self._state.project(request.match_info["project"])
        told = await json_object(request)
        name, html = _name(told.get("name")), str(told.get("description_html", "<p></p>"))
        item = self._state.add_item(project, self._state.bot, name, html, **_fields(told, project))
        self._world.hooks.deliver_later(self._world.hooks.item_created(item))
        return web.json_response(self._wire.item(item), status=201)

    async def change_item(self, request: web.Request) -> web.Response:
        """Change some of one's fields, and tell the webhook of each."""
        before = self._item(request)
        told = await json_object(request)
        changes = ItemChanges(**_fields(told, before.project))
        if "name" in told:
            changes["name"] = _name(told["name"])
        if "description_html" in told:
            changes["html"] = str(told["description_html"])
        after = self._state.change_item(before, **changes)
        self._world.hooks.deliver_later(self._world.hooks.item_changed(before, after, self._state.bot))
        return web.json_response(self._wire.item(after))

    async def list_items(self, request: web.Request) -> web.Response:
        """A project's work items, the newest first, or as `order_by` says; with an external id that one."""
        project = self._state.project(request.match_info["project"])
        source, external_id = request.query.get("external_source"), request.query.get("external_id")
        if source and external_id:
            marked = self._state.marked_item(project, source, external_id)
            if marked is None:
                raise NoSuchThingError
            return web.json_response(self._wire.item(marked, expand=expanded(request)))
        order = request.query.get("order_by", "-created_at")
        if order.lstrip("-") not in ("created_at", "updated_at"):
            raise RefusedError(f"order_by {order} is not played here")
        found = [each for each in self._state.items() if each.project.id == project.id]
        found.sort(key=lambda each: getattr(each, order.lstrip("-")), reverse=order.startswith("-"))
        return paged(request, [self._wire.item(each, expand=expanded(request)) for each in found])

    async def item(self, request: web.Request) -> web.Response:
        """One work item."""
        return web.json_response(self._wire.item(self._item(request), expand=expanded(request)))

    def _item(self, request: web.Request) -> WorkItem:
        path = request.match_info
        return self._state.item(path["item"], self._state.project(path["project"]).id)


def _matches(item: WorkItem, search: str) -> bool:
    """Whether title, project or number have the words: Plane looks nowhere else."""
    words = search.lower()
    named = words in item.name.lower() or words in item.project.identifier.lower()
    return bool(words) and (named or str(item.sequence) in re.findall(r"\b\d+\b", words))


def _fields(told: Mapping[str, Any], project: Project) -> ItemFields:
    """What a body sets of a work item besides its words. Raises `RefusedError`."""
    if unknown := told.keys() - ITEM_FIELDS:
        raise RefusedError(f"unknown: {', '.join(sorted(unknown))}")
    fields = ItemFields()
    if "priority" in told:
        if told["priority"] not in PRIORITIES:
            raise RefusedError("priority: not a valid choice.")
        fields["priority"] = told["priority"]
    if "state" in told:
        known = {state_id(project, each): each for each in STATES}
        if told["state"] not in known:
            raise RefusedError("State is not valid please pass a valid state_id")
        fields["state"] = known[told["state"]]
    if "external_id" in told:
        fields["external_source"], fields["external_id"] = told.get("external_source"), told["external_id"]
    return fields


def _name(told: object) -> str:
    name = str(told or "")
    if not 1 <= len(name) <= NAME_CHARS_MAX:
        raise RefusedError(f"name: Ensure this field has 1 to {NAME_CHARS_MAX} characters.")
    return name
