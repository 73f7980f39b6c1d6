"""Astra, the dispatcher, the models and the tools in memory, behind real gRPC servers and the real door.

They keep the promises of the contracts that the worker relies on (fences, idempotent posts, ledger order)
and count what was asked of them.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aucert.astra.v1 import (
    budget_service_pb2 as budget,
)
from aucert.astra.v1 import (
    budget_service_pb2_grpc,
    task_run_service_pb2_grpc,
    transcript_service_pb2_grpc,
)
from aucert.astra.v1 import (
    task_run_pb2 as task_run,
)
from aucert.astra.v1 import (
    task_run_service_pb2 as runs,
)
from aucert.astra.v1 import (
    transcript_service_pb2 as transcript,
)
from aucert.astra.v1.agent_pb2 import Agent, Ceilings, Personality
from aucert.astra.v1.repository_pb2 import Repository
from aucert.astra.v1.task_event_pb2 import Notice, TaskEvent
from aucert.astra.v1.transcript_pb2 import SpendReservation, TranscriptTurn
from aucert.common.v1.scope_pb2 import Scope
from aucert.common.v1.thread_pb2 import ManualThread, ThreadAddress
from aucert.dispatcher.v1 import dispatcher_service_pb2 as dispatcher
from aucert.dispatcher.v1 import dispatcher_service_pb2_grpc
from aucert.dispatcher.v1.thread_event_pb2 import ClaimedEvent
from aucert.models.v1 import model_service_pb2 as models
from aucert.models.v1 import model_service_pb2_grpc
from aucert.models.v1.generation_pb2 import FINISH_REASON_STOP, FinishReason, PassedOver
from aucert.models.v1.message_pb2 import ROLE_ASSISTANT, ROLE_TOOL, ROLE_USER, Message, Part, ToolCall, Usage
from aucert.models.v1.model_pb2 import Model, Pricing
from aucert.tools.v1 import thread_service_pb2 as threads
from aucert.tools.v1 import thread_service_pb2_grpc, tool_service_pb2_grpc, workspace_service_pb2_grpc
from aucert.tools.v1 import tool_service_pb2 as tools
from aucert.tools.v1 import workspace_service_pb2 as workspaces
from aucert.tools.v1.tool_pb2 import TOOL_APPROVAL_NONE, TOOL_EFFECT_READ, TOOL_TRUST_ANY, Tool
from services.common.caller import Principal, current_caller
from services.common.channels import connect
from services.common.errors import NotFound, Refused, ServiceError
from services.common.server import Registration, serve
from services.worker.stubs import Stubs

TENANT = str(uuid.UUID(int=1))
COMMIT = "c" * 40
PAUSED = "paused"
RESERVED = 1_000
"""What each reservation sets aside, in millionths of a US dollar."""
Fault = Callable[[int], ServiceError | None]


class FenceStale(Refused):
    reason = "FENCE_STALE"


class TaskRunCompleted(Refused):
    reason = "TASK_RUN_COMPLETED"


class Everybody:
    """Lets every token in with every scope."""

    async def principal(self, token: str) -> Principal:
        return Principal(name=token, tenant_id=TENANT, scopes=frozenset(Scope.values()))


@dataclass
class RunRecord:
    run: task_run.TaskRun
    turns: list[TranscriptTurn]
    reservations: dict[str, str] = field(default_factory=dict)  # id: open, settled or abandoned
    events: list[str] = field(default_factory=list)
    follow_ups: list[str] = field(default_factory=list)
    passed_over: list[PassedOver] = field(default_factory=list)

    def add(self, message: Message, **fields: Any) -> TranscriptTurn:
        turn = TranscriptTurn(position=len(self.turns), message=message, **fields)
        self.turns.append(turn)
        return turn

    def fold(self) -> list[TranscriptTurn]:
        folded = [
            self.add(said(ROLE_USER, text), thread_event_id=str(uuid.uuid4())) for text in self.follow_ups
        ]
        self.follow_ups.clear()
        return folded

    def count(self, state: str) -> int:
        return list(self.reservations.values()).count(state)


def said(role: int, text: str) -> Message:
    return Message(role=role, parts=[Part(text=text)])


def calling(*names: str, arguments: str = "{}") -> Message:
    """A model's turn that calls these tools."""
    calls = [
        Part(tool_call=ToolCall(call_id="provider", tool_name=name, arguments_json=arguments))
        for name in names
    ]
    return Message(role=ROLE_ASSISTANT, parts=calls)


