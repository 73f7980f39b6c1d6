"""Sign-in by API key, and sign-out."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

import grpc
from aiohttp import web

from aucert.astra.v1.task_run_service_pb2 import ListTaskRunsRequest
from gateway.console.pages import SIGN_IN, for_people, page, sessions_of
from gateway.console.parts import CONSOLE
from gateway.console.sessions import Session, end_session
from services.common.errors import Forbidden, Unauthenticated, from_rpc

if TYPE_CHECKING:
    from gateway.console.record import Record

REFUSAL_SECONDS = 1.0
"""How long a wrong key waits for its answer."""
KEY_CHARS_MAX = 512
NEXT_CHARS_MAX = 2_000
UNKNOWN_KEY = "Nobody has this key. Check that it was copied whole."
MAY_NOT_READ = "This key is known, but it may not read runs: its principal lacks SCOPE_RUNS_READ."
STALE_FORM = (
    "This form was not made for this browser, or is too old. Send it again. If that does not help, your "
    "browser keeps no cookie for this address: over plain HTTP it does so for localhost only."
)
TOO_MANY = "Too many sign-ins at once. Try again in a few seconds."


@for_people
async def ask(request: web.Request) -> web.Response:
    """The form."""
    session = sessions_of(request).read(request)
    if session is not None and session.token:
        return _onwards(_place(request.query.get("next", "")))
    return _form(request, _place(request.query.get("next", "")))


@for_people
async def sign_in(request: web.Request) -> web.StreamResponse:
    """Take the key: 303 to where the person wanted to go, or the form again with what is wrong."""
    form = await request.post()
    goal = _place(str(form.get("next", "")))
    session = sessions_of(request).read(request)
    if session is None or not session.wrote(str(form.get("csrf", ""))):
        return _form(request, goal, STALE_FORM, HTTPStatus.FORBIDDEN)
    console = request.app[CONSOLE]
    if console.sign_ins.locked():
        return _form(request, goal, TOO_MANY, HTTPStatus.TOO_MANY_REQUESTS)
    key = str(form.get("key", "")).strip()
    async with console.sign_ins:
        refusal = await _refusal(console.record(key), key)
    if refusal:
        await asyncio.sleep(REFUSAL_SECONDS)  # outside: a wrong key must not keep others from signing in
        return _form(request, goal, *refusal)
    response = _onwards(goal)
    sessions_of(request).start(request, response, Session.of(key))
    return response


@for_people
async def sign_out(request: web.Request) -> web.StreamResponse:
    """Forget the session, if its own form asks for it."""
    session = sessions_of(request).read(request)
    form = await request.post()
    if session is not None and not session.wrote(str(form.get("csrf", ""))):
        return page("error.html", status=HTTPStatus.FORBIDDEN, told=STALE_FORM, session=session)
    response = _onwards(SIGN_IN)
    end_session(request, response)
    return response


async def _refusal(record: Record, key: str) -> tuple[str, HTTPStatus] | None:
    """Why this key signs nobody in: it is tried on the first thing the console reads."""
    if not key or len(key) > KEY_CHARS_MAX or not (key.isascii() and key.isprintable()):
        return UNKNOWN_KEY, HTTPStatus.UNAUTHORIZED
    try:
        await record.runs(ListTaskRunsRequest(page_size=1))
    except grpc.aio.AioRpcError as error:
        told = from_rpc(error)
        if isinstance(told, Unauthenticated):
            return UNKNOWN_KEY, HTTPStatus.UNAUTHORIZED
        if isinstance(told, Forbidden):
            return MAY_NOT_READ, HTTPStatus.FORBIDDEN
        raise
    return None


def _form(
    request: web.Request, goal: str, refusal: str = "", status: HTTPStatus = HTTPStatus.OK
) -> web.Response:
    """The form, made for the session the browser has or gets with it."""
    sessions = sessions_of(request)
    session = sessions.read(request)
    anonymous = Session.of("") if session is None or session.token else session
    response = page(
        "sign_in.html", status=status, csrf=anonymous.csrf, next=goal, refusal=refusal, session=None
    )
    sessions.start(request, response, anonymous)
    return response


def _onwards(goal: str) -> web.Response:
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": goal})


def _place(goal: str) -> str:
    """A place within the console: what an address elsewhere put into the form is not followed."""
    plain = len(goal) <= NEXT_CHARS_MAX and goal.isprintable() and "\\" not in goal
    return goal if plain and goal.startswith(("/?", "/runs/")) else "/"
