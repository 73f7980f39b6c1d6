"""Plane's REST API, first version, with the API key of the account we write as.

One call here is one request: nothing is retried, and every failure is one of `vendor_errors`, without Plane's
text and without what was sent. Plane's own SDK blocks its caller, so it is what the tests check this against.

A key has sixty calls a minute for everything, which all processes share (`pace`); what only reads for an
event gives way while few calls are left: posts come first.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
from pydantic import SecretStr

from services.tools.bounded import bounded
from services.tools.pace import Pace
from services.tools.vendor_errors import SourceOff, VendorRateLimited, VendorRefused, VendorUnavailable
from services.tools.vendor_limits import Use, plane_uses

TIMEOUT_SECONDS = 10.0
RATE_LIMIT_MAX = timedelta(hours=1)
RATE_LIMIT_UNTOLD = timedelta(seconds=60)
KEPT_FOR_POSTS = 10
"""Calls of a minute that reads for events leave to others."""
GIVE_WAY_SECONDS = 10.0
MEMBERS_SECONDS = 300.0
MEMBERS_AGAIN_SECONDS = 30.0
"""How old the list may be when somebody who is not on it writes."""
PROJECTS_SECONDS = 300.0
PROJECTS_AGAIN_SECONDS = 30.0
"""How old the list may be when a project that is not on it is named."""
PROJECTS_A_PAGE, PROJECT_PAGES_MAX = 100, 5
HOLDER_FIELD = "external_id_held_by"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
Json = Any


@dataclass(frozen=True, slots=True)
class PlaneWorkspace:
    """One workspace, by the slug in its address, and our key to it.

    `app_url` is where people read it; empty: as Plane itself arranges the two. `calls_a_minute`: what the key
    may; 0: as Plane's cloud allows, elsewhere as many as are let through.
    """

    api_url: str
    api_key: SecretStr
    slug: str
    app_url: str = ""
    calls_a_minute: int = 0

    @property
    def off_reason(self) -> str:
        """What is missing. Empty: it can be used."""
        if not self.api_key.get_secret_value():
            return "PLANE_API_KEY is not set"
        return "" if self.slug else "PLANE_WORKSPACE is not set"

    @property
    def web_url(self) -> str:
        """The workspace in the web application, without a slash at its end."""
        if self.app_url:
            return f"{self.app_url.rstrip('/')}/{self.slug}"
        api = urlsplit(self.api_url)
        host = "app.plane.so" if api.hostname == "api.plane.so" else api.netloc
        return f"{api.scheme}://{host}/{self.slug}"


class PlaneClient:
    """Calls Plane. Raises SourceOff for a workspace that is not configured."""

    def __init__(
        self,
        workspace: PlaneWorkspace,
        *,
        pace: Pace | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self.workspace = workspace
        self._pace = pace or Pace()
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._session: aiohttp.ClientSession | None = None
        self._few_left_until = 0.0
        self._my_id = ""
        self._members: Mapping[str, Json] = {}
        self._members_time = float("-inf")
        self._reading_members = asyncio.Lock()
        self._projects: Mapping[str, Json] = {}
        self._projects_time = float("-inf")
        self._reading_projects = asyncio.Lock()

    async def read(self, path: str, *, gives_way: bool = False, **params: str | int) -> Json:
        """Get what is at a path of the workspace. `gives_way`: fail early while few calls are left."""
        return await self._call("GET", path, gives_way=gives_way, params=params)

    async def write(self, path: str, body: Mapping[str, object]) -> Json:
        """Post something. After VendorUnavailable it may be done or not."""
        return await self._call("POST", path, json=body)

    async def change(self, path: str, body: Mapping[str, object]) -> Json:
        """Change fields of something. After VendorUnavailable it may be done or not."""
        return await self._call("PATCH", path, json=body)

    async def my_id(self) -> str:
        """The account we write as: asked once, because a key never changes hands."""
        if not self._my_id:
            self._my_id = str((await self._call("GET", "users/me/", of_workspace=False))["id"])
        return self._my_id

    async def web_url(self) -> str:
        """The workspace in the web application, without a slash at its end."""
        return self.workspace.web_url

    async def members(self, wanted: set[str]) -> Mapping[str, Json]:
        """The workspace's members by id; read anew when it is old, or sooner when somebody is missing."""
        async with self._reading_members:
            age = time.monotonic() - self._members_time
            if age > (MEMBERS_SECONDS if wanted <= self._members.keys() else MEMBERS_AGAIN_SECONDS):
                told = await self.read("members/", gives_way=True)
                self._members = {str(each["id"]): each for each in told}
                self._members_time = time.monotonic()
            return self._members

    async def projects(self, *, age_seconds_max: float = PROJECTS_SECONDS) -> Mapping[str, Json]:
        """The projects our account sees, by id; read anew when what is known is older than that."""
        async with self._reading_projects:
            if time.monotonic() - self._projects_time > age_seconds_max:
                self._projects = {str(each["id"]): each for each in await self._read_projects()}
                self._projects_time = time.monotonic()
            return self._projects

    async def _read_projects(self) -> list[Json]:
        found, cursor = list[Json](), f"{PROJECTS_A_PAGE}:0:0"
        for _ in range(PROJECT_PAGES_MAX):
            page = await self.read("projects/", per_page=PROJECTS_A_PAGE, cursor=cursor)
            found += page["results"]
            if not page.get("next_page_results"):
                break
            cursor = page["next_cursor"]
        return found

    async def aclose(self) -> None:
        """Close its connections."""
        if self._session is not None:
            await self._session.close()

    async def _call(
        self, method: str, path: str, *, of_workspace: bool = True, gives_way: bool = False, **request: Json
    ) -> Json:
        if self.workspace.off_reason:
            raise SourceOff(f"Plane is off: {self.workspace.off_reason}.")
        if gives_way:
            self._give_way()
        place = f"workspaces/{quote(self.workspace.slug, safe='')}/" if of_workspace else ""
        url = f"{self.workspace.api_url.rstrip('/')}/api/v1/{place}{path}"
        headers = {"X-Api-Key": self.workspace.api_key.get_secret_value()}
        self._session = self._session or aiohttp.ClientSession(timeout=self._timeout)
        async with self._pace.keeping("Plane", self._uses()):
            try:
                async with self._session.request(
                    method, url, headers=headers, allow_redirects=False, **request
                ) as response:
                    body = await bounded(response, "Plane")
            except (aiohttp.ClientError, TimeoutError):
                raise VendorUnavailable("Plane cannot be reached. Try again.") from None
            return self._judged(response.status, response.headers, body)

    def _uses(self) -> Sequence[Use]:
        here = self.workspace
        return plane_uses(here.api_url, here.api_key.get_secret_value(), here.slug, here.calls_a_minute)

    def _give_way(self) -> None:
        if (left := self._few_left_until - time.monotonic()) > 0:
            raise VendorRateLimited("Plane's calls are used up for now.", retry_after=timedelta(seconds=left))

    def _judged(self, status: int, headers: Mapping[str, str], body: bytes) -> Json:
        now = time.monotonic()
        if status == 429:
            raise VendorRateLimited("Plane asks to slow down.", retry_after=_delay(headers))
        if _number(headers.get("X-RateLimit-Remaining", ""), KEPT_FOR_POSTS) < KEPT_FOR_POSTS:
            self._few_left_until = now + GIVE_WAY_SECONDS
        told = _parsed(body)
        if 200 <= status < 300 and told is not None:
            return told
        metadata = {"http_status": str(status)}
        if status < 300 or status >= 500 or status == 408:
            raise VendorUnavailable(f"Plane answered {status}. Try again.", metadata=metadata)
        raise VendorRefused(f"Plane refused with {status}.", metadata=metadata | _taken_by(status, told))


def is_gone(refused: VendorRefused) -> bool:
    """Whether Plane refused because the thing is not there, or not for us."""
    return refused.metadata.get("http_status") == "404"


def _parsed(body: bytes) -> Json:
    """None for what is no JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _taken_by(status: int, told: Json) -> dict[str, str]:
    """Of a conflict, what has our external id already: the only word of Plane's that is kept."""
    holder = str(told.get("id", "")) if status == 409 and isinstance(told, dict) else ""
    return {HOLDER_FIELD: holder} if UUID.fullmatch(holder) else {}


def _delay(headers: Mapping[str, str]) -> timedelta:
    seconds = _number(headers.get("Retry-After", ""), int(RATE_LIMIT_UNTOLD.total_seconds()))
    return min(timedelta(seconds=seconds), RATE_LIMIT_MAX)


def _number(told: str, otherwise: int) -> int:
    return int(told) if told.isascii() and told.isdecimal() and len(told) <= 9 else otherwise
