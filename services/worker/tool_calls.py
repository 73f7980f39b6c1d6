"""Runs the calls of one turn side by side and puts what came of each into words for the model.

A call that fails is a result like any other. Only a tools service that cannot be reached, a change of which
nobody knows whether it was made, a vendor that asks for a short wait, or an attempt that is no longer the
newest ends the attempt; the calls are then made again by the next one, and what was changed is found.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from aucert.astra.v1.transcript_pb2 import FinishedToolCall
from aucert.models.v1.message_pb2 import ToolCall, ToolResult
from aucert.tools.v1.tool_pb2 import TOOL_EFFECT_READ, Tool
from aucert.tools.v1.tool_service_pb2 import CallToolRequest, CallToolResponse
from services.common.caller import ToolCallOrigin, acting_for
from services.common.errors import Invalid, NotFound, Refused, ServiceError
from services.worker.failures import FENCE_STALE
from services.worker.pacing import paced

if TYPE_CHECKING:
    from aucert.tools.v1.tool_service_pb2_grpc import ToolServiceAsyncStub

CALLS_AT_ONCE_MAX = 8
RESULT_CHARS_MAX = 250_000
"""Just under what the record takes; tools cut their output far below it and say so."""
TIMEOUT_GRACE_SECONDS = 2.0
"""What the tools service gets to say itself that a tool took too long."""


@dataclass(frozen=True, slots=True)
class CallingRun:
    """On whose behalf tools are called."""

    tenant_id: str
    task_run_id: str
    fence: int


class ToolCaller:
    """Calls the tools that a run is offered, and no others."""

    def __init__(self, stub: ToolServiceAsyncStub, run: CallingRun, tools: Iterable[Tool]) -> None:
        self._stub = stub
        self._run = run
        self._tools = {tool.name: tool for tool in tools}
        self._places = asyncio.Semaphore(CALLS_AT_ONCE_MAX)

    async def call_all(self, calls: Sequence[ToolCall]) -> list[FinishedToolCall]:
        """Run every call; results in the order of the calls.

        Raises AioRpcError, ServiceError or RateLimited once all are done.
        """
        results = await asyncio.gather(*(self._finished(call) for call in calls), return_exceptions=True)
        for each in results:
            if isinstance(each, BaseException):
                raise each
        return [each for each in results if isinstance(each, FinishedToolCall)]

    async def _finished(self, call: ToolCall) -> FinishedToolCall:
        async with self._places:
            started = time.monotonic()
            answer = await self._answer(call)
            return FinishedToolCall(
                result=ToolResult(
                    call_id=call.call_id,
                    text=answer.text[:RESULT_CHARS_MAX],
                    failed=answer.failed,
                    fixable=answer.fixable,
                ),
                reason=answer.reason,
                duration_ms=round((time.monotonic() - started) * 1000),
            )

    async def _answer(self, call: ToolCall) -> CallToolResponse:
        tool = self._tools.get(call.tool_name)
        if tool is None:
            names = ", ".join(self._tools) or "none"
            return _failed(
                "TOOL_NOT_FOUND", f"There is no tool of that name. You have: {names}.", fixable=True
            )
        seconds = tool.timeout.ToTimedelta().total_seconds()
        run = self._run
        with acting_for(run.tenant_id, origin=ToolCallOrigin(run.task_run_id, call.call_id, run.fence)):
            request = CallToolRequest(tool_name=call.tool_name, arguments_json=call.arguments_json)
            timeout = seconds + TIMEOUT_GRACE_SECONDS

            async def answered() -> CallToolResponse:
                try:
                    return await self._stub.CallTool(request, timeout=timeout)
                except grpc.aio.AioRpcError as error:
                    # Slow is not the model's mistake; but whether something was changed, it must not guess.
                    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and tool.effect == TOOL_EFFECT_READ:
                        text = (
                            f"The call took longer than {seconds:g} s and was stopped. Ask for less at once."
                        )
                        return _failed("SERVICE_UNAVAILABLE", text, fixable=False)
                    raise

            try:
                return await paced(answered)
            except ServiceError as failure:
                return _refused(failure)


def _refused(failure: ServiceError) -> CallToolResponse:
    """A refused call in words for the model. Raises the failure if the attempt must end."""
    if failure.reason == FENCE_STALE or not isinstance(failure, Invalid | NotFound | Refused):
        raise failure
    return _failed(failure.reason, failure.message, fixable=not isinstance(failure, Refused))


def _failed(reason: str, text: str, *, fixable: bool) -> CallToolResponse:
    return CallToolResponse(text=text, failed=True, reason=reason, fixable=fixable)