class Faults:
    """Counts calls by method, and fails those a test chose. `after` fails once the work is done."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.before: dict[str, Fault] = {}

    def pass_or_fail(self, method: str) -> None:
        self.calls[method] += 1
        fault = self.before.get(method)
        if fault and (error := fault(self.calls[method])):
            raise error


class FakeAstra:
    """Runs, transcripts and reservations of one tenant."""

    def __init__(self, faults: Faults) -> None:
        self.records: dict[str, RunRecord] = {}
        self.answers_begun: set[str] = set()  # runs whose answer the ledger of posts has
        self.stop_queues: list[asyncio.Queue[runs.WatchStopRequestsResponse]] = []
        self.published: list[runs.StreamedText] = []
        self.caps_are_reached = False  # then no reservation comes with the results of tool calls
        self.ceilings = Ceilings(turns_max=200, tokens_max=10_000_000, mistakes_max=2)
        self._faults = faults

    def add_run(self, *, deadline: timedelta = timedelta(minutes=10)) -> str:
        run = task_run.TaskRun(
            task_run_id=str(uuid.uuid4()),
            tenant_id=TENANT,
            address=ThreadAddress(manual=ManualThread()),
            operation="answer",
            model_alias="scripted",
            model_label="R0",
            status=task_run.TASK_RUN_STATUS_QUEUED,
        )
        run.deadline_time.FromDatetime(datetime.now(UTC) + deadline)
        record = RunRecord(run, [])
        record.add(said(ROLE_USER, "hello"))
        self.records[run.task_run_id] = record
        return run.task_run_id

    def ask_to_stop(self, task_run_id: str) -> None:
        self.records[task_run_id].run.stop_requested_time.GetCurrentTime()
        self.tell_workers(runs.WatchStopRequestsResponse(task_run_id=task_run_id))

    def tell_of_reader(self, task_run_id: str) -> None:
        self.tell_workers(runs.WatchStopRequestsResponse(read_along_task_run_id=task_run_id))

    def tell_workers(self, response: runs.WatchStopRequestsResponse) -> None:
        for queue in self.stop_queues:
            queue.put_nowait(response)

    def end_past_deadline(self, task_run_id: str, *, ago: timedelta = timedelta(0)) -> None:
        """As the sweeper does."""
        run = self.records[task_run_id].run
        run.status = task_run.TASK_RUN_STATUS_COMPLETED
        run.outcome = task_run.TASK_RUN_OUTCOME_FAILURE
        run.outcome_reason = "DEADLINE_EXCEEDED"
        run.attempt_fence += 1
        run.completed_time.FromDatetime(datetime.now(UTC) - ago)

    def _held(self, request: Any) -> RunRecord:
        record = self.records[request.task_run_id]
        if record.run.status == task_run.TASK_RUN_STATUS_COMPLETED:
            raise TaskRunCompleted("It is over.")
        if request.fence != record.run.attempt_fence:
            raise FenceStale("A newer attempt is at work.")
        return record

    async def GetTaskRun(self, request: runs.GetTaskRunRequest, _context: object) -> runs.GetTaskRunResponse:
        return runs.GetTaskRunResponse(task_run=self.records[request.task_run_id].run)

    async def BeginAttempt(
        self, request: runs.BeginAttemptRequest, _context: object
    ) -> runs.BeginAttemptResponse:
        self._faults.pass_or_fail("BeginAttempt")
        record = self.records.get(request.task_run_id)
        if record is None:
            raise NotFound("No such run.", reason="TASK_RUN_NOT_FOUND")
        if record.run.status == task_run.TASK_RUN_STATUS_COMPLETED:
            return runs.BeginAttemptResponse(task_run=record.run)
        record.run.attempt_fence += 1
        record.run.status = task_run.TASK_RUN_STATUS_IN_PROGRESS
        for each, state in record.reservations.items():
            record.reservations[each] = "abandoned" if state == "open" else state
        record.fold()
        return runs.BeginAttemptResponse(
            task_run=record.run,
            fence=record.run.attempt_fence,
            agent=Agent(
                slug="atlas", personalities=[Personality(text="You answer.")], ceilings=self.ceilings
            ),
            repository=Repository(slug="acme/shop"),
            turns=record.turns,
            answer_begun=request.task_run_id in self.answers_begun,
        )

    async def UpdateTaskStatus(
        self, request: runs.UpdateTaskStatusRequest, _context: object
    ) -> runs.UpdateTaskStatusResponse:
        record = self._held(request)
        record.run.status = request.status
        record.run.waiting_for = request.waiting_for
        record.run.wait_expires_time.CopyFrom(request.wait_expires_time)
        record.events.append("waiting")
        return runs.UpdateTaskStatusResponse(task_run=record.run)

    async def LogTaskEvent(
        self, request: runs.LogTaskEventRequest, _context: object
    ) -> runs.LogTaskEventResponse:
        record = self.records[request.task_run_id]
        if request.fence != record.run.attempt_fence:
            raise FenceStale("A newer attempt is at work.")
        kind = request.WhichOneof("detail") or ""
        record.events.append(f"{kind} {PAUSED}" if getattr(request, kind).kind == PAUSED else kind)
        return runs.LogTaskEventResponse()

    async def ListTaskEvents(
        self, request: runs.ListTaskEventsRequest, _context: object
    ) -> runs.ListTaskEventsResponse:
        record = self.records[request.task_run_id]
        events = [
            TaskEvent(notice=Notice(kind=each.partition(" ")[2] or "failed"))
            for each in record.events
            if each.startswith("notice")
        ]
        return runs.ListTaskEventsResponse(task_events=events)

    async def CompleteTaskRun(
        self, request: runs.CompleteTaskRunRequest, _context: object
    ) -> runs.CompleteTaskRunResponse:
        self._faults.pass_or_fail("CompleteTaskRun")
        record = self._held(request)
        record.run.status = task_run.TASK_RUN_STATUS_COMPLETED
        record.run.outcome = request.outcome
        record.run.outcome_reason = request.outcome_reason
        record.run.output_text = request.output_text
        record.run.completed_time.GetCurrentTime()
        return runs.CompleteTaskRunResponse(task_run=record.run)

    async def WatchStopRequests(
        self, _request: runs.WatchStopRequestsRequest, _context: object
    ) -> AsyncIterator[runs.WatchStopRequestsResponse]:
        self._faults.pass_or_fail("WatchStopRequests")
        queue: asyncio.Queue[runs.WatchStopRequestsResponse] = asyncio.Queue()
        self.stop_queues.append(queue)
        yield runs.WatchStopRequestsResponse()
        while True:
            yield await queue.get()

    async def PublishText(
        self, request: runs.PublishTextRequest, _context: object
    ) -> runs.PublishTextResponse:
        self.published.append(request.text)
        return runs.PublishTextResponse()

    async def ReserveSpend(
        self, request: budget.ReserveSpendRequest, _context: object
    ) -> budget.ReserveSpendResponse:
        self._faults.pass_or_fail("ReserveSpend")
        return budget.ReserveSpendResponse(reservation=self._reserve(self._held(request)))

    def _reserve(self, record: RunRecord) -> SpendReservation:
        reservation = SpendReservation(spend_reservation_id=str(uuid.uuid4()), reserved_usd_micros=RESERVED)
        record.reservations[reservation.spend_reservation_id] = "open"
        return reservation

    async def ReleaseSpend(
        self, request: budget.ReleaseSpendRequest, _context: object
    ) -> budget.ReleaseSpendResponse:
        self._held(request).reservations[request.spend_reservation_id] = "settled"
        return budget.ReleaseSpendResponse()

    async def CommitTurn(
        self, request: transcript.CommitTurnRequest, _context: object
    ) -> transcript.CommitTurnResponse:
        self._faults.pass_or_fail("CommitTurn")
        record = self._held(request)
        if record.reservations[request.spend_reservation_id] != "open":
            raise Refused("The reservation is not open.", reason="RESERVATION_NOT_OPEN")
        record.reservations[request.spend_reservation_id] = "settled"
        turn = record.add(
            request.message,
            model_label=request.model_label,
            usage=request.usage,
            cost_usd_micros=request.cost_usd_micros,
            finish_reason=request.finish_reason,
        )
        record.passed_over += request.passed_over
        return transcript.CommitTurnResponse(position=turn.position)

    async def CommitToolResults(
        self, request: transcript.CommitToolResultsRequest, _context: object
    ) -> transcript.CommitToolResultsResponse:
        record = self._held(request)
        open_calls = [
            part.tool_call.call_id for part in record.turns[-1].message.parts if part.HasField("tool_call")
        ]
        if [each.result.call_id for each in request.results] != open_calls:
            raise Refused("The results do not match the open calls.", reason="RESULTS_MISMATCH")
        recorded: list[TranscriptTurn] = []
        if request.results:
            parts = [Part(tool_result=each.result) for each in request.results]
            recorded.append(record.add(Message(role=ROLE_TOOL, parts=parts)))
        if request.correction:
            recorded.append(record.add(said(ROLE_USER, request.correction)))
        recorded += record.fold()
        reservation = None if self.caps_are_reached else self._reserve(record)
        return transcript.CommitToolResultsResponse(turns=recorded, reservation=reservation)


class FakeDispatcher:
    """Threads as queues of events; an event stays claimed until it is named as finished."""

    def __init__(self) -> None:
        self.events: dict[str, list[ClaimedEvent]] = defaultdict(list)

    def add_event(self, thread_id: str, *task_run_ids: str) -> str:
        event = ClaimedEvent(thread_event_id=str(uuid.uuid4()), task_run_ids=task_run_ids)
        self.events[thread_id].append(event)
        return event.thread_event_id

    async def ClaimNextEvent(
        self, request: dispatcher.ClaimNextEventRequest, _context: object
    ) -> dispatcher.ClaimNextEventResponse:
        waiting = self.events[request.thread_id]
        if waiting and waiting[0].thread_event_id == request.finished_thread_event_id:
            waiting.pop(0)
        return dispatcher.ClaimNextEventResponse(event=waiting[0] if waiting else None)


class FakeModels:
    """One model that says what the test's script makes of the conversation."""

    def __init__(self, faults: Faults) -> None:
        self.script: Callable[[list[Message]], Message] = lambda _: said(ROLE_ASSISTANT, "The answer.")
        self.finish_reasons: list[FinishReason.ValueType] = []  # of the next calls; then all just stop
        self.passed_over: list[PassedOver] = []
        self.label = "R0"
        self.finish_seconds = 0.0
        self.requests: list[models.GenerateRequest] = []
        self.hang = asyncio.Event()
        self.generating = asyncio.Event()
        self.hang.set()
        self._faults = faults

    async def ListModels(self, _request: object, _context: object) -> models.ListModelsResponse:
        model = Model(
            alias="scripted",
            label="R0",
            context_tokens_max=200_000,
            output_tokens_max=8_000,
            pricing=Pricing(input_usd_micros=1_000_000, output_usd_micros=2_000_000),
            available=True,
        )
        return models.ListModelsResponse(models=[model])

    async def Generate(
        self, request: models.GenerateRequest, _context: object
    ) -> AsyncIterator[models.GenerateResponse]:
        self._faults.pass_or_fail("Generate")
        self.requests.append(request)
        self.generating.set()
        yield models.GenerateResponse(text_delta="…")
        await self.hang.wait()
        yield models.GenerateResponse(text_delta=" and so on")
        await asyncio.sleep(self.finish_seconds)
        yield models.GenerateResponse(
            finished=models.GenerationFinished(
                message=self.script(list(request.messages)),
                usage=Usage(tokens_input=100, tokens_output=10),
                finish_reason=self.finish_reasons.pop(0) if self.finish_reasons else FINISH_REASON_STOP,
                cost_usd_micros=200,
                model_alias="scripted",
                model_label=self.label,
                passed_over=self.passed_over,
            )
        )


