"""Stubs for the commands: from the environment, else from the stack that runs here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aucert.astra.v1 import (
    agent_service_pb2_grpc,
    budget_service_pb2_grpc,
    knowledge_base_service_pb2_grpc,
    model_default_service_pb2_grpc,
    quota_service_pb2_grpc,
    repository_service_pb2_grpc,
    task_run_service_pb2_grpc,
    token_vault_service_pb2_grpc,
)
from aucert.dispatcher.v1 import dispatcher_service_pb2_grpc, drive_watch_service_pb2_grpc
from aucert.models.v1 import model_service_pb2_grpc
from aucert.tools.v1 import ingestion_service_pb2_grpc, knowledge_service_pb2_grpc, tool_service_pb2_grpc
from services.cli.state import StateDirectory
from services.common.channels import connect

if TYPE_CHECKING:
    from aucert.astra.v1.agent_service_pb2_grpc import AgentServiceAsyncStub
    from aucert.astra.v1.budget_service_pb2_grpc import BudgetServiceAsyncStub
    from aucert.astra.v1.knowledge_base_service_pb2_grpc import KnowledgeBaseServiceAsyncStub
    from aucert.astra.v1.model_default_service_pb2_grpc import ModelDefaultServiceAsyncStub
    from aucert.astra.v1.quota_service_pb2_grpc import QuotaServiceAsyncStub
    from aucert.astra.v1.repository_service_pb2_grpc import RepositoryServiceAsyncStub
    from aucert.astra.v1.task_run_service_pb2_grpc import TaskRunServiceAsyncStub
    from aucert.astra.v1.token_vault_service_pb2_grpc import TokenVaultServiceAsyncStub
    from aucert.dispatcher.v1.dispatcher_service_pb2_grpc import DispatcherServiceAsyncStub
    from aucert.dispatcher.v1.drive_watch_service_pb2_grpc import DriveWatchServiceAsyncStub
    from aucert.models.v1.model_service_pb2_grpc import ModelServiceAsyncStub
    from aucert.tools.v1.ingestion_service_pb2_grpc import IngestionServiceAsyncStub
    from aucert.tools.v1.knowledge_service_pb2_grpc import KnowledgeServiceAsyncStub
    from aucert.tools.v1.tool_service_pb2_grpc import ToolServiceAsyncStub


@dataclass(frozen=True, slots=True)
class Clients:
    """What an operator's commands call."""

    runs: TaskRunServiceAsyncStub
    repositories: RepositoryServiceAsyncStub
    agents: AgentServiceAsyncStub
    budgets: BudgetServiceAsyncStub
    dispatcher: DispatcherServiceAsyncStub
    watches: DriveWatchServiceAsyncStub
    tools: ToolServiceAsyncStub
    vault: TokenVaultServiceAsyncStub
    quotas: QuotaServiceAsyncStub
    models: ModelServiceAsyncStub
    model_defaults: ModelDefaultServiceAsyncStub
    knowledge_base: KnowledgeBaseServiceAsyncStub
    knowledge: KnowledgeServiceAsyncStub
    ingestion: IngestionServiceAsyncStub


@asynccontextmanager
async def operator_clients(state_dir: Path, environment: Mapping[str, str]) -> AsyncIterator[Clients]:
    """Connect with ASTRA_TOKEN to the services' addresses, or to the stack on `state_dir`.

    The addresses are ASTRA_ADDRESS, DISPATCHER_ADDRESS, MODELS_ADDRESS and TOOLS_ADDRESS; each has its usual
    default.

    Raises NoStack when the variables are not set and no stack runs there.
    """
    if environment.get("ASTRA_TOKEN"):
        astra = environment.get("ASTRA_ADDRESS", "127.0.0.1:7001")
        dispatcher = environment.get("DISPATCHER_ADDRESS", "127.0.0.1:7002")
        models = environment.get("MODELS_ADDRESS", "127.0.0.1:7003")
        tools = environment.get("TOOLS_ADDRESS", "127.0.0.1:7004")
        token = environment["ASTRA_TOKEN"]
    else:
        stack = StateDirectory(state_dir).running_stack()
        astra, dispatcher = stack.astra_address, stack.dispatcher_address
        models, tools = stack.models_address, stack.tools_address
        token = stack.operator_token
    channels = [connect(each, token) for each in (astra, dispatcher, models, tools)]
    to_astra, to_dispatcher, to_models, to_tools = channels
    try:
        yield Clients(
            runs=task_run_service_pb2_grpc.TaskRunServiceStub(to_astra),
            budgets=budget_service_pb2_grpc.BudgetServiceStub(to_astra),
            repositories=repository_service_pb2_grpc.RepositoryServiceStub(to_astra),
            agents=agent_service_pb2_grpc.AgentServiceStub(to_astra),
            dispatcher=dispatcher_service_pb2_grpc.DispatcherServiceStub(to_dispatcher),
            watches=drive_watch_service_pb2_grpc.DriveWatchServiceStub(to_dispatcher),
            tools=tool_service_pb2_grpc.ToolServiceStub(to_tools),
            vault=token_vault_service_pb2_grpc.TokenVaultServiceStub(to_astra),
            quotas=quota_service_pb2_grpc.QuotaServiceStub(to_astra),
            models=model_service_pb2_grpc.ModelServiceStub(to_models),
            model_defaults=model_default_service_pb2_grpc.ModelDefaultServiceStub(to_astra),
            knowledge_base=knowledge_base_service_pb2_grpc.KnowledgeBaseServiceStub(to_astra),
            knowledge=knowledge_service_pb2_grpc.KnowledgeServiceStub(to_tools),
            ingestion=ingestion_service_pb2_grpc.IngestionServiceStub(to_tools),
        )
    finally:
        for channel in channels:
            await channel.close()
