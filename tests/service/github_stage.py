"""A tools service before the GitHub stand-in, whose App has what the manifest asks for; Astra in memory."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import rsa

from aucert.astra.v1.repository_pb2 import Repository
from aucert.common.v1.thread_pb2 import SOURCE_GITHUB, GitHubThread, ThreadAddress
from aucert.tools.v1 import tool_service_pb2 as pb
from aucert.tools.v1.github_service_pb2_grpc import GitHubServiceStub
from aucert.tools.v1.tool_service_pb2_grpc import ToolServiceStub
from services.cli import sandbox
from services.common.channels import connect
from services.tools.main import running
from services.tools.settings import ToolsSettings
from tests.service.github_app_kit import APP_ID, INSTALLATION_ID, app_of, github, private_pem
from tests.service.tools_stage import OUTSIDER, WORKER, Astra, in_run, serving_astra

if TYPE_CHECKING:
    from aucert.tools.v1.github_service_pb2_grpc import GitHubServiceAsyncStub
    from aucert.tools.v1.tool_service_pb2_grpc import ToolServiceAsyncStub

SHOP, WEB = "acme/shop", "acme/web"
FILES = {
    "README.md": "# Shop\n\nSells things.\n",
    "src/cart.py": "def add(cart, item):\n    cart.append(item)\n",
    "logo.bin": "\0png",
}


def repository_id(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))


@dataclass
class Stage:
    """`issue` 1 of acme/shop is where the runs were asked; pull request 2 is there to look at."""

    astra: Astra
    tools: ToolServiceAsyncStub
    typed: GitHubServiceAsyncStub
    outsider: ToolServiceAsyncStub
    url: str

    async def call(
        self, tool: str, /, *, run: str, call_id: str = "t1_0", **arguments: object
    ) -> pb.CallToolResponse:
        request = pb.CallToolRequest(tool_name=tool, arguments_json=json.dumps(arguments))
        return await self.tools.CallTool(request, metadata=in_run(run, call_id) if run else [], timeout=30)

    async def text(self, tool: str, /, *, run: str, **arguments: object) -> str:
        """What a call that succeeds tells the model."""
        answer = await self.call(tool, run=run, **arguments)
        assert not answer.failed, answer.text
        return answer.text

    async def reason(self, tool: str, /, *, run: str, **arguments: object) -> tuple[str, bool]:
        """Why a call failed, and whether the model may mend it."""
        answer = await self.call(tool, run=run, **arguments)
        assert answer.failed
        return answer.reason, answer.fixable

    def add_run(self, *, trusted: bool = True, number: int = 1, review_comment_id: int = 0) -> str:
        """A run asked for by maria on an issue or pull request of acme/shop."""
        address = GitHubThread(
            repository=SHOP,
            number=number,
            review_comment_id=review_comment_id,
            installation_id=INSTALLATION_ID,
        )
        run = self.astra.add_run(
            None,
            source=SOURCE_GITHUB,
            requester="maria",
            requester_trusted=trusted,
            address=ThreadAddress(github=address),
        )
        self.astra.runs[run].repository_id = repository_id(SHOP)
        return run

    async def admin(self, path: str, /, **body: object) -> Any:
        return await sandbox.call(self.url, "POST", f"/_sandbox{path}", body)

    async def fault(self, path_pattern: str, action: str, *, times: int = 1, method: str = "POST") -> None:
        await self.admin("/faults", method=method, path_pattern=path_pattern, times=times, action=action)

    async def thread(self, number: int, repository: str = SHOP) -> Any:
        return await sandbox.call(self.url, "GET", f"/_sandbox/github/threads/{repository}/{number}")

    async def bodies(self, number: int) -> list[str]:
        return [each["body"] for each in (await self.thread(number))["comments"]]

    async def say(self, body: str, /, **more: object) -> int:
        said = await self.admin(
            "/github/comments", **{"repository": SHOP, "number": 1, "author": "maria", "body": body} | more
        )
        return said["id"]


@asynccontextmanager
async def github_stage(key: rsa.RSAPrivateKey, folder: Path, **settings: Any) -> AsyncIterator[Stage]:
    """Its App is installed on both repositories; acme/secret exists and is registered by nobody."""
    async with github(app_of(key)) as url, serving_astra() as (astra, astra_address):
        known = {
            "_env_file": None,
            "ASTRA_TOKEN": "tools-token",
            "ASTRA_ADDRESS": astra_address,
            "TOOLS_PORT": 0,
            "WORKSPACE_DIR": folder,
            "GITHUB_SETTLE_SECONDS": 0.05,
            "GITHUB_API_URL": f"{url}/github",
            "GITHUB_APP_ID": APP_ID,
            "GITHUB_APP_PRIVATE_KEY": private_pem(key),
        }
        async with running(ToolsSettings(**(known | settings))) as server:
            channel, outside = connect(server.address, WORKER), connect(server.address, OUTSIDER)
            stage = Stage(
                astra, ToolServiceStub(channel), GitHubServiceStub(channel), ToolServiceStub(outside), url
            )
            await _furnish(stage)
            yield stage
            await channel.close()
            await outside.close()


async def _furnish(stage: Stage) -> None:
    for name in (SHOP, WEB):
        stage.astra.repositories[name] = Repository(
            repository_id=repository_id(name), slug=name, source_containers=[f"github:{name}"]
        )
    for name in (WEB, "acme/secret"):
        await stage.admin("/github/repositories", repository=name, description="Sells <!-- things -->")
        await stage.admin("/github/issues", repository=name, title="Elsewhere", body="handleOrder is slow")
        await stage.admin("/github/files", repository=name, files={"a.ts": "export handleOrder"})
    base = await stage.admin("/github/files", repository=SHOP, files=FILES)
    changed = {"src/cart.py": FILES["src/cart.py"].replace("append", "add"), "src/new.py": "x = 1\n"}
    head = await stage.admin("/github/files", repository=SHOP, branch="use-sets", files={**FILES, **changed})
    await stage.admin(
        "/github/pulls",
        repository=SHOP,
        title="Use sets",
        body="Because.",
        head_ref="use-sets",
        head_sha=head["commit"],
        base_sha=base["commit"],
    )
