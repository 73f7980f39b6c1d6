"""The services a worker calls, by what it asks them for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from aucert.astra.v1.budget_service_pb2_grpc import BudgetServiceStub
from aucert.astra.v1.task_run_service_pb2_grpc import TaskRunServiceStub
from aucert.astra.v1.transcript_service_pb2_grpc import TranscriptServiceStub
from aucert.dispatcher.v1.dispatcher_service_pb2_grpc import DispatcherServiceStub
from aucert.models.v1.model_service_pb2_grpc import ModelServiceStub
from aucert.tools.v1.thread_service_pb2_grpc import ThreadServiceStub
from aucert.tools.v1.tool_service_pb2_grpc import ToolServiceStub
from aucert.tools.v1.workspace_service_pb2_grpc import WorkspaceServiceStub

if TYPE_CHECKING:
    from aucert.astra.v1.budget_service_pb2_grpc import BudgetServiceAsyncStub
    from aucert.astra.v1.task_run_service_pb2_grpc import TaskRunServiceAsyncStub
    from aucert.astra.v1.transcript_service_pb2_grpc import TranscriptServiceAsyncStub
    from aucert.dispatcher.v1.dispatcher_service_pb2_grpc import DispatcherServiceAsyncStub
    from aucert.models.v1.model_service_pb2_grpc import ModelServiceAsyncStub
    from aucert.tools.v1.thread_service_pb2_grpc import ThreadServiceAsyncStub
    from aucert.tools.v1.tool_service_pb2_grpc import ToolServiceAsyncStub
    from aucert.tools.v1.workspace_service_pb2_grpc import WorkspaceServiceAsyncStub


@dataclass(frozen=True, slots=True)
class Stubs:
    """One stub a service."""

    runs: TaskRunServiceAsyncStub
    transcripts: TranscriptServiceAsyncStub
    budgets: BudgetServiceAsyncStub
    dispatcher: DispatcherServiceAsyncStub
    models: ModelServiceAsyncStub
    tools: ToolServiceAsyncStub
    threads: ThreadServiceAsyncStub
    workspaces: WorkspaceServiceAsyncStub

    @classmethod
    def over(
        cls,
        *,
        astra: grpc.aio.Channel,
        dispatcher: grpc.aio.Channel,
        models: grpc.aio.Channel,
        tools: grpc.aio.Channel,
    ) -> Stubs:
        """The stubs over a channel to each process."""
        return cls(
            runs=TaskRunServiceStub(astra),
            transcripts=TranscriptServiceStub(astra),
            budgets=BudgetServiceStub(astra),
            dispatcher=DispatcherServiceStub(dispatcher),
            models=ModelServiceStub(models),
            tools=ToolServiceStub(tools),
            threads=ThreadServiceStub(tools),
            workspaces=WorkspaceServiceStub(tools),
        )
