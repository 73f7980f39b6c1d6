"""A tools service before the Plane stand-in, with Astra in memory: what the Plane tools are tried on."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aucert.astra.v1.repository_pb2 import Repository
from aucert.common.v1.thread_pb2 import SOURCE_PLANE, PlaneThread, ThreadAddress
from aucert.tools.v1.plane_service_pb2_grpc import PlaneServiceStub
from aucert.tools.v1.tool_service_pb2_grpc import ToolServiceStub
from services.common.channels import connect
from services.sandbox.plane_domain import stable_id
from services.tools.main import running
from services.tools.settings import ToolsSettings
from tests.service.plane_stage import KEY, WORKSPACE, PlaneStage, plane_stage
from tests.service.tool_calls import ToolCalls
from tests.service.tools_stage import WORKER, Astra, serving_astra

if TYPE_CHECKING:
    from aucert.tools.v1.plane_service_pb2_grpc import PlaneServiceAsyncStub
    from aucert.tools.v1.tool_service_pb2_grpc import ToolServiceAsyncStub

SHOP, WEB, SECRET = (stable_id("project", name) for name in ("shop", "web", "secret"))
"""The first two are registered; Plane shows us all three."""


@dataclass
class Stage(ToolCalls):
    """`asked` is where the runs were asked: SHOP-1, filed by maria."""

    plane: PlaneStage
    astra: Astra
    tools: ToolServiceAsyncStub
    typed: PlaneServiceAsyncStub
    asked: dict[str, Any]

    def add_run(self, *, trusted: bool = True) -> str:
        """A run asked for by maria on SHOP-1."""
        address = PlaneThread(
            workspace_id=stable_id("workspace", WORKSPACE),
            project_id=self.asked["project"],
            work_item_id=self.asked["work_item"],
            identifier="SHOP-1",
        )
        return self.astra.add_run(
            None,
            source=SOURCE_PLANE,
            requester_trusted=trusted,
            address=ThreadAddress(plane=address),
        )

    async def items(self) -> dict[str, dict[str, Any]]:
        """Every work item by its identifier."""
        listed = await self.plane.admin("GET", "/plane/work-items")
        return {each["identifier"]: each for each in listed["work_items"]}

    async def identifier_of(self, filed: dict[str, Any]) -> str:
        """What people call a work item that was filed."""
        items = (await self.items()).items()
        return next(named for named, each in items if each["work_item"] == filed["work_item"])


@asynccontextmanager
async def plane_tools_stage(
    folder: Path, *, per_minute: int = 100_000, **settings: Any
) -> AsyncIterator[Stage]:
    async with (
        serving_astra() as (astra, astra_address),
        plane_stage(wired=False, per_minute=per_minute) as plane,
    ):
        known: dict[str, Any] = {
            "_env_file": None,
            "ASTRA_TOKEN": "tools-token",
            "ASTRA_ADDRESS": astra_address,
            "TOOLS_PORT": 0,
            "WORKSPACE_DIR": folder,
            "PLANE_SETTLE_SECONDS": 0.05,
            "PLANE_API_URL": f"{plane.url}/plane",
            "PLANE_APP_URL": f"{plane.url}/web/plane",
            "PLANE_API_KEY": KEY,
            "PLANE_WORKSPACE": WORKSPACE,
        }
        astra.repositories["shop"] = Repository(
            repository_id=str(uuid.uuid4()),
            slug="acme/shop",
            source_containers=[f"plane:{SHOP}", f"plane:{WEB}"],
        )
        async with running(ToolsSettings(**(known | settings))) as server:
            channel = connect(server.address, WORKER)
            asked = await plane.file("@atlas why?")
            for name in ("web", "secret"):
                await plane.file(f"In {name}.", name=f"About {name}", project=name)
            yield Stage(plane, astra, ToolServiceStub(channel), PlaneServiceStub(channel), asked)
            await channel.close()
