"""What `astra doctor` says of the tools and the vault of a running stack: what is on, what is off and why."""

from __future__ import annotations

from pathlib import Path

import grpc

from aucert.astra.v1.token_vault_service_pb2 import GetVaultRequest
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
            vault = await clients.vault.GetVault(GetVaultRequest())
    except NoStack:
        return []
    except grpc.aio.AioRpcError as error:
        return [Finding("missing", "tools", from_rpc(error).message)]
    absent = [
        Finding("off", f"tools {each.integration}", _absent(each.tool_count, each.off_reason))
        for each in listed.absent
    ]
    return [
        Finding("ok", "tools", f"{len(listed.tools)} can be used"),
        *absent,
        Finding("ok", "vault", f"seals with key {vault.key_id}")
        if vault.on
        else Finding("off", "vault", vault.off_reason, "docs/vault.md says how to make a key"),
    ]


def _absent(tool_count: int, off_reason: str) -> str:
    return f"{tool_count} tools are absent: {off_reason}" if tool_count > 1 else f"absent: {off_reason}"
