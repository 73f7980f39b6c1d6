"""What the handlers work with, made in `app.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.batcher import Batcher

if TYPE_CHECKING:
    from grpc_health.v1.health_pb2_grpc import HealthStub

    from aucert.astra.v1.token_vault_service_pb2_grpc import TokenVaultServiceAsyncStub
    from aucert.dispatcher.v1.dispatcher_service_pb2_grpc import DispatcherServiceAsyncStub
    from aucert.models.v1.model_service_pb2_grpc import ModelServiceAsyncStub


@dataclass(frozen=True, slots=True)
class Parts:
    """`callers_dispatcher` calls with the token given to each call; `health` maps service names to stubs.

    `models` is None where no address of theirs is set.
    """

    batcher: Batcher
    dispatcher: DispatcherServiceAsyncStub
    callers_dispatcher: DispatcherServiceAsyncStub
    models: ModelServiceAsyncStub | None
    vault: TokenVaultServiceAsyncStub
    health: Mapping[str, HealthStub]


PARTS = web.AppKey("parts", Parts)
