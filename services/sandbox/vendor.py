"""What one vendor's stand-in hands to the sandbox: everything else of it is its own affair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web

from services.sandbox.page import VendorPage
from services.sandbox.webhooks import Courier

ADMIN_PREFIX = "/_sandbox"


@dataclass(frozen=True, slots=True)
class Vendor:
    """`api` is mounted under `/<name>`, `admin` under `/_sandbox/<name>`."""

    name: str
    api: web.Application
    admin: web.Application
    page: VendorPage
    couriers: Sequence[Courier]
