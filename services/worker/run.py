"""One attempt at a run: does what `agent.py` decides and records each step before the next depends on it.

The reservation of a model call is made before the call, the turn is recorded before its tools run, their
results before the model reads them. So an attempt can die anywhere and the next one goes on from the record.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aucert.astra.v1.task_run_service_pb2 import BeginAttemptResponse
from aucert.astra.v1.transcript_pb2 import FinishedToolCall, TranscriptTurn
from aucert.astra.v1.transcript_service_pb2 import CommitToolResultsRequest, CommitTurnRequest
from aucert.models.v1.message_pb2 import ROLE_TOOL, ROLE_USER, Message, Part
from aucert.models.v1.model_pb2 import Model
from aucert.models.v1.model_service_pb2 import GenerateRequest, GenerationFinished, ToolDefinition
from aucert.tools.v1.workspace_service_pb2 import PrepareWorkspaceRequest
from services.common.billing import is_unbilled
from services.common.crashpoints import CrashPoint, reach
from services.common.errors import ServiceError, Unavailable
from services.worker.agent import CallModel, Correct, Fail, Finish, Limits, RunTools, as_recorded, next_step
from services.worker.catalogue import Catalogue
from services.worker.costs import worst_case_usd_micros
from services.worker.failures import MODEL_AWAY, RunFailed, each_try_may_be_billed
from services.worker.pacing import paced
from services.worker.prompt import Prompt, assemble, conversation, definitions, offered
from services.worker.reading_along import LiveText, Readers
from services.worker.spending import Spending, charged_usd_micros
from services.worker.stubs import Stubs
from services.worker.tool_calls import CallingRun, ToolCaller

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aucert.astra.v1.transcript_pb2 import SpendReservation

PREPARE_TIMEOUT_SECONDS = 720.0
"""More than the tools service gives a clone. Past it the clone goes on, and the next attempt waits for it."""


@dataclass(frozen=True, slots=True)
class Framing:
    """What stays the same in every model call of a run."""

    model: Model
    prompt: Prompt
    tools: Sequence[ToolDefinition]

    @property
    def size_bytes(self) -> int:
        """Size of the system prompt and the tool definitions."""
        return len(self.prompt.text.encode()) + sum(tool.ByteSize() for tool in self.tools)


class Attempt:
    """Carries a begun attempt to its answer, turn by turn.

    `leaving` says whether to hand the run back at the next turn boundary. The turns it records are added to
    those of `begun`.
    """

    def __init__(
        self,
        begun: BeginAttemptResponse,
        framing: Framing,
        stubs: Stubs,
        tools: ToolCaller,
        readers: Readers,
        leaving: Callable[[], bool],
    ) -> None:
        self._run = begun.task_run
        self._fence = begun.fence
        self._turns = begun.turns
        self._limits = Limits.of(begun.task_run, begun.agent.ceilings)
        self._framing = framing
        self._stubs = stubs
        self._tools = tools
        self._readers = readers
        self._leaving = leaving
        self._spending = Spending(stubs.budgets, begun.task_run, begun.fence)

    @classmethod
    async def prepare(
        cls,
        begun: BeginAttemptResponse,
        stubs: Stubs,
        catalogue: Catalogue,
        readers: Readers,
        leaving: Callable[[], bool],
    ) -> Attempt:
        """Look up the model and the tools, assemble the prompt, and have the repository at hand.

        A first clone takes longer than a tool may, so it is waited for here, once a run. Raises RunFailed,
        RateLimited and ServiceError.
        """
        run = begun.task_run
        if begun.HasField("repository") and not run.commit:
            request = PrepareWorkspaceRequest(task_run_id=run.task_run_id)
            await paced(lambda: stubs.workspaces.PrepareWorkspace(request, timeout=PREPARE_TIMEOUT_SECONDS))
        model = await catalogue.model(run.model_alias)
        tools = offered(
            await catalogue.tools(),
            agent=begun.agent,
            operation=run.operation,
            has_repository=begun.HasField("repository"),
            trusted=run.requester_trusted,
        )
        prompt = assemble(begun.agent, operation=run.operation, model_label=model.label)
        caller = ToolCaller(stubs.tools, CallingRun(run.tenant_id, run.task_run_id, begun.fence), tools)
        return cls(begun, Framing(model, prompt, definitions(tools)), stubs, caller, readers, leaving)

    async def to_answer(self) -> Finish | None:
        """Go on until the model's answer is on record; None: handed back at a turn boundary before.

        Raises RunFailed, RateLimited, ServiceError and AioRpcError.
        """
        while True:  # bounded by the turns, tokens and time in the run's limits
            step = next_step(self._turns, self._limits, datetime.now(UTC))
            if isinstance(step, Finish):
                return step
            if isinstance(step, Fail):
                await self._spending.release()
                raise RunFailed(step.reason)
            # A reservation that nobody uses counts as a call that was cut: leave only without one.
            if self._spending.reservation is None and self._leaving():
                return None
            await self._take(step)

    async def _take(self, step: CallModel | RunTools | Correct) -> None:
        match step:
            case CallModel():
                await self._call_model()
            case RunTools(calls, remark):
                await self._reply_to_model(await self._tools.call_all(calls), remark)
            case Correct(text):
                await self._reply_to_model([], text)

    async def _call_model(self) -> None:
        reservation = await self._spending.reserved(self._worst_case())
        reach(CrashPoint.SPEND_RESERVED)
        with each_try_may_be_billed(self._run.task_run_id):
            started = time.monotonic()
            finished = await self._generated()
            reach(CrashPoint.PROVIDER_ANSWERED)
            await self._record(finished, reservation, round((time.monotonic() - started) * 1000))
        reach(CrashPoint.TURN_COMMITTED)

    async def _record(
        self, finished: GenerationFinished, reservation: SpendReservation, duration_ms: int
    ) -> None:
        message = as_recorded(finished.message, self._turns[-1].position + 1)
        recorded = await self._stubs.transcripts.CommitTurn(
            CommitTurnRequest(
                task_run_id=self._run.task_run_id,
                fence=self._fence,
                spend_reservation_id=reservation.spend_reservation_id,
                message=message,
                usage=finished.usage,
                cost_usd_micros=charged_usd_micros(finished, reservation),
                model_alias=finished.model_alias,
                model_label=finished.model_label,
                prompt_sha256=self._framing.prompt.sha256,
                duration_ms=duration_ms,
                finish_reason=finished.finish_reason,
                passed_over=finished.passed_over,
            ),
            wait_for_ready=True,  # the turn is paid: it waits for a record that is being replaced
        )
        self._spending.reservation = None
        self._turns.append(
            TranscriptTurn(
                position=recorded.position,
                message=message,
                usage=finished.usage,
                model_label=finished.model_label,
                finish_reason=finished.finish_reason,
            )
        )

    async def _generated(self) -> GenerationFinished:
        """What the model says; where no provider took the call, the money set aside for it is free again."""
        try:
            return await paced(self._generate)
        except ServiceError as error:
            if is_unbilled(error):
                await self._spending.release()
            raise

    async def _generate(self) -> GenerationFinished:
        request = GenerateRequest(
            model_alias=self._run.model_alias,
            system=self._framing.prompt.text,
            messages=conversation(self._turns),
            tools=self._framing.tools,
        )
        left = (self._limits.deadline - datetime.now(UTC)).total_seconds()
        position = self._turns[-1].position + 1
        live = LiveText(
            self._readers, self._stubs.runs, self._run.task_run_id, fence=self._fence, position=position
        )
        with live.following():
            async for piece in self._stubs.models.Generate(request, timeout=max(left, 0.0)):
                if piece.HasField("finished"):
                    return piece.finished
                live.add(piece)
        raise Unavailable("The model's stream ended early.", reason=MODEL_AWAY)

    async def _reply_to_model(self, results: list[FinishedToolCall], correction: str) -> None:
        """Record what the model reads next, with follow-ups that arrived, and reserve its next call."""
        said = [Part(tool_result=each.result) for each in results]
        reply = [Message(role=ROLE_TOOL, parts=said)] if results else []
        reply += [_user(correction)] if correction else []
        response = await self._stubs.transcripts.CommitToolResults(
            CommitToolResultsRequest(
                task_run_id=self._run.task_run_id,
                fence=self._fence,
                results=results,
                correction=correction,
                next_model_alias=self._run.model_alias,
                next_reserved_usd_micros=self._worst_case(*reply),
            )
        )
        self._turns.extend(response.turns)
        self._spending.reservation = response.reservation if response.HasField("reservation") else None

    def _worst_case(self, *unrecorded: Message) -> int:
        messages = [*conversation(self._turns), *unrecorded]
        framing = self._framing
        return worst_case_usd_micros(framing.model, framing_bytes=framing.size_bytes, messages=messages)


def _user(text: str) -> Message:
    return Message(role=ROLE_USER, parts=[Part(text=text)])
