"""A tools service before the Google and Brave stand-ins; Astra in memory.

The folder "Specs" is on the allow-list, and with it its document "Spec", on which maria has asked something;
"Diary" exists beside it and is registered by nobody.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from aucert.astra.v1.repository_pb2 import Repository
from aucert.common.v1.thread_pb2 import SOURCE_GOOGLE_DRIVE, GoogleDriveThread, ThreadAddress
from aucert.tools.v1 import tool_service_pb2 as pb
from aucert.tools.v1.tool_service_pb2_grpc import ToolServiceStub
from services.common.channels import connect
from services.sandbox.google_domain import FOLDER
from services.sandbox.settings import BraveSettings
from services.tools.main import running
from services.tools.settings import ToolsSettings
from tests.service.google_stage import GoogleStage, google_stage
from tests.service.tools_stage import OUTSIDER, WORKER, Astra, in_run, serving_astra

if TYPE_CHECKING:
    from aucert.tools.v1.tool_service_pb2_grpc import ToolServiceAsyncStub

SPEC = """# Refunds
A buyer has 30 days. 😀 After 30 days nothing is paid.
- Who pays?
| Case | Days |
| --- | --- |
| EU | 14 |
The end.
"""


@dataclass
class DriveStage:
    """`asked` is the comment the runs were asked in."""

    google: GoogleStage
    astra: Astra
    tools: ToolServiceAsyncStub
    outsider: ToolServiceAsyncStub
    channel: grpc.aio.Channel
    number: int = 0
    folder: str = ""
    spec: str = ""
    diary: str = ""
    asked: Mapping[str, Any] = field(default_factory=dict[str, Any])

    async def call(
        self, tool: str, /, *, run: str = "", call_id: str = "t1_0", **arguments: object
    ) -> pb.CallToolResponse:
        request = pb.CallToolRequest(tool_name=tool, arguments_json=json.dumps(arguments))
        return await self.tools.CallTool(request, metadata=in_run(run, call_id) if run else [], timeout=30)

    async def text(self, tool: str, /, *, run: str = "", **arguments: object) -> str:
        """What a call that succeeds tells the model."""
        answer = await self.call(tool, run=run, **arguments)
        assert not answer.failed, answer.text
        return answer.text

    async def reason(self, tool: str, /, *, run: str = "", **arguments: object) -> tuple[str, bool]:
        """Why a call failed, and whether the model may mend it."""
        answer = await self.call(tool, run=run, **arguments)
        assert answer.failed, answer.text
        return answer.reason, answer.fixable

    def add_run(self, *, trusted: bool = True) -> str:
        """A run asked for by maria in a comment on "Spec"."""
        here = GoogleDriveThread(file_id=self.spec, comment_id=self.asked["comment_id"])
        return self.astra.add_run(
            None,
            source=SOURCE_GOOGLE_DRIVE,
            requester="maria",
            requester_trusted=trusted,
            address=ThreadAddress(google_drive=here),
        )

    async def write(self, text: str, file_id: str = "") -> None:
        """Somebody writes a document anew."""
        await self.google.admin("PUT", "/google-drive/documents", file_id=file_id or self.spec, text=text)

    async def document(self, file_id: str = "") -> Any:
        """A document's paragraphs and named ranges."""
        return await self.google.admin("GET", f"/google-drive/documents/{file_id or self.spec}")

    async def paragraphs(self, file_id: str = "") -> list[str]:
        return [each["text"] for each in (await self.document(file_id))["paragraphs"]]

    async def furnish(self) -> None:
        """A world of its own for a test: the names are new, and so the files."""
        self.number += 1
        google = self.google
        self.folder = await google.file(f"Specs {self.number}", mime_type=FOLDER)
        self.spec = await google.file(f"Spec {self.number}", parent=self.folder)
        self.diary = await google.file(f"Diary {self.number}")
        await self.write(SPEC)
        await self.write("Refunds are on my mind.", self.diary)
        self.asked = await google.comment(self.spec, "@atlas why?", quoted="30 days")
        await google.admin("DELETE", "/faults")
        shop = Repository(
            repository_id=str(uuid.uuid4()),
            slug="shop",
            source_containers=[f"google-drive:folder/{self.folder}"],
        )
        self.astra.repositories = {"shop": shop}
        self.astra.effects = {}


@asynccontextmanager
async def drive_stage(folder: Path, **settings: Any) -> AsyncGenerator[DriveStage, None]:
    """`settings`: of the tools service, instead of those that fit the stand-ins."""
    async with google_stage(wired=False) as google, serving_astra() as (astra, astra_address):
        known = {
            "_env_file": None,
            "ASTRA_TOKEN": "tools-token",
            "ASTRA_ADDRESS": astra_address,
            "TOOLS_PORT": 0,
            "WORKSPACE_DIR": folder,
            "GOOGLE_SETTLE_SECONDS": 0.02,
            "BRAVE_API_URL": f"{google.url}/brave",
            "BRAVE_API_KEY": BraveSettings().api_key,
            **google.environment,
        }
        async with running(ToolsSettings(**(known | settings))) as server:
            channel, outside = connect(server.address, WORKER), connect(server.address, OUTSIDER)
            try:
                yield DriveStage(google, astra, ToolServiceStub(channel), ToolServiceStub(outside), channel)
            finally:
                await channel.close()
                await outside.close()
