"""Stubs for the commands: from the environment, else from the stack that runs here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aucert.astra.v1 import repository_service_pb2_grpc, task_run_service_pb2_grpc
from aucert.dispatcher.v1 import dispatcher_service_pb2_grpc
from services.cli.state import StateDirectory
from services.common.channels import connect

if TYPE_CHECKING:
    from aucert.astra.v1.repository_service_pb2_grpc import RepositoryServiceAsyncStub
    from aucert.astra.v1.task_run_service_pb2_grpc import TaskRunServiceAsyncStub
    from aucert.dispatcher.v1.dispatcher_service_pb2_grpc import DispatcherServiceAsyncStub


@dataclass(frozen=True, slots=True)
class Clients:
    """What an operator's commands call."""

    runs: TaskRunServiceAsyncStub
    repositories: RepositoryServiceAsyncStub
    dispatcher: DispatcherServiceAsyncStub


@asynccontextmanager
async def operator_clients(state_dir: Path, environment: Mapping[str, str]) -> AsyncIterator[Clients]:
    """Connect with ASTRA_ADDRESS, DISPATCHER_ADDRESS and ASTRA_TOKEN, or to the stack on `state_dir`.

    Raises NoStack when the variables are not set and no stack runs there.
    """
    if environment.get("ASTRA_TOKEN"):
        astra = environment.get("ASTRA_ADDRESS", "127.0.0.1:7001")
        dispatcher = environment.get("DISPATCHER_ADDRESS", "127.0.0.1:7002")
        token = environment["ASTRA_TOKEN"]
    else:
        stack = StateDirectory(state_dir).running_stack()
        astra, dispatcher, token = stack.astra_address, stack.dispatcher_address, stack.operator_token
    to_astra, to_dispatcher = connect(astra, token), connect(dispatcher, token)
    try:
        yield Clients(
            runs=task_run_service_pb2_grpc.TaskRunServiceStub(to_astra),
            repositories=repository_service_pb2_grpc.RepositoryServiceStub(to_astra),
            dispatcher=dispatcher_service_pb2_grpc.DispatcherServiceStub(to_dispatcher),
        )
    finally:
        await to_astra.close()
        await to_dispatcher.close()
