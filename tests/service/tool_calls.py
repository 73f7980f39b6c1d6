"""Tools as a model calls them: by name, with JSON, inside a run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from aucert.tools.v1 import tool_service_pb2 as pb
from tests.service.tools_stage import in_run

if TYPE_CHECKING:
    from aucert.tools.v1.tool_service_pb2_grpc import ToolServiceAsyncStub


class ToolCalls:
    """What a stage with the tools service has; an empty `run`: the call belongs to none."""

    tools: ToolServiceAsyncStub

    async def call(
        self, tool: str, /, *, run: str, call_id: str = "t1_0", **arguments: object
    ) -> pb.CallToolResponse:
        request = pb.CallToolRequest(tool_name=tool, arguments_json=json.dumps(arguments))
        return await self.tools.CallTool(request, metadata=in_run(run, call_id) if run else [], timeout=30)

    async def text(self, tool: str, /, *, run: str, call_id: str = "t1_0", **arguments: object) -> str:
        """What a call that succeeds tells the model."""
        answer = await self.call(tool, run=run, call_id=call_id, **arguments)
        assert not answer.failed, answer.text
        return answer.text

    async def reason(
        self, tool: str, /, *, run: str, call_id: str = "t1_0", **arguments: object
    ) -> tuple[str, bool]:
        """Why a call failed, and whether the model may mend it."""
        answer = await self.call(tool, run=run, call_id=call_id, **arguments)
        assert answer.failed, answer.text
        return answer.reason, answer.fixable
