"""A running Astra on a database of the test's own, and short words for what tests do with it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import grpc
import psycopg
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from psycopg.rows import dict_row

from aucert.astra.v1 import budget_service_pb2 as budget_pb
from aucert.astra.v1 import task_run_service_pb2 as run_pb
from aucert.astra.v1 import thread_post_service_pb2 as post_pb
from aucert.astra.v1 import transcript_service_pb2 as transcript_pb
from aucert.astra.v1.agent_service_pb2_grpc import AgentServiceStub
from aucert.astra.v1.budget_service_pb2_grpc import BudgetServiceStub
from aucert.astra.v1.model_default_service_pb2_grpc import ModelDefaultServiceStub
from aucert.astra.v1.principal_service_pb2_grpc import PrincipalServiceStub
from aucert.astra.v1.quota_service_pb2_grpc import QuotaServiceStub
from aucert.astra.v1.repository_service_pb2_grpc import RepositoryServiceStub
from aucert.astra.v1.task_run_pb2 import TASK_RUN_OUTCOME_SUCCESS, TaskRun
from aucert.astra.v1.task_run_service_pb2_grpc import TaskRunServiceStub
from aucert.astra.v1.thread_post_service_pb2_grpc import ThreadPostServiceStub
from aucert.astra.v1.transcript_pb2 import FinishedToolCall
from aucert.astra.v1.transcript_service_pb2_grpc import TranscriptServiceStub
from aucert.common.v1.thread_pb2 import SOURCE_MANUAL, ManualThread, ThreadAddress
from aucert.models.v1.message_pb2 import ROLE_ASSISTANT, Message, Part, ToolCall, ToolResult, Usage
from services.astra.main import running
from services.astra.settings import AstraSettings
from services.common.channels import connect
from services.common.errors import from_rpc
from tests.conftest import DatabaseUrls

SHA256 = "a" * 64
ALIAS = "rehearsal"


def new_id() -> str:
    return str(uuid.uuid4())


class Astra:
    """Stubs as each principal, and the steps of a run."""

    def __init__(self, address: str, urls: DatabaseUrls, channels: Mapping[str, grpc.aio.Channel]) -> None:
        self.address = address
        self.urls = urls
        self.dispatcher: Any = TaskRunServiceStub(channels["dispatcher"])
        self.runs: Any = TaskRunServiceStub(channels["worker"])
        self.transcripts: Any = TranscriptServiceStub(channels["worker"])
        self.budgets: Any = BudgetServiceStub(channels["worker"])
        self.caps: Any = BudgetServiceStub(channels["operator"])
        self.raises: Any = BudgetServiceStub(channels["dispatcher"])
        self.posts: Any = ThreadPostServiceStub(channels["tools"])
        self.pins: Any = TaskRunServiceStub(channels["tools"])
        self.agents: Any = AgentServiceStub(channels["worker"])
        self.agent_changes: Any = AgentServiceStub(channels["operator"])
        self.model_defaults: Any = ModelDefaultServiceStub(channels["operator"])
        self.models_defaults: Any = ModelDefaultServiceStub(channels["models"])
        self.repositories: Any = RepositoryServiceStub(channels["operator"])
        self.principals: Any = PrincipalServiceStub(channels["gateway"])
        self.api: Any = TaskRunServiceStub(channels["api"])
        self.quotas: Any = QuotaServiceStub(channels["tools"])
        self.quota_list: Any = QuotaServiceStub(channels["operator"])

    async def create(self, *, thread_id: str = "", seq: int = 1, **fields: Any) -> TaskRun:
        """Record a run of a new thread, or the next of a known one."""
        request = run_pb.CreateTaskRunRequest(
            **{
                "task_run_id": new_id(),
                "agent_slug": "atlas",
                "thread_id": thread_id or new_id(),
                "thread_event_id": new_id(),
                "thread_seq": seq,
                "workflow_id": "default/manual/1",
                "source": SOURCE_MANUAL,
                "address": ThreadAddress(manual=ManualThread()),
                "operation": "answer",
                "model_alias": ALIAS,
                "model_label": "R0",
                "message": f"Message {seq}",
                "requester": "ada",
            }
            | fields
        )
        return (await self.dispatcher.CreateTaskRun(request)).task_run

    async def begin(self, task_run_id: str) -> run_pb.BeginAttemptResponse:
        return await self.runs.BeginAttempt(
            run_pb.BeginAttemptRequest(task_run_id=task_run_id, worker="worker-1")
        )

    async def get(self, task_run_id: str) -> TaskRun:
        return (await self.runs.GetTaskRun(run_pb.GetTaskRunRequest(task_run_id=task_run_id))).task_run

    async def reserve(self, task_run_id: str, fence: int, usd_micros: int = 500) -> str:
        response = await self.budgets.ReserveSpend(
            budget_pb.ReserveSpendRequest(
                task_run_id=task_run_id, fence=fence, model_alias=ALIAS, reserved_usd_micros=usd_micros
            )
        )
        return response.reservation.spend_reservation_id

    async def cap(self, kind: Any, usd_micros: int, **whose: str) -> budget_pb.SetCapResponse:
        """Set a cap as an operator."""
        return await self.caps.SetCap(
            budget_pb.SetCapRequest(kind=kind, limit_usd_micros=usd_micros, **whose)
        )

    async def commit_turn(
        self, task_run_id: str, fence: int, reservation: str, *parts: Part, cost: int = 100
    ) -> int:
        response = await self.transcripts.CommitTurn(turn(task_run_id, fence, reservation, *parts, cost=cost))
        return response.position

    async def commit_results(
        self, task_run_id: str, fence: int, *results: FinishedToolCall, correction: str = ""
    ) -> transcript_pb.CommitToolResultsResponse:
        return await self.transcripts.CommitToolResults(
            transcript_pb.CommitToolResultsRequest(
                task_run_id=task_run_id,
                fence=fence,
                results=results,
                correction=correction,
                next_model_alias=ALIAS,
                next_reserved_usd_micros=300,
            )
        )

    async def complete(
        self, task_run_id: str, fence: int, outcome: Any = TASK_RUN_OUTCOME_SUCCESS, **fields: Any
    ) -> TaskRun:
        request = run_pb.CompleteTaskRunRequest(
            task_run_id=task_run_id, fence=fence, outcome=outcome, **fields
        )
        return (await self.runs.CompleteTaskRun(request)).task_run

    async def stop(self, thread_id: str, before: int, task_run_id: str = "") -> list[str]:
        request = run_pb.RequestStopRequest(
            thread_id=thread_id, before_thread_seq=before, task_run_id=task_run_id, requester="ada"
        )
        return list((await self.dispatcher.RequestStop(request)).task_run_ids)

    async def begin_post(self, task_run_id: str, fence: int, kind: Any, *parts: str) -> Any:
        return await self.posts.BeginThreadPost(
            post_pb.BeginThreadPostRequest(task_run_id=task_run_id, fence=fence, kind=kind, parts=parts)
        )

    async def events(self, task_run_id: str) -> list[Any]:
        response = await self.runs.ListTaskEvents(run_pb.ListTaskEventsRequest(task_run_id=task_run_id))
        return list(response.task_events)

    async def event_types(self, task_run_id: str) -> list[str]:
        events = await self.events(task_run_id)
        assert list(range(1, len(events) + 1)) == [event.seq for event in events]
        return [event.WhichOneof("detail") for event in events]

    async def sql(self, statement: str, *values: Any, role: str = "owner") -> list[dict[str, Any]]:
        """Run a statement as a role and return its rows."""
        url = getattr(self.urls, role)
        async with await psycopg.AsyncConnection.connect(url, row_factory=dict_row) as connection:
            cursor = await connection.execute(statement, values)  # pyright: ignore[reportArgumentType]
            return await cursor.fetchall() if cursor.description else []

    async def add_tenant(self) -> str:
        """Another tenant with an agent of the same name."""
        tenant_id = new_id()
        await self.sql("INSERT INTO tenants VALUES (%s, %s, 'Other')", tenant_id, tenant_id)
        await self.sql(
            "INSERT INTO agents SELECT gen_random_uuid(), %s, slug, display_name, handles, turns_max,"
            " tokens_max, run_timeout_seconds, mistakes_max FROM agents LIMIT 1",
            tenant_id,
        )
        return tenant_id


@pytest.fixture(name="astra")
async def astra_service(database_urls: DatabaseUrls, tokens: Mapping[str, str]) -> AsyncIterator[Astra]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(running(settings_for(database_urls)))
        channels = {name: connect(server.address, token) for name, token in tokens.items()}
        for channel in channels.values():
            stack.push_async_callback(channel.close)
        yield Astra(server.address, database_urls, channels)


def settings_for(urls: DatabaseUrls, **changes: Any) -> AstraSettings:
    return AstraSettings(
        **{
            "DATABASE_URL": urls.service,
            "RELAY_DATABASE_URL": urls.relay,
            "ASTRA_TOKEN": "astra-token",
            "ASTRA_PORT": 0,
            "_env_file": None,
        }
        | changes
    )


@contextmanager
def refused(reason: str) -> Iterator[None]:
    """The enclosed call is answered with this reason."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        yield
    assert reason == from_rpc(caught.value).reason


