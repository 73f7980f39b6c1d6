"""Asking by POST /api/tasks: no vendor has the thread, the record is the place of the answer."""

from __future__ import annotations

from collections.abc import Sequence

import aiohttp

from aucert.astra.v1.task_run_pb2 import TaskRun
from services.cli.client import Clients
from services.cli.reporting import say
from services.cli.smoke_source import Job, SmokeFailed
from services.cli.state import RunningStack


class ManualSmoke:
    """The gateway's HTTP API."""

    def containers(self, slug: str) -> Sequence[str]:
        """A task names its repository itself."""
        del slug
        return []

    async def invite(self, stack: RunningStack, slug: str) -> str:
        """There is nothing to make."""
        return f"Or POST {stack.gateway_url}/api/tasks, naming the repository {slug}."

    async def ask(self, stack: RunningStack, clients: Clients, job: Job, slug: str) -> str:
        """Post a task."""
        del clients
        body = {"message": job.prompt, "repository": slug, **({"model": job.model} if job.model else {})}
        async with (
            aiohttp.ClientSession(stack.gateway_url, headers={"X-API-Key": stack.api_key}) as session,
            session.post("/api/tasks", json=body) as response,
        ):
            answer = await response.json()
        if response.status != 201:
            raise SmokeFailed(f"POST /api/tasks was answered {response.status}: {answer.get('detail', '')}")
        say(f"the task was accepted: {answer['workflow_id']}")
        return str(answer["task_run_id"])

    async def check(self, stack: RunningStack, run: TaskRun) -> None:
        """The record holds the answer."""
        del stack
        if not run.output_text:
            raise SmokeFailed("The record holds no answer.")
