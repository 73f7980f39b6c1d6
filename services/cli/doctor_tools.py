"""What `astra doctor` says of the tools: how many a running stack has, which are absent and why."""

from __future__ import annotations

from pathlib import Path

import grpc

from aucert.tools.v1.tool_service_pb2 import ListToolsRequest
from services.cli.client import operator_clients
from services.cli.doctor import Finding
from services.cli.state import NoStack
from services.common.errors import from_rpc


async def examine_tools(state_dir: Path) -> list[Finding]:
    """Ask the stack that runs here; nothing to say where none does."""
    try:
        async with operator_clients(state_dir, {}) as clients:
            listed = await clients.tools.ListTools(ListToolsRequest())
    except NoStack:
        return []
    except grpc.aio.AioRpcError as error:
        return [Finding("missing", "tools", from_rpc(error).message)]
    absent = [
        Finding("off", f"tools {each.integration}", f"{each.tool_count} tools are absent: {each.off_reason}")
        for each in listed.absent
    ]
    return [Finding("ok", "tools", f"{len(listed.tools)} can be used"), *absent]
