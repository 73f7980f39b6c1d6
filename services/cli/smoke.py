"""The main job, once, on real input: a signed webhook (or a task) becomes a run and one labelled answer.

Progress goes to stderr; the last line of stdout is one JSON object with what came of it. How to ask at a
source is that source's file; a source is a line in `SOURCES`.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from aucert.astra.v1 import repository_service_pb2, task_run_service_pb2
from aucert.astra.v1.task_run_pb2 import TASK_RUN_OUTCOME_SUCCESS, TaskRun
from services.cli.client import Clients
from services.cli.reporting import say
from services.cli.show import event_line, status_word
from services.cli.smoke_github import GitHubSmoke
from services.cli.smoke_google_drive import GoogleDriveSmoke
from services.cli.smoke_manual import ManualSmoke
from services.cli.smoke_plane import PlaneSmoke
from services.cli.smoke_slack import SlackSmoke
from services.cli.smoke_source import Job, SmokeFailed, SmokeSource
from services.cli.state import RunningStack

RUN_SECONDS_MAX = 300.0
REPOSITORY = "acme/{name}"
SOURCES: Mapping[str, SmokeSource] = MappingProxyType(
    {
        "github": GitHubSmoke(),
        "slack": SlackSmoke(),
        "plane": PlaneSmoke(),
        "google-drive": GoogleDriveSmoke(),
        "manual": ManualSmoke(),
    }
)


async def run_smoke(stack: RunningStack, clients: Clients, job: Job) -> dict[str, Any]:
    """Do the job and return the JSON object. Raises SmokeFailed when something cannot even be asked."""
    source = SOURCES.get(job.source)
    if source is None:
        raise SmokeFailed(f"SOURCE={job.source} is not one of: {', '.join(SOURCES)}.")
    async with asyncio.timeout(RUN_SECONDS_MAX):
        slug = await register_repository(clients, job.repository)
        task_run_id = await source.ask(stack, clients, job, slug)
        tools = await _watch(clients, task_run_id)
        run = await _read(clients, task_run_id)
        if run.outcome == TASK_RUN_OUTCOME_SUCCESS:
            await source.check(stack, run)
    return report(run, tools, job.source)


async def invitations(stack: RunningStack, slug: str) -> list[str]:
    """Where a person can try the repository of this slug, one line a source."""
    told = [await source.invite(stack, slug) for source in SOURCES.values()]
    return [each for each in told if each]


def report(run: TaskRun, tools_called: list[str], source: str) -> dict[str, Any]:
    """The object that ends a smoke run."""
    return {
        "outcome": status_word(run),
        "task_run_id": run.task_run_id,
        "workflow_id": run.workflow_id,
        "source": source,
        "duration_ms": run.duration_ms,
        "tokens_input": run.tokens_input,
        "tokens_output": run.tokens_output,
        "estimated_cost_usd": run.estimated_cost_usd_micros / 1_000_000,
        "model": run.model_alias,
        "label": f"[{run.model_label}]",
        "tools_called": tools_called,
        "reply_url": run.reply_url,
        "reply": run.output_text,
    }


async def register_repository(clients: Clients, repository: str) -> str:
    """Register the repository, a path or URL, and return its slug, which is its name on the stand-in too."""
    clone_url = await asyncio.to_thread(_clone_url, repository)
    name = clone_url.rstrip("/").removesuffix(".git").rsplit("/", 1)[-1]
    slug = REPOSITORY.format(name="".join(c if c.isalnum() or c in "._-" else "-" for c in name))
    request = repository_service_pb2.RegisterRepositoryRequest(
        slug=slug, clone_url=clone_url, source_containers=containers(slug)
    )
    await clients.repositories.RegisterRepository(request)
    return slug


def containers(slug: str) -> list[str]:
    """Where the stand-ins hold what belongs to the repository of this slug."""
    return [name for source in SOURCES.values() for name in source.containers(slug)]


def _clone_url(repository: str) -> str:
    """A URL as it is; a path as the root of the repository it lies in."""
    path = Path(repository).expanduser()
    if not path.exists():
        return repository
    found = subprocess.run(  # noqa: S603 - a fixed command
        ["git", "-C", str(path), "rev-parse", "--show-toplevel"],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode:
        raise SmokeFailed(f"{path} is no git repository. Name one with REPO=<path or url>.")
    return found.stdout.strip()


async def _watch(clients: Clients, task_run_id: str) -> list[str]:
    """Show the run live; returns the names of the tools it called, in order."""
    tools: list[str] = []
    say(f"run {task_run_id}")
    request = task_run_service_pb2.WatchTaskRunRequest(task_run_id=task_run_id)
    async for response in clients.runs.WatchTaskRun(request):
        say(event_line(response.task_event))
        tools.extend(response.task_event.turn.tools_called)
    return tools


async def _read(clients: Clients, task_run_id: str) -> TaskRun:
    request = task_run_service_pb2.GetTaskRunRequest(task_run_id=task_run_id)
    return (await clients.runs.GetTaskRun(request)).task_run
