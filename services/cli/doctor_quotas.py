"""What `astra doctor` says of the limits all processes share: how much is taken, and who wants patience."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import grpc

from aucert.astra.v1.quota_pb2 import Quota
from aucert.astra.v1.quota_service_pb2 import ListQuotasRequest
from services.cli.client import operator_clients
from services.cli.doctor import Finding
from services.cli.state import NoStack
from services.common.errors import from_rpc

LIMITS_MAX = 200
"""Limits looked at; more would be no help to a reader."""


async def examine_quotas(state_dir: Path) -> list[Finding]:
    """Ask the stack that runs here; nothing to say where none does."""
    try:
        async with operator_clients(state_dir, {}) as clients:
            listed = await clients.quotas.ListQuotas(ListQuotasRequest(page_size=LIMITS_MAX))
    except NoStack:
        return []
    except grpc.aio.AioRpcError as error:
        return [Finding("missing", "limits", from_rpc(error).message)]
    return limits_told(listed.quotas, datetime.now(UTC))


def limits_told(quotas: Sequence[Quota], now: datetime) -> list[Finding]:
    """One line for all, and one for each limit that is in use or blocked."""
    told = [*_in_use(quotas, now)]
    return [Finding("ok", "limits", f"{len(quotas)} are shared by all processes, {len(told)} in use"), *told]


def _in_use(quotas: Sequence[Quota], now: datetime) -> Iterator[Finding]:
    for quota in quotas:
        parts: list[str] = []
        if quota.limit_units and quota.taken_units:
            seconds = quota.window.seconds
            span = f"within {seconds} s" if seconds else "at the same time"
            parts.append(f"{quota.taken_units} of {quota.limit_units} taken {span}")
        if quota.HasField("blocked_until_time"):
            left = quota.blocked_until_time.ToDatetime(UTC) - now
            parts.append(f"to be left alone for {max(0, round(left.total_seconds()))} s more")
        if parts:
            yield Finding("ok", f"limit {quota.key}", ", ".join(parts))
