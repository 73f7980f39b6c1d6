"""A tools service before the Slack stand-in, with Astra in memory: what the Slack tools are tried on."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aucert.astra.v1.repository_pb2 import Repository
from aucert.common.v1.thread_pb2 import SOURCE_SLACK, SlackThread, ThreadAddress
from aucert.tools.v1.slack_service_pb2_grpc import SlackServiceStub
from aucert.tools.v1.tool_service_pb2_grpc import ToolServiceStub
from services.common.channels import connect
from services.sandbox.slack_domain import channel_id
from services.tools.main import running
from services.tools.settings import ToolsSettings
from tests.service.slack_stage import TOKEN, SlackStage, slack_stage
from tests.service.tool_calls import ToolCalls
from tests.service.tools_stage import WORKER, Astra, serving_astra

if TYPE_CHECKING:
    from aucert.tools.v1.slack_service_pb2_grpc import SlackServiceAsyncStub
    from aucert.tools.v1.tool_service_pb2_grpc import ToolServiceAsyncStub

TEAM = "T0SANDBOX"
SHOP, WEB, SECRET = (channel_id(name) for name in ("shop", "web", "secret"))
"""The first two are registered; all three have the app in them."""


@dataclass
class Stage(ToolCalls):
    """`asked` is where the runs were asked: a message of maria's in #shop."""

    slack: SlackStage
    astra: Astra
    tools: ToolServiceAsyncStub
    typed: SlackServiceAsyncStub
    asked: dict[str, Any]

    def add_run(self, *, trusted: bool = True, channel: str = "", thread_ts: str = "") -> str:
        """A run asked for by maria on Slack."""
        address = SlackThread(
            team_id=TEAM, channel_id=channel or SHOP, thread_ts=thread_ts or self.asked["ts"]
        )
        return self.astra.add_run(
            None,
            source=SOURCE_SLACK,
            requester_trusted=trusted,
            address=ThreadAddress(slack=address),
        )

    def register(self, name: str) -> str:
        """A channel of a test's own, on the allow-list."""
        found = channel_id(name)
        self.astra.repositories["shop"].source_containers.append(f"slack:{TEAM}/{found}".lower())
        return found

    async def posts(self, message: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """What the app wrote in a thread."""
        return [each for each in await self.slack.thread(message or self.asked) if each["by_app"]]


@asynccontextmanager
async def slack_tools_stage(folder: Path, **settings: Any) -> AsyncIterator[Stage]:
    async with serving_astra() as (astra, astra_address), slack_stage(wired=False) as slack:
        known: dict[str, Any] = {
            "_env_file": None,
            "ASTRA_TOKEN": "tools-token",
            "ASTRA_ADDRESS": astra_address,
            "TOOLS_PORT": 0,
            "WORKSPACE_DIR": folder,
            "SLACK_SETTLE_SECONDS": 0.05,
            "SLACK_API_URL": f"{slack.url}/slack/api",
            "SLACK_BOT_TOKEN": TOKEN,
        }
        containers = [f"slack:{TEAM}/{each}".lower() for each in (SHOP, WEB, "IM")]
        astra.repositories["shop"] = Repository(
            repository_id=str(uuid.uuid4()), slug="acme/shop", source_containers=containers
        )
        async with running(ToolsSettings(**(known | settings))) as server:
            channel = connect(server.address, WORKER)
            asked = await slack.say("@atlas why?")
            for name in ("web", "secret"):
                await slack.admin("POST", "/slack/channels", name=name)
            yield Stage(slack, astra, ToolServiceStub(channel), SlackServiceStub(channel), asked)
            await channel.close()
