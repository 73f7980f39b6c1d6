"""A tool changes something once: the ledger's row comes first, and what is unclear is looked up.

Every tool that writes goes through `Effects.once`, whichever door its call came by, so it is also the place
where a call is refused that may not write. What a change is and how one is recognised at its vendor is the
tool's to know.

The row says whether this call wrote it. If it did, the vendor cannot have the change and is asked at once. If
an earlier one did and no outcome is on record, that one may have died with its request under way: we wait
until the vendor must be done with it, look, and only then ask. An outcome that stays unclear is no answer for
a model, who might try again by another call: it leaves as EffectUnclear, and the same call is repeated.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import grpc
from google.protobuf import json_format
from google.protobuf.message import Message

from aucert.astra.v1.effect_pb2 import Effect
from aucert.astra.v1.effect_service_pb2 import BeginEffectRequest, BeginEffectResponse, FinishEffectRequest
from aucert.astra.v1.task_run_pb2 import TaskRun
from aucert.common.v1.scope_pb2 import SCOPE_TOOLS_WRITE, Scope
from aucert.tools.v1.tool_pb2 import TOOL_APPROVAL_NONE, TOOL_TRUST_ANY
from services.common.caller import acting_for, current_caller
from services.common.crashpoints import CrashPoint, reach
from services.common.errors import Forbidden
from services.tools.catalogue import ToolEntry
from services.tools.errors import ApprovalRequired, TrustRequired
from services.tools.vendor_errors import VendorRateLimited, VendorUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aucert.astra.v1.effect_service_pb2_grpc import EffectServiceAsyncStub

SENDS_MAX = 2
ResponseT = TypeVar("ResponseT", bound=Message)


class EffectUnclear(VendorUnavailable):
    """The change was made or not, and the vendor cannot be asked now: repeat the same call later."""

    def __init__(self, error: VendorUnavailable | VendorRateLimited | None = None) -> None:
        super().__init__(
            "It is not clear whether the change was made. Repeating this same call finds out and makes it "
            "at most once.",
            retry_after=error.retry_after if error else None,
        )


@dataclass(frozen=True, slots=True)
class Change(Generic[ResponseT]):
    """What a call wants changed at a vendor.

    `send` asks for it and answers with the tool's response; it raises the errors of `vendor_errors`, after
    VendorUnavailable it may have been done. `find` looks for it, None: it is not there. `url` of a response
    is kept in the ledger for people.
    """

    send: Callable[[Effect], Awaitable[ResponseT]]
    find: Callable[[Effect], Awaitable[ResponseT | None]]
    response: type[ResponseT]
    url: Callable[[ResponseT], str]


class Effects:
    """Makes changes through the ledger.

    `settle_seconds`, by integration: the longest its vendor works on a request nobody waits for any more.
    `redact` takes known secrets out of a response before it is recorded.
    """

    def __init__(
        self,
        ledger: EffectServiceAsyncStub,
        catalogue: Mapping[str, ToolEntry],
        *,
        settle_seconds: Mapping[str, float],
        redact: Callable[[Message], None] | None = None,
    ) -> None:
        self._ledger = ledger
        self._catalogue = catalogue
        self._settle_seconds = settle_seconds
        self._redact = redact

    async def once(
        self, tool_name: str, request: Message, run: TaskRun | None, change: Change[ResponseT]
    ) -> ResponseT:
        """Make a tool's change for the current call, unless an earlier try of this call has made it.

        `run` is the run of the call as the record has it now. Raises EffectUnclear, the errors of
        `vendor_errors` where surely nothing was done, TrustRequired, ApprovalRequired and Forbidden; the
        ledger's refusals FENCE_STALE, TASK_RUN_COMPLETED and TOOL_CALL_NOT_OPEN as AioRpcError.
        """
        entry = self._catalogue[tool_name]
        self._admit(entry, run)
        settle_seconds = self._settle_seconds[entry.integration]
        asked = _begin_request(tool_name, request)
        begun = await self._begin(asked)
        effect = begun.effect
        if effect.done:
            return _recorded(effect, change)
        if not begun.created:
            # Counted from now: when the last request was sent is known to nobody once its sender died.
            await asyncio.sleep(settle_seconds)
        done = await self._done(asked, effect, change, settle_seconds, unclear=not begun.created)
        if self._redact:
            self._redact(done)
        reach(CrashPoint.EFFECT_DONE_UNRECORDED)
        await self._finish(effect, done, change.url(done))
        return done

    async def _begin(self, asked: BeginEffectRequest) -> BeginEffectResponse:
        with acting_for(current_caller().tenant_id):  # as ourselves: only the worker may act inside a run
            return await self._ledger.BeginEffect(asked)

    async def _finish(self, effect: Effect, done: Message, url: str) -> None:
        as_json = json_format.MessageToJson(done, preserving_proto_field_name=True, indent=None)
        try:
            with acting_for(current_caller().tenant_id):
                await self._ledger.FinishEffect(
                    FinishEffectRequest(effect_id=effect.effect_id, url=url, response_json=as_json)
                )
        except grpc.aio.AioRpcError:
            raise EffectUnclear from None  # made, but the next who asks must find that on record

    async def _done(
        self,
        asked: BeginEffectRequest,
        effect: Effect,
        change: Change[ResponseT],
        settle_seconds: float,
        *,
        unclear: bool,
    ) -> ResponseT:
        for _ in range(SENDS_MAX):
            if unclear:
                if found := await _look(effect, change):
                    return found
                # Meanwhile a newer attempt may have taken the run over, or an earlier one come to its end.
                if (known := (await self._begin(asked)).effect).done:
                    return _recorded(known, change)
            try:
                return await change.send(effect)
            except VendorUnavailable:
                unclear = True
                await asyncio.sleep(settle_seconds)
        if found := await _look(effect, change):
            return found
        raise VendorUnavailable("The vendor did not make the change, tried twice. Nothing was changed.")

    def _admit(self, entry: ToolEntry, run: TaskRun | None) -> None:
        refuse_unapproved(entry)
        caller = current_caller()
        if caller.origin is None:
            scopes = caller.principal.scopes if caller.principal else frozenset()
            if SCOPE_TOOLS_WRITE not in scopes:
                raise Forbidden(
                    f"Without a run, {entry.name} is for operators.",
                    metadata={"scope": Scope.Name(SCOPE_TOOLS_WRITE)},
                )
        elif entry.options.trust != TOOL_TRUST_ANY and not (run and run.requester_trusted):
            raise TrustRequired(
                f"{entry.name} is not for this run: somebody who asked does not belong to the place they "
                "wrote in. Say in your answer what you would have done, so that a member can ask for it."
            )


def refuse_unapproved(entry: ToolEntry) -> None:
    """Raise ApprovalRequired for a tool that a person must approve: nobody can be asked for it yet."""
    if entry.options.approval != TOOL_APPROVAL_NONE:
        raise ApprovalRequired(
            f"{entry.name} runs only after a person has approved it, and nobody can be asked yet. Say in "
            "your answer what you would have called it with."
        )


def _recorded(effect: Effect, change: Change[ResponseT]) -> ResponseT:
    """The response that the ledger has."""
    return json_format.Parse(effect.response_json, change.response(), ignore_unknown_fields=True)


async def _look(effect: Effect, change: Change[ResponseT]) -> ResponseT | None:
    with _unclear():
        return await change.find(effect)


@contextmanager
def _unclear() -> Iterator[None]:
    """Who cannot look cannot say that nothing was done."""
    try:
        yield
    except (VendorUnavailable, VendorRateLimited) as error:
        raise EffectUnclear(error) from None


def _begin_request(tool_name: str, request: Message) -> BeginEffectRequest:
    caller = current_caller()
    asked = BeginEffectRequest(
        tool_name=tool_name,
        request_sha256=hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest(),
    )
    if caller.origin is not None:
        asked.task_run_id = caller.origin.task_run_id
        asked.call_id = caller.origin.call_id
        asked.fence = caller.origin.fence
    else:
        asked.principal = caller.principal.name if caller.principal else ""
        asked.request_id = caller.request_id
    return asked