def turn(
    task_run_id: str, fence: int, reservation: str, *parts: Part, cost: int = 100
) -> transcript_pb.CommitTurnRequest:
    return transcript_pb.CommitTurnRequest(
        task_run_id=task_run_id,
        fence=fence,
        spend_reservation_id=reservation,
        message=Message(role=ROLE_ASSISTANT, parts=parts or [Part(text="Done.")]),
        usage=Usage(tokens_input=10, tokens_output=5, tokens_cache_read=3, tokens_cache_write=2),
        cost_usd_micros=cost,
        model_alias=ALIAS,
        model_label="R0",
        prompt_sha256=SHA256,
        duration_ms=7,
    )


def call(call_id: str, tool: str = "repo_read_file") -> Part:
    return Part(tool_call=ToolCall(call_id=call_id, tool_name=tool, arguments_json='{"path":"a"}'))


def result(call_id: str, text: str = "text", *, failed: bool = False) -> FinishedToolCall:
    return FinishedToolCall(
        result=ToolResult(call_id=call_id, text=text, failed=failed),
        reason="PATH_NOT_FOUND" if failed else "",
        duration_ms=3,
    )


def in_seconds(seconds: int) -> Timestamp:
    found = Timestamp()
    found.GetCurrentTime()
    found.seconds += seconds
    return found
