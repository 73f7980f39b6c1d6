"""Who a piece of work is done for: carried from the incoming call to every call it makes.

The door sets it for each call; loops that begin work themselves (relay, worker) set it with
`acting_for`. Outgoing channels read it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

from aucert.common.v1.scope_pb2 import Scope


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody known by a token."""

    name: str
    tenant_id: str
    scopes: frozenset[Scope.ValueType]


@dataclass(frozen=True, slots=True)
class ToolCallOrigin:
    """The run, attempt and call a tool call belongs to; believed from the worker's principal only."""

    task_run_id: str
    call_id: str
    fence: int


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf, for which tenant, until when (monotonic seconds; None: no deadline).

    `repository` is the slug that a tool call outside of runs names; no call made on its behalf carries it.
    """

    request_id: str
    tenant_id: str
    principal: Principal | None = None
    deadline: float | None = None
    origin: ToolCallOrigin | None = None
    repository: str = ""

    def seconds_left(self) -> float | None:
        """Seconds until the deadline, never negative."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())


_current: ContextVar[Caller | None] = ContextVar("caller", default=None)


def current_caller() -> Caller:
    """The caller of the work at hand. Asking outside of any is a defect."""
    caller = _current.get()
    if caller is None:
        raise LookupError("no caller: wrap the work in acting_for()")
    return caller


def caller_or_none() -> Caller | None:
    """The caller of the work at hand, where there may be none (log lines, outgoing calls)."""
    return _current.get()


@contextmanager
def calling(caller: Caller) -> Iterator[Caller]:
    """Do the enclosed work for this caller."""
    token = _current.set(caller)
    try:
        yield caller
    finally:
        _current.reset(token)


@contextmanager
def acting_for(
    tenant_id: str, *, request_id: str | None = None, origin: ToolCallOrigin | None = None
) -> Iterator[Caller]:
    """Do the enclosed work for a tenant: a loop's own, or part of a call whose deadline still holds."""
    known = _current.get()
    base = known or Caller(request_id=new_request_id(), tenant_id=tenant_id)
    with calling(
        replace(base, request_id=request_id or base.request_id, tenant_id=tenant_id, origin=origin)
    ) as caller:
        yield caller


def enter(caller: Caller) -> None:
    """Make this the caller for the rest of the current asyncio task (a call has a task of its own)."""
    _current.set(caller)


def new_request_id() -> str:
    """A fresh id to find all log lines of one request by."""
    return uuid.uuid4().hex
