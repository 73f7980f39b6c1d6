"""The models and tools there are, asked once in a while instead of once a run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aucert.models.v1.model_pb2 import Model
from aucert.models.v1.model_service_pb2 import ListModelsRequest
from aucert.tools.v1.tool_pb2 import Tool
from aucert.tools.v1.tool_service_pb2 import ListToolsRequest
from services.worker.failures import RunFailed

if TYPE_CHECKING:
    from aucert.models.v1.model_service_pb2_grpc import ModelServiceAsyncStub
    from aucert.tools.v1.tool_service_pb2_grpc import ToolServiceAsyncStub

REMEMBERED_SECONDS = 60.0


class Catalogue:
    """What both services list, at most REMEMBERED_SECONDS old."""

    def __init__(self, models: ModelServiceAsyncStub, tools: ToolServiceAsyncStub) -> None:
        self._model_stub = models
        self._tool_stub = tools
        self._models: tuple[float, dict[str, Model]] = (0.0, {})
        self._tools: tuple[float, Sequence[Tool]] = (0.0, ())

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
        """All tools, in the catalogue's order."""
        asked, tools = self._tools
        if not tools or time.monotonic() - asked > REMEMBERED_SECONDS:
            tools = (await self._tool_stub.ListTools(ListToolsRequest())).tools
            self._tools = (time.monotonic(), tools)
        return tools