class FakeTools:
    """One tool, `repo_read_file`, that answers as the test says, and the threads posts go to."""

    def __init__(self, faults: Faults, astra: FakeAstra) -> None:
        self.reply: Callable[[tools.CallToolRequest], tools.CallToolResponse] = lambda request: (
            tools.CallToolResponse(text=f"read {request.arguments_json}")
        )
        self.origins: list[tuple[str, str, int]] = []
        self.call_seconds = 0.0
        self.calls_at_once = 0
        self.calls_at_once_max = 0
        self.posts: dict[tuple[str, str], str] = {}  # (run, kind) -> text
        self.posts_sent = 0
        self.resolved: list[ThreadAddress] = []
        self.timeout = timedelta(seconds=30)
        self.effect = TOOL_EFFECT_READ
        self._faults = faults
        self._astra = astra

    async def ListTools(self, _request: object, _context: object) -> tools.ListToolsResponse:
        tool = Tool(
            name="repo_read_file",
            description="Reads.",
            parameters_json='{"type":"object"}',
            method="aucert.tools.v1.RepoService/ReadFile",
            effect=self.effect,
            trust=TOOL_TRUST_ANY,
            approval=TOOL_APPROVAL_NONE,
        )
        tool.timeout.FromTimedelta(self.timeout)
        return tools.ListToolsResponse(tools=[tool])

    async def CallTool(self, request: tools.CallToolRequest, _context: object) -> tools.CallToolResponse:
        self._faults.pass_or_fail("CallTool")
        self.calls_at_once += 1
        self.calls_at_once_max = max(self.calls_at_once, self.calls_at_once_max)
        await asyncio.sleep(self.call_seconds)
        self.calls_at_once -= 1
        origin = current_caller().origin
        assert origin is not None
        self.origins.append((origin.task_run_id, origin.call_id, origin.fence))
        return self.reply(request)

    async def PrepareWorkspace(
        self, request: workspaces.PrepareWorkspaceRequest, _context: object
    ) -> workspaces.PrepareWorkspaceResponse:
        self._faults.pass_or_fail("PrepareWorkspace")
        self._astra.records[request.task_run_id].run.commit = COMMIT
        return workspaces.PrepareWorkspaceResponse(commit=COMMIT)

    async def PostAnswer(
        self, request: threads.PostAnswerRequest, _context: object
    ) -> threads.PostAnswerResponse:
        self._astra.answers_begun.add(request.task_run_id)
        self._faults.pass_or_fail("PostAnswer")
        self._post(request.task_run_id, "answer", request.text)
        return threads.PostAnswerResponse(url="https://example.com/answer")

    async def PostNotice(
        self, request: threads.PostNoticeRequest, _context: object
    ) -> threads.PostNoticeResponse:
        self._faults.pass_or_fail("PostNotice")
        if request.task_run_id in self._astra.answers_begun:
            raise Refused("It is answered.", reason="TRANSITION_IMPOSSIBLE")
        self._post(request.task_run_id, {2: "failed", 3: "cancelled", 4: PAUSED}[request.kind], request.text)
        return threads.PostNoticeResponse(url="https://example.com/notice")

    async def ResolveThread(
        self, request: threads.ResolveThreadRequest, _context: object
    ) -> threads.ResolveThreadResponse:
        self._faults.pass_or_fail("ResolveThread")
        self.resolved.append(request.address)
        return threads.ResolveThreadResponse(resolved=True)

    def _post(self, task_run_id: str, kind: str, text: str) -> None:
        if (task_run_id, kind) not in self.posts:
            self.posts_sent += 1
            self.posts[task_run_id, kind] = text


