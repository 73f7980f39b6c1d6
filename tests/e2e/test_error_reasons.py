"""Every reason an error can carry is met for real, and told the way the contract says."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from aucert.common.v1.error_reason_pb2 import ErrorReason
from services.cli.embedded import EmbeddedTemporal
from tests.conftest import PostgresCluster
from tests.e2e.doors import Doors, opened
from tests.e2e.provocations import PROVOCATIONS

DOMAIN = "astra.aucert"
PREFIX = "ERROR_REASON_"
REASONS = [name.removeprefix(PREFIX) for name, number in ErrorReason.items() if number]
SAY_WHEN = {"BUDGET_HELD", "OVERLOADED", "MODEL_RATE_LIMITED", "VENDOR_RATE_LIMITED"}
"""Reasons that come with the time to wait."""


@pytest.fixture(scope="module")
async def doors(
    postgres: PostgresCluster, temporal: EmbeddedTemporal, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Doors]:
    """One stack for all reasons: no provocation leaves anything behind that another one meets."""
    async with opened(postgres, temporal, tmp_path_factory.mktemp("reasons")) as running:
        yield running


@pytest.mark.parametrize("reason", REASONS)
async def test_a_reason_is_met_and_told_whole(doors: Doors, reason: str):
    assert reason in PROVOCATIONS, f"tell in provocations.py how a caller meets {reason}"
    provocation = PROVOCATIONS[reason]
    if provocation.code is None:
        answer = await provocation.act(doors)
        assert (True, reason) == (answer.failed, answer.reason)
        assert answer.text
        return
    with pytest.raises(grpc.aio.AioRpcError) as met:
        await provocation.act(doors)
    status = rpc_status.from_call(met.value)
    (info,) = details(status, ErrorInfo)
    assert (provocation.code, reason, DOMAIN) == (met.value.code(), info.reason, info.domain)
    assert status.message
    assert (reason in SAY_WHEN) == bool(details(status, RetryInfo))
    assert (reason == "FIELD_INVALID") == bool(details(status, BadRequest))


def test_no_provocation_is_of_a_reason_that_is_gone():
    assert set() == PROVOCATIONS.keys() - set(REASONS)


def details(status: Status, kind: type[Message]) -> list[Message]:
    """What of this kind came with an error."""
    return [kind.FromString(each.value) for each in status.details if each.Is(kind.DESCRIPTOR)]
