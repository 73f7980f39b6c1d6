"""ToolService: the catalogue, and one door to every tool for callers that hold JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from google.protobuf import json_format
from google.protobuf.message import Message

from aucert.tools.v1 import tool_service_pb2 as pb
from aucert.tools.v1.tool_service_pb2_grpc import ToolServiceServicer
from services.common.errors import Exhausted, ServiceError, Unavailable, from_rpc
from services.tools.catalogue import ToolEntry
from services.tools.failures import ToolNotFound, ToolTooSlow, is_fixable
from services.tools.tool_arguments import parse_arguments

if TYPE_CHECKING:
    from services.common.door import Context

log = structlog.get_logger()


async def _nothing() -> None:
    """Most integrations have nothing to prepare."""


@dataclass(frozen=True, slots=True)
class Integration:
    """A typed service in this process. `prepare` runs before the tool's own time begins (a first clone)."""

    servicer: object
    prepare: Callable[[], Awaitable[object]] = _nothing


class ToolServicer(ToolServiceServicer):
    """Lists and calls the tools; `integrations` by full service name."""

    def __init__(self, catalogue: Mapping[str, ToolEntry], integrations: Mapping[str, Integration]) -> None:
        self._catalogue = catalogue
        self._integrations = integrations
        self._listed = pb.ListToolsResponse(tools=[entry.to_proto() for entry in catalogue.values()])

    async def ListTools(self, request: pb.ListToolsRequest, context: Context) -> pb.ListToolsResponse:
        """List the tools: the same bytes each time."""
        del request, context
        return self._listed

    async def CallTool(self, request: pb.CallToolRequest, context: Context) -> pb.CallToolResponse:
        """Call a tool. What went wrong is a value for the model, unless repeating the same call may help."""
        try:
            response: Any = await self._call(request, context)
        except grpc.aio.AioRpcError as error:
            answered = from_rpc(error)
            if isinstance(answered, Unavailable | Exhausted):
                raise  # the platform is in trouble, not the call: the worker repeats it
            return _failed(answered)
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
        arguments = parse_arguments(entry, request.arguments_json)
        integration = self._integrations[entry.service]
        await integration.prepare()
        seconds = entry.timeout.total_seconds()
        try:
            async with asyncio.timeout(seconds):
                return await getattr(integration.servicer, entry.method)(arguments, context)
        except TimeoutError:
            raise ToolTooSlow(f"{entry.name} took longer than {seconds:g} s. Ask for less at once.") from None


def _failed(error: ServiceError) -> pb.CallToolResponse:
    return pb.CallToolResponse(
        text=error.message, failed=True, reason=error.reason, fixable=is_fixable(error)
    )
