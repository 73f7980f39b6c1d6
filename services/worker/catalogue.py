"""The models and tools there are, asked once in a while instead of once a run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aucert.models.v1.model_pb2 import Model
from aucert.models.v1.model_service_pb2 import ListModelsRequest
from aucert.tools.v1.tool_pb2 import Tool
from aucert.tools.v1.tool_service_pb2 import ListToolsRequest
from services.common.caller import caller_or_none
from services.worker.failures import RunFailed

if TYPE_CHECKING:
    from aucert.models.v1.model_service_pb2_grpc import ModelServiceAsyncStub
    from aucert.tools.v1.tool_service_pb2_grpc import ToolServiceAsyncStub

REMEMBERED_SECONDS = 60.0
TENANTS_MAX = 1_000


class Catalogue:
    """What both services list, at most REMEMBERED_SECONDS old."""

    def __init__(self, models: ModelServiceAsyncStub, tools: ToolServiceAsyncStub) -> None:
        self._model_stub = models
        self._tool_stub = tools
        self._models: tuple[float, dict[str, Model]] = (0.0, {})
        self._tools: dict[str, tuple[float, Sequence[Tool]]] = {}

    async def model(self, alias: str) -> Model:
        """The model with this alias. Raises RunFailed when there is none."""
        asked, models = self._models
        if not models or time.monotonic() - asked > REMEMBERED_SECONDS:
            response = await self._model_stub.ListModels(ListModelsRequest())
            models = {model.alias: model for model in response.models}
            self._models = (time.monotonic(), models)
        if alias not in models:
            raise RunFailed("MODEL_NOT_FOUND")
        return models[alias]

    async def tools(self) -> Sequence[Tool]:
        """The tools of the tenant at hand, in the catalogue's order; which are there is up to its tokens."""
        caller = caller_or_none()
        tenant_id = caller.tenant_id if caller else ""
        asked, tools = self._tools.get(tenant_id, (0.0, ()))
        if not tools or time.monotonic() - asked > REMEMBERED_SECONDS:
            tools = (await self._tool_stub.ListTools(ListToolsRequest())).tools
            if len(self._tools) >= TENANTS_MAX:
                self._tools.clear()
            self._tools[tenant_id] = (time.monotonic(), tools)
        return tools
