"""The main job, once, on real input: a signed webhook (or a task) becomes a run and one labelled answer.

Progress goes to stderr; the last line of stdout is one JSON object with what came of it.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from aucert.astra.v1 import repository_service_pb2, task_run_service_pb2
from aucert.astra.v1.task_run_pb2 import TASK_RUN_OUTCOME_SUCCESS, TaskRun
from services.cli import sandbox
from services.cli.client import Clients
from services.cli.show import event_line, status_word
from services.cli.state import RunningStack

DEFAULT_PROMPT = "can you summarise how this code base is laid out and which decisions shaped it?"
RUN_SECONDS_MAX = 300.0
GITHUB_REPOSITORY = "acme/{name}"


class SmokeFailed(Exception):
    """The main job did not succeed; the message says at which step."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to ask, where, of whom. Empty model: the default one."""

    prompt: str = DEFAULT_PROMPT
    source: str = "github"
    model: str = ""
    repository: str = "."


async def run_smoke(stack: RunningStack, clients: Clients, job: Job) -> dict[str, Any]:
    """Do the job and return the JSON object. Raises SmokeFailed when something cannot even be asked."""
    async with asyncio.timeout(RUN_SECONDS_MAX):
        slug = await register_repository(clients, job.repository)
        if job.source == "github":
            task_run_id = await _ask_on_github(stack, clients, job, slug)
        elif job.source == "manual":
            task_run_id = await _ask_by_api(stack, job, slug)
        else:
            raise SmokeFailed(f"SOURCE={job.source} is not one of: github, manual.")
        tools = await _watch(clients, task_run_id)
        run = await _read(clients, task_run_id)
        if job.source == "github" and run.outcome == TASK_RUN_OUTCOME_SUCCESS:
            await _check_thread(stack, run)
    return report(run, tools, job.source)


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
    slug = GITHUB_REPOSITORY.format(name="".join(c if c.isalnum() or c in "._-" else "-" for c in name))
    request = repository_service_pb2.RegisterRepositoryRequest(
        slug=slug, clone_url=clone_url, source_containers=[f"github:{slug.lower()}"]
    )
    await clients.repositories.RegisterRepository(request)
    return slug


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


async def open_pull_request(stack: RunningStack, slug: str) -> int:
    """Make the repository and a pull request on the stand-in; returns its number."""
    await sandbox.call(stack.sandbox_url, "POST", "/_sandbox/github/repositories", {"repository": slug})
    opened = await sandbox.call(
        stack.sandbox_url,
        "POST",
        "/_sandbox/github/pulls",
        {
            "repository": slug,
            "title": "Explain the design to newcomers",
            "body": "Newcomers ask how the parts fit together. Open questions are in the comments.",
            "author": "maria",
        },
    )
    return int(opened["number"])


async def _ask_on_github(stack: RunningStack, clients: Clients, job: Job, slug: str) -> str:
    if not stack.sandbox_url:
        raise SmokeFailed("GitHub is configured for real here; the smoke run needs the stand-in.")
    number = await open_pull_request(stack, slug)
    tag = f"[{job.model}] " if job.model else ""
    comment = await sandbox.call(
        stack.sandbox_url,
        "POST",
        "/_sandbox/github/comments",
        {"repository": slug, "number": number, "author": "maria", "body": f"@atlas {tag}{job.prompt}"},
    )
    delivery = comment["delivery"]
    if not delivery["ok"]:
        raise SmokeFailed(f"The gateway refused the webhook: {delivery['status_code']} {delivery['problem']}")
    say(f"maria commented on {slug}#{number}; the webhook was answered {delivery['status_code']}")
    async for response in clients.runs.WatchTaskRuns(task_run_service_pb2.WatchTaskRunsRequest()):
        if response.task_run.source_url == comment["html_url"]:
            return response.task_run.task_run_id
    raise SmokeFailed("The list of runs ended without the run.")


async def _ask_by_api(stack: RunningStack, job: Job, slug: str) -> str:
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


async def _check_thread(stack: RunningStack, run: TaskRun) -> None:
    """The thread must hold the answer exactly once."""
    github = run.address.github
    path = f"/_sandbox/github/threads/{github.repository}/{github.number}"
    thread = await sandbox.call(stack.sandbox_url, "GET", path)
    urls = Counter(comment["html_url"] for comment in thread["comments"] if comment["via_app"])
    if urls.get(run.reply_url) != 1:
        raise SmokeFailed(f"The thread holds the answer {urls.get(run.reply_url, 0)} times, not once.")


def say(text: str) -> None:
    """Progress, for people."""
    print(text, file=sys.stderr, flush=True)
