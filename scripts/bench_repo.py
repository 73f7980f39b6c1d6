"""Measure what searching and reading a large repository costs beside git run by hand.

Makes a repository of FILES files, registers it on a stack without a worker and calls repo_search_text and
repo_read_file by gRPC, as the worker does for a run; beside them, in the same rounds, runs `git grep` and
`git show` on a clone as a person would, a process each. A read as an operator, outside of runs, is measured
too: which repository it means is looked up each time. Every answer is compared with git's: exit code 1 only
when one is wrong. A missed aim is printed, not punished.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import uvloop

from aucert.astra.v1.repository_service_pb2 import RegisterRepositoryRequest
from aucert.astra.v1.task_run_service_pb2 import GetTaskRunRequest
from aucert.dispatcher.v1.dispatcher_service_pb2 import CreateTaskRequest
from aucert.tools.v1.repo_service_pb2 import ReadFileRequest, SearchTextRequest
from aucert.tools.v1.repo_service_pb2_grpc import RepoServiceStub
from scripts.measured_on import machine, spelled
from services.cli.client import Clients, operator_clients
from services.cli.stack import Ports, running_stack
from services.cli.state import StateDirectory
from services.common import metadata as keys
from services.common.channels import connect
from services.common.logs import configure_logs

if TYPE_CHECKING:
    from aucert.tools.v1.repo_service_pb2_grpc import RepoServiceAsyncStub

Metadata = list[tuple[str, str]]

FILES = 12_000
FOLDERS = 200
LINES_A_FILE = 40
ROUNDS = 30
RUN_SECONDS_MAX = 30.0
RUN_POLL_SECONDS = 0.05
AIM = 1.3
SLUG = "bench/large"
SEED = 7
RARE = "ledger_of_the_lighthouse"
RARE_EVERY = 600
"""Every so many files name it once: as many hits as a model reads at once."""


class WrongResult(Exception):
    """A tool and git disagree."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Milliseconds of the same job by tool and by hand, medians of the rounds; `ratio` of those."""

    what: str
    tool_ms: float
    git_ms: float

    @property
    def ratio(self) -> float:
        """How many times git's time the tool takes."""
        return self.tool_ms / self.git_ms


def make_repository(path: Path) -> None:
    """One commit of FILES text files, written by `git fast-import`."""
    words = random.Random(SEED)  # noqa: S311 - the same files each time, no secret
    stream = [b"commit refs/heads/main\ncommitter Bench <bench@example.invalid> 0 +0000\ndata 5\nbench\n"]
    for number in range(FILES):
        lines = [f"line {line} of {number}: {words.getrandbits(64):016x}" for line in range(LINES_A_FILE)]
        if number % RARE_EVERY == 0:
            lines[LINES_A_FILE // 2] = f"call {RARE}({number})"
        text = "\n".join([*lines, ""]).encode()
        stream.append(b"M 100644 inline %s\ndata %d\n%s\n" % (path_of(number).encode(), len(text), text))
    git(path.parent, "init", "--quiet", "--initial-branch=main", str(path))
    git(path, "fast-import", "--quiet", given=b"".join(stream))
    git(path, "reset", "--quiet", "--hard")


def path_of(number: int) -> str:
    """Where a file lies."""
    return f"src/part_{number % FOLDERS:03}/module_{number:05}.py"


def git(folder: Path, *arguments: str, given: bytes = b"") -> str:
    """Run git there to its end."""
    return subprocess.run(  # noqa: S603 - our own words
        ["git", "-C", str(folder), *arguments],  # noqa: S607 - the one a person would start
        check=True,
        input=given,
        capture_output=True,
        env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull},
    ).stdout.decode()


async def by_hand(folder: Path, *arguments: str) -> str:
    """As `git`, on the event loop: the tool's own way of starting a process is not what is compared."""
    return await asyncio.to_thread(git, folder, *arguments)


