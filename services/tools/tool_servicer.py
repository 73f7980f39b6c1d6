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

from aucert.astra.v1.token_vault_pb2 import INTEGRATION_UNSPECIFIED
from aucert.astra.v1.token_vault_pb2 import Integration as CredentialKind
from aucert.tools.v1 import tool_service_pb2 as pb
from aucert.tools.v1.tool_service_pb2_grpc import ToolServiceServicer
from services.common.errors import Exhausted, ServiceError, Unavailable, from_rpc
from services.tools.catalogue import ToolEntry
from services.tools.credentials import Vault
from services.tools.effects import EffectUnclear, refuse_unapproved
from services.tools.external_calls import ExternalCalls
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

    `off_reason` says what is missing; empty: its tools can be used. With a token of the vault for `opened_by`
    they can be used all the same.
    """

    servicer: object
    prepare: Callable[[], Awaitable[object]] = _nothing
    off_reason: str = ""
    opened_by: CredentialKind.ValueType = INTEGRATION_UNSPECIFIED


class ToolServicer(ToolServiceServicer):
    """Lists and calls the tools; `integrations` by full service name. `vault` None: there is none to ask.

    `external` has the tools of MCP servers of others.
    """

    def __init__(
        self,
        catalogue: Mapping[str, ToolEntry],
        integrations: Mapping[str, Integration],
        vault: Vault | None = None,
        external: ExternalCalls | None = None,
    ) -> None:
        self._catalogue = {name: each for name, each in catalogue.items() if each.service in integrations}
        self._integrations = integrations
        self._vault = vault
        self._external = external

    async def ListTools(self, request: pb.ListToolsRequest, context: Context) -> pb.ListToolsResponse:
        """List the tools: the same bytes each time, until one that was off comes on or a server's change."""
        del request, context
        off = {service: await self._off_reason(each) for service, each in self._integrations.items()}
        listed = _listed(self._catalogue, off)
        if self._external is not None:
            tools, absent = self._external.listed()
            listed.tools.extend(tools)
            listed.tools.sort(key=lambda each: each.name)
            listed.absent.extend(absent)
        return listed

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
        if entry is None and self._external is not None and self._external.has(request.tool_name):
            with told_as_errors():
                return await self._external.call(request.tool_name, request.arguments_json)
        if entry is None:
            known = ", ".join(self._catalogue)
            raise ToolNotFound(f"There is no tool {request.tool_name!r}. There are: {known}.")
        integration = self._integrations[entry.service]
        if off_reason := await self._off_reason(integration):
            raise SourceOff(f"{entry.name} cannot be used here: {off_reason}.")
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

    async def _off_reason(self, integration: Integration) -> str:
        """What is missing for the caller's tenant. Empty: nothing."""
        if not (integration.off_reason and integration.opened_by and self._vault):
            return integration.off_reason
        return "" if integration.opened_by in await self._vault.integrations() else integration.off_reason


def _listed(catalogue: Mapping[str, ToolEntry], off_reasons: Mapping[str, str]) -> pb.ListToolsResponse:
    tools = [each for each in catalogue.values() if not off_reasons[each.service]]
    absent = [each for each in catalogue.values() if off_reasons[each.service]]
    return pb.ListToolsResponse(
        tools=[each.to_proto() for each in tools],
        absent=[
            pb.AbsentIntegration(integration=name, off_reason=off_reasons[service], tool_count=count)
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
