"""What every page has in common: its session, its template, its headers, and errors a person can read."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import grpc
from aiohttp import web
from aiohttp.typedefs import Handler
from jinja2 import Environment, PackageLoader, StrictUndefined

from gateway.console import words
from gateway.console.live import END, Frame
from gateway.console.parts import CONSOLE
from gateway.console.record import Record
from gateway.console.sessions import Session, Sessions, end_session
from gateway.problems import status_of
from services.common.errors import ServiceError, Unauthenticated, from_rpc

SIGN_IN = "/sign-in"
STATIC = "/static"
STATIC_FILES = Path(__file__).parent / "static"
OFF = "The console is off: CONSOLE_SESSION_KEY is not set for this gateway."
_CONTENT_SECURITY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)


def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("gateway.console"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=words.visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for each in (
        words.count,
        words.money,
        words.moment,
        words.place,
        words.source,
        words.span,
        words.cut,
        words.spoken,
        words.state,
        words.tokens,
        words.waiting_for,
        words.web_link,
    ):
        found.filters[each.__name__] = each
    return found


_TEMPLATES = _environment()


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody signed in, asking for a page."""

    session: Session
    record: Record


Show = Callable[[web.Request, Visit], Awaitable[web.StreamResponse]]


def render(template: str, **known: Any) -> str:
    """A template with what it shows; every text in it is escaped."""
    return _TEMPLATES.get_template(template).render(**known)


def page(template: str, *, status: HTTPStatus = HTTPStatus.OK, **known: Any) -> web.Response:
    """An answer with a page, kept by nobody."""
    return web.Response(
        text=render(template, **known),
        content_type="text/html",
        status=status,
        headers={"Cache-Control": "no-store"},
    )


def for_people(show: Handler) -> Handler:
    """Answer errors with a page instead of problem JSON, and everything with one while the console is off."""

    async def shown(request: web.Request) -> web.StreamResponse:
        if request.app[CONSOLE].sessions is None:
            return page("error.html", status=HTTPStatus.NOT_FOUND, told=OFF, session=None)
        try:
            return await show(request)
        except (grpc.aio.AioRpcError, ServiceError) as error:
            told = error if isinstance(error, ServiceError) else from_rpc(error)
            return page("error.html", status=status_of(told), told=told.message, session=None)

    return shown


def signed_in(show: Show) -> Handler:
    """Show a page to those who are signed in; others sign in first and come back to it."""

    @for_people
    async def shown(request: web.Request) -> web.StreamResponse:
        visit = _visit(request)
        if visit is None and request.headers.get("Sec-Fetch-Site") == "cross-site":
            # A link elsewhere led here, so the browser kept the strict cookie back. It brings it when our
            # own page asks.
            return page("hop.html")
        if visit is None:
            return _to_sign_in(request)
        try:
            return await show(request, visit)
        except (grpc.aio.AioRpcError, ServiceError) as error:
            told = error if isinstance(error, ServiceError) else from_rpc(error)
            if isinstance(told, Unauthenticated):
                return _to_sign_in(request)
            raise

    return shown


def followed(frames: Callable[[web.Request, Visit], AsyncGenerator[Frame]]) -> Handler:
    """Stream to a page that is open; one whose session is over is told so, and asks no more."""

    @for_people
    async def shown(request: web.Request) -> web.StreamResponse:
        visit = _visit(request)
        coming = _signed_out() if visit is None else _while_signed_in(frames(request, visit))
        return await request.app[CONSOLE].streams.send(request, coming)

    return shown


async def _while_signed_in(frames: AsyncGenerator[Frame]) -> AsyncGenerator[Frame]:
    async with aclosing(frames):
        try:
            async for frame in frames:
                yield frame
        except grpc.aio.AioRpcError as error:
            if not isinstance(from_rpc(error), Unauthenticated):
                raise
            async for frame in _signed_out():
                yield frame


async def _signed_out() -> AsyncGenerator[Frame]:
    yield Frame(render("_signed_out.html"))
    yield END


def _visit(request: web.Request) -> Visit | None:
    session = sessions_of(request).read(request)
    if session is None or not session.token:
        return None
    return Visit(session, request.app[CONSOLE].record(session.token))


def sessions_of(request: web.Request) -> Sessions:
    """The console's sessions, for what `for_people` lets through: nothing while they are off."""
    sessions = request.app[CONSOLE].sessions
    assert sessions is not None
    return sessions


def _to_sign_in(request: web.Request) -> web.Response:
    back = urlencode({"next": request.path_qs})
    response = web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": f"{SIGN_IN}?{back}"})
    end_session(request, response)
    return response


async def guard(request: web.Request, response: web.StreamResponse) -> None:
    """Headers of every answer: nothing but our own files runs, and nothing is framed, guessed or told on."""
    response.headers.setdefault("Content-Security-Policy", _CONTENT_SECURITY)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    response.headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    if request.path.startswith(STATIC):
        response.headers["Cache-Control"] = "no-cache"  # kept, but asked about: a release changes them
