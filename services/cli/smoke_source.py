"""What a source is to the smoke run: how a person asks there, and where the answer must be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from aucert.astra.v1.task_run_pb2 import TaskRun
from aucert.astra.v1.task_run_service_pb2 import WatchTaskRunsRequest
from services.cli.client import Clients
from services.cli.state import RunningStack
from services.common.told import ToldToPeople

DEFAULT_PROMPT = "can you summarise how this code base is laid out and which decisions shaped it?"
ASKER = "maria"


class SmokeFailed(ToldToPeople):
    """The main job did not succeed; the message says at which step."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to ask, where, of whom. Empty model: the default one."""

    prompt: str = DEFAULT_PROMPT
    source: str = "github"
    model: str = ""
    repository: str = "."

    @property
    def words(self) -> str:
        """The prompt with the model's tag before it."""
        return f"[{self.model}] {self.prompt}" if self.model else self.prompt


class SmokeSource(Protocol):
    """One source. Raises SmokeFailed."""

    def containers(self, slug: str) -> Sequence[str]:
        """The source containers that belong to the repository of this slug on the stand-in."""
        ...

    async def invite(self, stack: RunningStack, slug: str) -> str:
        """Make a place where a person can comment on the stand-in; returns what to tell them.

        Empty: the vendor is real here.
        """
        ...

    async def ask(self, stack: RunningStack, clients: Clients, job: Job, slug: str) -> str:
        """Ask as a person would and return the id of the run that came of it."""
        ...

    async def check(self, stack: RunningStack, run: TaskRun) -> None:
        """Look at the place of the answer: it must be there exactly once."""
        ...


def stand_in(stack: RunningStack, vendor: str) -> str:
    """Where the stand-in listens."""
    if not stack.sandbox_url:
        raise SmokeFailed(f"{vendor} is configured for real here; the smoke run needs the stand-in.")
    return stack.sandbox_url


def accepted(vendor: str, delivery: Mapping[str, Any] | None) -> int:
    """The status with which the gateway took a webhook of the stand-in."""
    if delivery is None:
        raise SmokeFailed(f"{vendor} is configured for real here; the smoke run needs the stand-in.")
    if not delivery["ok"]:
        raise SmokeFailed(f"The gateway refused the webhook: {delivery['status_code']} {delivery['problem']}")
    return int(delivery["status_code"])


async def run_of(clients: Clients, source_url: str) -> str:
    """The id of the run whose event is at this address, as soon as there is one."""
    async for response in clients.runs.WatchTaskRuns(WatchTaskRunsRequest()):
        if response.task_run.source_url == source_url:
            return response.task_run.task_run_id
    raise SmokeFailed("The list of runs ended without the run.")


def once(run: TaskRun, urls: Sequence[str]) -> None:
    """Check that among the addresses of our posts the answer's is there once."""
    if (times := urls.count(run.reply_url)) != 1:
        raise SmokeFailed(f"The thread holds the answer {times} times, not once.")
