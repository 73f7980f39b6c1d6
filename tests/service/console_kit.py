"""A gateway with its console on, in front of a real Astra, and a browser's habits without a browser."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from typing import Any

import aiohttp
from cryptography.fernet import Fernet

from gateway.main import running
from gateway.settings import GatewaySettings
from tests.service.astra_kit import Astra

KEY = Fernet.generate_key().decode()
COOKIE = "astra_session"


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def elements(html: str, tag: str = "") -> list[tuple[str, dict[str, str | None]]]:
    """The elements of a page with their attributes; only those of one kind when named."""
    parser = _Elements()
    parser.feed(html)
    return [each for each in parser.found if not tag or each[0] == tag]


def field(html: str, name: str) -> str:
    """The value of a form's field."""
    [value] = [attributes["value"] for _, attributes in elements(html, "input") if attributes["name"] == name]
    assert value is not None
    return value


class Browser:
    """Keeps cookies and sends forms; follows no redirect by itself."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def get(self, path: str, **headers: str) -> aiohttp.ClientResponse:
        response = await self.session.get(path, allow_redirects=False, headers=headers)
        await response.read()
        return response

    async def page(self, path: str) -> str:
        response = await self.get(path)
        assert 200 == response.status, await response.text()
        return await response.text()

    async def post(self, path: str, **form: str) -> aiohttp.ClientResponse:
        response = await self.session.post(path, data=form, allow_redirects=False)
        await response.read()
        return response

    async def sign_in(self, key: str, path: str = "/sign-in") -> aiohttp.ClientResponse:
        form = await self.page(path)
        return await self.post("/sign-in", csrf=field(form, "csrf"), next=field(form, "next"), key=key)

    def cookie(self) -> str:
        """The session, as the browser keeps it; empty: none."""
        return next((each.value for each in self.session.cookie_jar if each.key == COOKIE), "")


@asynccontextmanager
async def console(astra: Astra, key: str = KEY, **more: Any) -> AsyncIterator[Browser]:
    """A gateway, and a browser in front of it that has not signed in."""
    settings = GatewaySettings.model_validate(
        {
            "GATEWAY_PORT": 0,
            "ASTRA_TOKEN": "gateway-token",
            "ASTRA_ADDRESS": astra.address,
            "DISPATCHER_ADDRESS": astra.address,
            "CONSOLE_SESSION_KEY": key,
            **more,
        }
    )
    async with running(settings) as server:
        url = f"http://{server.address}"
        jar = aiohttp.CookieJar(unsafe=True)  # takes cookies of an address without a name
        async with aiohttp.ClientSession(url, cookie_jar=jar) as session:
            yield Browser(session, url)


class Stream:
    """Server-sent events as they come."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._lines = response.content

    async def frame(self) -> dict[str, str]:
        """The next frame that says something: `id`, `event` and `data`, as far as it has them."""
        while True:
            told: dict[str, str] = {}
            while line := (await self._lines.readline()).decode().rstrip("\n"):
                if found := re.fullmatch(r"(id|event|data): ?(.*)", line):
                    name, value = found.groups()
                    told[name] = f"{told[name]}\n{value}" if name in told else value
            if told:
                return told
            if self._lines.at_eof():
                raise EOFError


@asynccontextmanager
async def stream(browser: Browser, path: str, **headers: str) -> AsyncIterator[Stream]:
    async with browser.session.get(path, headers=headers) as response:
        assert "text/event-stream" == response.content_type
        yield Stream(response)
