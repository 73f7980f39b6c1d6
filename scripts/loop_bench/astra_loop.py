"""Astra as `astra up` runs it: PostgreSQL that syncs, Temporal, every service over gRPC, runs by CreateTask.

One thing is not real: the tool reads a note from memory where the repository's tools start a git process, so
that the loop is measured and not git. The call takes the whole way all the same: worker, gRPC, the tools
service's door, the arguments checked against the contract, the answer as JSON.

Nobody watches a run before the model has given its answer: a viewer costs the record a few reads a turn, and
no other contender has one.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import aiohttp
import psycopg
import uvloop
from psycopg.conninfo import make_conninfo
from temporalio.client import Client

import services.tools.main
from aucert.astra.v1.task_run_pb2 import TASK_RUN_OUTCOME_SUCCESS
from aucert.astra.v1.task_run_service_pb2 import GetTaskRunRequest, WatchTaskRunRequest
from aucert.dispatcher.v1.dispatcher_service_pb2 import CreateTaskRequest
from aucert.tools.v1.repo_service_pb2 import ReadFileRequest, ReadFileResponse
from scripts.loop_bench.assignment import Assignment, note
from scripts.loop_bench.contender import Explained, Kept, Loop, answer_orders, stored_in
from scripts.loop_bench.explaining import rpcs_logged, statements_logged
from services.cli.client import Clients, operator_clients
from services.cli.embedded import SUPERUSER
from services.cli.smoke import register_repository
from services.cli.stack import Ports, running_stack
from services.cli.state import StateDirectory
from services.common.logs import configure_logs
from services.tools.repo_servicer import RepoServicer

if TYPE_CHECKING:
    from services.common.door import Context

MODEL, LABEL = "local", "[L0] "
ANSWER_SECONDS_MAX = 120.0
"""Longest a run may take to the model's last word."""


class NotesServicer(RepoServicer):
    """The repository's tools with the one the bench calls answered from memory."""

    async def ReadFile(  # noqa: N802 - RPC names are the contract's
        self, request: ReadFileRequest, context: Context
    ) -> ReadFileResponse:
        """Read a note."""
        del context
        return ReadFileResponse(text=note(request.path))


class AstraRuns:
    """Runs tasks on a stack, and remembers their workflows."""

    def __init__(
        self,
        clients: Clients,
        temporal: Client,
        model: aiohttp.ClientSession,
        *,
        repository: str,
        owner_url: str,
    ) -> None:
        self._clients = clients
        self._temporal = temporal
        self._model = model
        self._repository = repository
        self._owner_url = owner_url
        self._workflows: list[str] = []
        self._history_bytes = 0

    async def run(self, assignment: Assignment) -> str:
        """Create a task, wait for its end, return its answer without the label.

        Raises TimeoutError without an answer; ValueError when the run failed, or its record lacks a turn.
        """
        created = await self._clients.dispatcher.CreateTask(
            CreateTaskRequest(message=assignment.prompt, repository=self._repository, model=MODEL)
        )
        self._workflows.append(created.workflow_id)
        async with asyncio.timeout(ANSWER_SECONDS_MAX), self._model.get(f"/answered/{assignment.key}"):
            pass
        async for _ in self._clients.runs.WatchTaskRun(WatchTaskRunRequest(task_run_id=created.task_run_id)):
            pass
        request = GetTaskRunRequest(task_run_id=created.task_run_id)
        ended = (await self._clients.runs.GetTaskRun(request)).task_run
        if ended.outcome != TASK_RUN_OUTCOME_SUCCESS:
            raise ValueError(f"Run {assignment.key} failed: {ended.outcome_reason}.")
        if ended.turn_count != assignment.turns + 1 or not ended.output_text.startswith(LABEL):
            raise ValueError(f"Run {assignment.key} is not on record as it was.")
        return ended.output_text.removeprefix(LABEL)

    async def kept(self) -> Kept:
        """Sizes in PostgreSQL, and of the histories as Temporal keeps them."""
        while self._workflows:
            history = await self._temporal.get_workflow_handle(self._workflows.pop()).fetch_history()
            self._history_bytes += sum(event.ByteSize() for event in history.events)
        postgres_bytes, wal_bytes = await stored_in(self._owner_url)
        return Kept(postgres_bytes, wal_bytes, self._history_bytes)


async def main(base_url: str, folder: Path) -> None:
    """Start the stack, then answer the bench's orders."""
    configure_logs(level="ERROR", stream=sys.stderr)
    state = StateDirectory(folder / "astra")
    environment = {"OPENAI_BASE_URL": f"{base_url}/v1", "DEFAULT_MODEL": MODEL}
    with patch.object(services.tools.main, "RepoServicer", NotesServicer):
        async with (
            running_stack(state, Ports.free(), environment) as stack,
            operator_clients(state.path, {}) as clients,
            aiohttp.ClientSession(base_url) as model,
        ):
            owner_url = make_conninfo(
                stack.operator_database_url, user=SUPERUSER, password=state.secrets().superuser_password
            )
            await lift_ceilings(owner_url)
            runs = AstraRuns(
                clients,
                await Client.connect(stack.temporal_address),
                model,
                repository=await register_repository(clients, "."),
                owner_url=owner_url,
            )

            async def explain(work: Callable[[], Awaitable[object]]) -> Explained:
                log_file = state.logs / "postgres.log"
                async with statements_logged(owner_url, log_file) as statements, rpcs_logged() as rpcs:
                    await work()
                return Explained(rpcs=rpcs, statements=statements)

            await answer_orders(Loop(runs.run, runs.kept, explain))


async def lift_ceilings(owner_url: str) -> None:
    """Let the agent take more turns than it may by default: 40 with a tool and one to answer are 41."""
    async with await psycopg.AsyncConnection.connect(owner_url) as connection:
        await connection.execute("UPDATE agents SET turns_max = 1000, tokens_max = 1000000000")


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], Path(sys.argv[2])))
