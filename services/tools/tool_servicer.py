"""ToolService: the catalogue, and one door to every tool for callers that hold JSON."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from google.protobuf import json_format
from google.protobuf.message import Message

from aucert.tools.v1 import tool_service_pb2 as pb
from aucert.tools.v1.tool_service_pb2_grpc import ToolServiceServicer
from services.common.errors import Exhausted, ServiceError, Unavailable, from_rpc
from services.tools.catalogue import ToolEntry
from services.tools.effects import EffectUnclear, refuse_unapproved
from services.tools.failures import ToolNotFound, ToolTooSlow, is_fixable, told_as_errors
from services.tools.tool_arguments import parse_arguments
from services.tools.vendor_errors import SourceOff, VendorRateLimited

if TYPE_CHECKING:
    from services.common.door import Context

WAITED_FOR_MAX = timedelta(minutes=1)
"""The longest a run waits for a vendor, on a timer, instead of its model being told of the wait."""
FENCE_STALE = "FENCE_STALE"
log = structlog.get_logger()


async def _nothing() -> None:
    """Most integrations have nothing to prepare."""


@dataclass(frozen=True, slots=True)
class Integration:
    """A typed service in this process. `prepare` runs before the tool's own time begins (a first clone).

    `off_reason` says what is missing; empty: its tools can be used.
    """

    servicer: object
    prepare: Callable[[], Awaitable[object]] = _nothing
    off_reason: str = ""


class ToolServicer(ToolServiceServicer):
    """Lists and calls the tools; `integrations` by full service name."""

    def __init__(self, catalogue: Mapping[str, ToolEntry], integrations: Mapping[str, Integration]) -> None:
        self._catalogue = {name: each for name, each in catalogue.items() if each.service in integrations}
        self._integrations = integrations
        self._listed = _listed(self._catalogue, integrations)

    async def ListTools(self, request: pb.ListToolsRequest, context: Context) -> pb.ListToolsResponse:
        """List the tools: the same bytes each time."""
        del request, context
        return self._listed

    async def CallTool(self, request: pb.CallToolRequest, context: Context) -> pb.CallToolResponse:
        """Call a tool. What went wrong is a value for the model, unless the same call is to be repeated."""
        try:
            response: Any = await self._call(request, context)
        except grpc.aio.AioRpcError as error:
            answered = from_rpc(error)
            if isinstance(answered, Unavailable | Exhausted) or answered.reason == FENCE_STALE:
                raise  # the platform is in trouble, not the call: the worker repeats it
            return _failed(answered)
        except EffectUnclear:
            raise
        except VendorRateLimited as limited:
            if (limited.retry_after or WAITED_FOR_MAX) <= WAITED_FOR_MAX:
                raise
            return _failed(_too_long(limited))
        except ServiceError as error:
            return _failed(error)
        except Exception as error:
            log.error("tool_failed", tool=request.tool_name, exc_info=error)
            return _failed(ServiceError("The tool failed inside. Other tools may still help."))
        return pb.CallToolResponse(
            text=response.text,
            response_json=json_format.MessageToJson(response, preserving_proto_field_name=True, indent=None),
        )

    async def _call(self, request: pb.CallToolRequest, context: Context) -> Message:
        entry = self._catalogue.get(request.tool_name)
        if entry is None:
            known = ", ".join(self._catalogue)
            raise ToolNotFound(f"There is no tool {request.tool_name!r}. There are: {known}.")
        integration = self._integrations[entry.service]
        if integration.off_reason:
            raise SourceOff(f"{entry.name} cannot be used here: {integration.off_reason}.")
        with told_as_errors():
            refuse_unapproved(entry)
        arguments = parse_arguments(entry, request.arguments_json)
        await integration.prepare()
        seconds = entry.timeout.total_seconds()
        try:
            async with asyncio.timeout(seconds):
                return await getattr(integration.servicer, entry.method)(arguments, context)
        except TimeoutError:
            if entry.writes:
                raise EffectUnclear from None
            raise ToolTooSlow(f"{entry.name} took longer than {seconds:g} s. Ask for less at once.") from None


def _listed(
    catalogue: Mapping[str, ToolEntry], integrations: Mapping[str, Integration]
) -> pb.ListToolsResponse:
    tools = [each for each in catalogue.values() if not integrations[each.service].off_reason]
    absent = [each for each in catalogue.values() if integrations[each.service].off_reason]
    return pb.ListToolsResponse(
        tools=[each.to_proto() for each in tools],
        absent=[
            pb.AbsentIntegration(
                integration=name, off_reason=integrations[service].off_reason, tool_count=count
            )
            for (name, service), count in Counter((each.integration, each.service) for each in absent).items()
        ],
    )


def _too_long(limited: VendorRateLimited) -> VendorRateLimited:
    """A wait no run should stand still for: the model goes on with what it has."""
    seconds = round((limited.retry_after or WAITED_FOR_MAX).total_seconds())
    return VendorRateLimited(
        f"{limited.message} Nothing was done. Calls like this one work again in about {seconds} s: go on "
        "without them, and say in your answer what you could not look at or do."
    )


def _failed(error: ServiceError) -> pb.CallToolResponse:
    return pb.CallToolResponse(
        text=error.message, failed=True, reason=error.reason, fixable=is_fixable(error)
    )
