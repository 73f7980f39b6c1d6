"""WorkspaceService: a run's repository, cloned and pinned before its tools read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aucert.tools.v1 import workspace_service_pb2 as pb
from aucert.tools.v1.workspace_service_pb2_grpc import WorkspaceServiceServicer
from services.tools.run_context import RunContexts

if TYPE_CHECKING:
    from services.common.door import Context


class WorkspaceServicer(WorkspaceServiceServicer):
    """Prepares runs; the mirror's own limits bound how long it takes."""

    def __init__(self, runs: RunContexts) -> None:
        self._runs = runs

    async def PrepareWorkspace(
        self, request: pb.PrepareWorkspaceRequest, context: Context
    ) -> pb.PrepareWorkspaceResponse:
        """Clone or refresh the repository and pin the run's commit."""
        del context
        snapshot = await self._runs.prepare_run(request.task_run_id)
        return pb.PrepareWorkspaceResponse(commit=snapshot.commit)