async def compared(
    what: str, tool: Callable[[int], Awaitable[list[str]]], hand: Callable[[int], Awaitable[list[str]]]
) -> Compared:
    """Do the job ROUNDS times each way, in turn, and hold the answers against each other."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(ROUNDS + 1):
        answers: list[list[str]] = []
        for way, spent in zip((tool, hand), times, strict=True):
            began = time.perf_counter()
            answers.append(await way(number))
            if number:  # the first round warms both
                spent.append((time.perf_counter() - began) * 1000)
        if answers[0] != answers[1]:
            raise WrongResult(f"{what}: the tool found {answers[0][:3]}, git {answers[1][:3]}")
    return Compared(what, *(statistics.median(spent) for spent in times))


async def measure() -> list[Compared]:
    """Search and read, on one stack."""
    with tempfile.TemporaryDirectory(prefix="astra-bench-") as name:
        clone = Path(name) / "large"
        make_repository(clone)
        state = StateDirectory(Path(name) / "state")
        async with (
            running_stack(state, Ports.free(), {}, with_worker=False) as stack,
            operator_clients(state.path, {}) as clients,
        ):
            await clients.repositories.RegisterRepository(
                RegisterRepositoryRequest(slug=SLUG, clone_url=str(clone))
            )
            in_run = await begin_run(clients)
            worker = connect(stack.tools_address, state.secrets().tokens["worker"])
            operator = connect(stack.tools_address, stack.operator_token)
            try:
                return await _both_ways(RepoServiceStub(worker), in_run, RepoServiceStub(operator), clone)
            finally:
                await worker.close()
                await operator.close()


async def begin_run(clients: Clients) -> Metadata:
    """Have a run that reads the repository; returns how its calls name it."""
    asked = CreateTaskRequest(message="bench", repository=SLUG)
    run_id = (await clients.dispatcher.CreateTask(asked)).task_run_id
    async with asyncio.timeout(RUN_SECONDS_MAX):
        while True:  # it comes into being soon after the task was accepted
            try:
                run = (await clients.runs.GetTaskRun(GetTaskRunRequest(task_run_id=run_id))).task_run
            except grpc.aio.AioRpcError as error:
                if error.code() != grpc.StatusCode.NOT_FOUND:
                    raise
                await asyncio.sleep(RUN_POLL_SECONDS)
            else:
                return [(keys.TENANT, run.tenant_id), (keys.TASK_RUN, run_id)]


async def _both_ways(
    repo: RepoServiceAsyncStub, in_run: Metadata, outside: RepoServiceAsyncStub, clone: Path
) -> list[Compared]:
    async def search(_: int) -> list[str]:
        asked = SearchTextRequest(pattern=RARE, fixed=True)
        found = await repo.SearchText(asked, metadata=in_run, timeout=60)
        return [f"{hit.path}:{hit.line}" for hit in found.hits]

    async def grep(_: int) -> list[str]:
        found = await by_hand(clone, "grep", "-n", "-I", "-F", "-e", RARE, "HEAD")
        return [":".join(line.split(":", 3)[1:3]) for line in found.splitlines()]

    async def read(number: int) -> list[str]:
        return await read_by(repo, in_run, number)

    async def read_outside(number: int) -> list[str]:
        return await read_by(outside, [(keys.REPOSITORY, SLUG)], number)

    async def read_by(stub: RepoServiceAsyncStub, on: Metadata, number: int) -> list[str]:
        path = path_of(number * 97 % FILES)
        answer = await stub.ReadFile(ReadFileRequest(path=path), metadata=on, timeout=60)
        return [line.partition("\t")[2] for line in answer.text.splitlines() if "\t" in line]

    async def show(number: int) -> list[str]:
        return (await by_hand(clone, "show", f"HEAD:{path_of(number * 97 % FILES)}")).splitlines()

    return [
        await compared("repo_search_text beside git grep", search, grep),
        await compared("repo_read_file beside git show", read, show),
        await compared("the same, outside of runs", read_outside, show),
    ]


def main() -> None:
    """Print the table, then the JSON."""
    configure_logs(level="ERROR", stream=sys.stderr)
    where = machine()
    try:
        figures = uvloop.run(measure())
    except WrongResult as wrong:
        sys.exit(f"bench: {wrong}")
    print(f"{spelled(where)}; {FILES:,} files, median of {ROUNDS}")
    for each in figures:
        verdict = "met" if each.ratio <= AIM else "missed"
        print(
            f"{each.what:<36} {each.tool_ms:8.1f} ms  git {each.git_ms:8.1f} ms  "
            f"{each.ratio:5.2f}x  aim {AIM}x: {verdict}"
        )
    figures_json = [
        {"what": each.what, "tool_ms": each.tool_ms, "git_ms": each.git_ms, "ratio": each.ratio}
        for each in figures
    ]
    print(json.dumps({"machine": where, "figures": figures_json}))


if __name__ == "__main__":
    main()