@dataclass(frozen=True)
class Services:
    """Everything the worker calls, the stubs to call it by and the address of it all."""

    astra: FakeAstra
    dispatcher: FakeDispatcher
    models: FakeModels
    tools: FakeTools
    faults: Faults
    stubs: Stubs
    address: str


@asynccontextmanager
async def running_services() -> AsyncIterator[Services]:
    """All four behind one server."""
    faults = Faults()
    astra, queues, generator = FakeAstra(faults), FakeDispatcher(), FakeModels(faults)
    toolbox = FakeTools(faults, astra)
    astra_package, tools_package = "aucert.astra.v1.", "aucert.tools.v1."
    registrations = [
        Registration(
            astra_package + "TaskRunService",
            task_run_service_pb2_grpc.add_TaskRunServiceServicer_to_server,
            _Whole(astra),
        ),
        Registration(
            astra_package + "BudgetService",
            budget_service_pb2_grpc.add_BudgetServiceServicer_to_server,
            _Whole(astra),
        ),
        Registration(
            astra_package + "TranscriptService",
            transcript_service_pb2_grpc.add_TranscriptServiceServicer_to_server,
            _Whole(astra),
        ),
        Registration(
            "aucert.dispatcher.v1.DispatcherService",
            dispatcher_service_pb2_grpc.add_DispatcherServiceServicer_to_server,
            _Whole(queues),
        ),
        Registration(
            "aucert.models.v1.ModelService",
            model_service_pb2_grpc.add_ModelServiceServicer_to_server,
            _Whole(generator),
        ),
        Registration(
            tools_package + "ToolService",
            tool_service_pb2_grpc.add_ToolServiceServicer_to_server,
            _Whole(toolbox),
        ),
        Registration(
            tools_package + "ThreadService",
            thread_service_pb2_grpc.add_ThreadServiceServicer_to_server,
            _Whole(toolbox),
        ),
        Registration(
            tools_package + "WorkspaceService",
            workspace_service_pb2_grpc.add_WorkspaceServiceServicer_to_server,
            _Whole(toolbox),
        ),
    ]
    async with AsyncExitStack() as exits:
        server = await exits.enter_async_context(
            serve(
                name="fakes",
                host="127.0.0.1",
                port=0,
                registrations=registrations,
                authenticator=Everybody(),
                drain_seconds=0,
            )
        )
        channel = connect(server.address, "worker")
        exits.push_async_callback(channel.close)
        stubs = Stubs.over(astra=channel, dispatcher=channel, models=channel, tools=channel)
        yield Services(astra, queues, generator, toolbox, faults, stubs, server.address)


class _Whole:
    """A servicer's methods, with those a fake leaves out refused by name."""

    def __init__(self, fake: object) -> None:
        self._fake = fake

    def __getattr__(self, method: str) -> Any:
        return getattr(self._fake, method, None) or _left_out(method)


def _left_out(method: str) -> Any:
    async def refuse(_request: object, _context: object) -> None:
        raise NotImplementedError(method)

    return refuse
