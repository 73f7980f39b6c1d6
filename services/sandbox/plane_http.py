"""What every route of Plane's API reads and answers in the same way: bodies, `expand`, pages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from aiohttp import web

from services.sandbox.plane_domain import RefusedError
from services.sandbox.plane_wire import JsonObject, page

PAGE_SIZE = PAGE_SIZE_MAX = 100


async def json_object(request: web.Request) -> Mapping[str, Any]:
    """The body. Raises `RefusedError`."""
    try:
        told: object = json.loads(await request.text())
    except ValueError:
        raise RefusedError("JSON parse error") from None
    if not isinstance(told, dict):
        raise RefusedError("Invalid data. Expected a dictionary.")
    return cast("Mapping[str, Any]", told)


def expanded(request: web.Request) -> frozenset[str]:
    """What the answer is to have written out, as in `expand=project,state`."""
    return frozenset(request.query.get("expand", "").split(","))


def paged(request: web.Request, found: list[JsonObject]) -> web.Response:
    """The page a cursor like `20:1:0` asks for: size, number, and whether it leads back."""
    try:
        size = int(request.query.get("per_page", PAGE_SIZE))
        number = int(request.query.get("cursor", f"{size}:0:0").split(":")[1])
    except (ValueError, IndexError):
        raise RefusedError("Invalid cursor parameter.") from None
    if not 1 <= size <= PAGE_SIZE_MAX or number < 0:
        raise RefusedError(f"Invalid per_page value. Cannot exceed {PAGE_SIZE_MAX}.")
    begin = number * size
    shown = found[begin : begin + size]
    return web.json_response(page(shown, begin=begin, size=size, total=len(found)))
