"""Faults on command: what a vendor or the network between does to a call, declared ahead by a test.

A fault names the calls it hits, every so many of them, and how often; each hit uses it up by one. Those
that matter most are `timeout_before` (nothing happened, nobody answered), `drop_after` (it happened, nobody
answered) and `status_after` (it happened, the answer says it failed). A client cannot tell them apart, and
has to ask whether its effect is there.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TypeAlias

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from services.sandbox.calls import Calls

FAULTS_MAX = 100
TIMES_MAX = 10_000
EVERY_MAX = 10_000
DELAY_MS_MAX = 60_000
RATE_LIMIT_SECONDS_MAX = 86_400
HOLD_SECONDS = 60.0
"""How long `timeout_before` keeps a caller waiting before it closes the connection."""


class FaultError(ValueError):
    """A fault that cannot be armed; the text says why."""


class Action(StrEnum):
    """What happens to the call that is hit."""

    STATUS = "status"
    STATUS_AFTER = "status_after"
    TIMEOUT_BEFORE = "timeout_before"
    DROP_AFTER = "drop_after"
    RATE_LIMIT = "rate_limit"
    DELAY = "delay"


_ACTION = re.compile(r"(?P<name>[a-z_]+)(?::(?P<amount>\d{1,9}))?(?::(?P<status>403|429))?", re.ASCII)
_RANGES = {
    Action.STATUS: (400, 599),
    Action.STATUS_AFTER: (400, 599),
    Action.RATE_LIMIT: (0, RATE_LIMIT_SECONDS_MAX),
    Action.DELAY: (0, DELAY_MS_MAX),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """`method` may be "*". `path_pattern` is a shell pattern over the whole path; its `*` spans slashes."""

    method: str
    path_pattern: str
    times: int
    action: Action
    amount: int
    """Status code, seconds or milliseconds, as the action needs; -1 where it needs none."""
    status: int
    """What a rate limit answers: 429, or 403 as GitHub often does."""
    every: int = 1
    """Of the calls it is meant for it hits each whose number this divides: 1 all of them, 10 every tenth."""

    @classmethod
    def parse(cls, method: str, path_pattern: str, times: int, action: str, every: int = 1) -> Fault:
        """`action`: "status:<code>", "status_after:<code>", "timeout_before", "drop_after",
        "rate_limit:<s>[:403|429]", "delay:<ms>".

        Raises `FaultError` for anything else.
        """
        if not 1 <= times <= TIMES_MAX:
            raise FaultError(f"times must be from 1 to {TIMES_MAX}")
        if not 1 <= every <= EVERY_MAX:
            raise FaultError(f"every must be from 1 to {EVERY_MAX}")
        parts = _ACTION.fullmatch(action)
        if parts is None or parts["name"] not in set(Action):
            raise FaultError(f"unknown action {action!r}; known: {', '.join(Action)}")
        kind, amount = Action(parts["name"]), int(parts["amount"] or -1)
        low, high = _RANGES.get(kind, (-1, -1))
        if not low <= amount <= high:
            raise FaultError(f"{kind} takes {f'a number from {low} to {high}' if high > 0 else 'no number'}")
        if parts["status"] and kind is not Action.RATE_LIMIT:
            raise FaultError(f"{kind} takes one number")
        status = int(parts["status"] or web.HTTPTooManyRequests.status_code)
        return cls(method.upper(), path_pattern, times, kind, amount, status, every)

    def is_meant_for(self, method: str, path: str) -> bool:
        """Whether such a call is one of those it may hit."""
        return self.method in ("*", method) and fnmatchcase(path, self.path_pattern)


@dataclass(slots=True)
class _Armed:
    fault: Fault
    left: int
    seen: int = 0

    def hits(self) -> bool:
        """Count a call it is meant for; whether this is one of those it hits."""
        self.seen += 1
        return self.seen % self.fault.every == 0


class Faults:
    """The armed faults, oldest first; the first that hits a call acts on it."""

    def __init__(self) -> None:
        self._armed: list[_Armed] = []
        self._closing = asyncio.Event()

    def arm(self, fault: Fault) -> None:
        """Add a fault; raises `FaultError` when FAULTS_MAX are armed."""
        if len(self._armed) >= FAULTS_MAX:
            raise FaultError(f"at most {FAULTS_MAX} faults can be armed")
        self._armed.append(_Armed(fault, fault.times))

    def armed(self) -> list[tuple[Fault, int]]:
        """Each fault with the number of calls it will still hit."""
        return [(each.fault, each.left) for each in self._armed]

    def clear(self) -> None:
        """Disarm them all."""
        self._armed.clear()

    def release(self) -> None:
        """Let go of every held call: the server is going away."""
        self._closing.set()

    def take(self, method: str, path: str) -> Fault | None:
        """The fault that hits this call, used up by one; None if none does."""
        for each in self._armed:
            if each.fault.is_meant_for(method, path) and each.hits():
                each.left -= 1
                self._armed = [other for other in self._armed if other.left]
                return each.fault
        return None

    async def hold(self) -> None:
        """Return after HOLD_SECONDS, or at once when the server goes away."""
        try:
            await asyncio.wait_for(self._closing.wait(), HOLD_SECONDS)
        except TimeoutError:
            return


Problem: TypeAlias = Callable[[Action], Mapping[str, object]]
"""How a vendor words the body of a failure."""


def middleware(faults: Faults, calls: Calls, problem: Problem) -> Middleware:
    """Counts each call, then lets an armed fault have its way with it."""

    @web.middleware
    async def apply(request: web.Request, handler: Handler) -> web.StreamResponse:
        calls.record(request.method, request.path)
        fault = faults.take(request.method, request.path)
        if fault is None:
            return await handler(request)
        return await _act(fault, faults, problem, request, handler)

    return apply


async def _act(
    fault: Fault, faults: Faults, problem: Problem, request: web.Request, handler: Handler
) -> web.StreamResponse:
    match fault.action:
        case Action.STATUS:
            return web.json_response(problem(fault.action), status=fault.amount)
        case Action.STATUS_AFTER:
            await handler(request)
            return web.json_response(problem(fault.action), status=fault.amount)
        case Action.RATE_LIMIT:
            headers = {"Retry-After": str(fault.amount)}
            return web.json_response(problem(fault.action), status=fault.status, headers=headers)
        case Action.DELAY:
            await asyncio.sleep(fault.amount / 1000)
            return await handler(request)
        case Action.TIMEOUT_BEFORE:
            await faults.hold()
            return _hang_up(request)
        case Action.DROP_AFTER:
            try:
                await handler(request)
            finally:  # a refusal is lost on the way too
                answer = _hang_up(request)
            return answer


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()  # never leaves: its connection is gone
