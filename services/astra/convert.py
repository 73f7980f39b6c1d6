"""Between rows of the record and messages of the contract."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypeAlias

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from aucert.astra.v1 import (
    agent_pb2,
    budget_pb2,
    model_default_pb2,
    principal_pb2,
    repository_pb2,
    task_event_pb2,
    task_run_pb2,
    thread_post_pb2,
    token_vault_pb2,
    transcript_pb2,
)
from aucert.common.v1 import thread_pb2
from aucert.models.v1 import generation_pb2, message_pb2
from services.astra.principals import scopes_of
from services.astra.record import NewEvent

Stored: TypeAlias = Any
"""A row of the record: SQLAlchemy types rows by position, we read them by name."""


class EnumWords:
    """An enum as words: values without prefix in lower case; the unspecified value is the empty word."""

    def __init__(self, enum: EnumDescriptor, prefix: str) -> None:
        self._words: Mapping[int, str] = {
            each.number: each.name.removeprefix(prefix).lower() if each.number else "" for each in enum.values
        }
        self._numbers = {word: number for number, word in self._words.items()}

    def word(self, number: int) -> str:
        """The word of a value."""
        return self._words[number]

    def number(self, word: str | None) -> Any:
        """The value of a word; None is the empty word."""
        return self._numbers[word or ""]


SOURCE = EnumWords(thread_pb2.Source.DESCRIPTOR, "SOURCE_")
STATUS = EnumWords(task_run_pb2.TaskRunStatus.DESCRIPTOR, "TASK_RUN_STATUS_")
OUTCOME = EnumWords(task_run_pb2.TaskRunOutcome.DESCRIPTOR, "TASK_RUN_OUTCOME_")
WAIT_REASON = EnumWords(task_run_pb2.WaitReason.DESCRIPTOR, "WAIT_REASON_")
POST_KIND = EnumWords(thread_post_pb2.ThreadPostKind.DESCRIPTOR, "THREAD_POST_KIND_")
START_POLICY = EnumWords(repository_pb2.StartPolicy.DESCRIPTOR, "START_POLICY_")
CAP_KIND = EnumWords(budget_pb2.CapKind.DESCRIPTOR, "CAP_KIND_")
USAGE_DIMENSION = EnumWords(budget_pb2.UsageDimension.DESCRIPTOR, "USAGE_DIMENSION_")
INTEGRATION = EnumWords(token_vault_pb2.Integration.DESCRIPTOR, "INTEGRATION_")
TOKEN_USE = EnumWords(token_vault_pb2.TokenUse.DESCRIPTOR, "TOKEN_USE_")
VAULT_ACTION = EnumWords(token_vault_pb2.VaultAction.DESCRIPTOR, "VAULT_ACTION_")
ROLE = EnumWords(message_pb2.Role.DESCRIPTOR, "ROLE_")
FINISH_REASON = EnumWords(generation_pb2.FinishReason.DESCRIPTOR, "FINISH_REASON_")

_SAME_NAME = [
    "tenant_id",
    "agent_slug",
    "thread_id",
    "thread_event_id",
    "thread_seq",
    "workflow_id",
    "operation",
    "model_alias",
    "model_label",
    "message",
    "requester",
    "source_url",
    "prompt_sha256",
    "outcome_reason",
    "attempt_fence",
    "turn_count",
    "tokens_input",
    "tokens_output",
    "tokens_cache_read",
    "tokens_cache_write",
    "estimated_cost_usd_micros",
    "requester_trusted",
]
_TIMES = [
    "wait_expires_time",
    "stop_requested_time",
    "created_time",
    "started_time",
    "deadline_time",
    "completed_time",
]


def message_from_json(stored: Any) -> message_pb2.Message:
    """A transcript's message, from the record."""
    return ParseDict(stored, message_pb2.Message(), ignore_unknown_fields=True)


def timestamp(time: datetime) -> Timestamp:
    """A time of the record."""
    found = Timestamp()
    found.FromDatetime(time)
    return found


def task_run(row: Stored) -> task_run_pb2.TaskRun:
    """A run, from a row of `runs()`."""
    same: dict[str, Any] = {name: getattr(row, name) for name in _SAME_NAME}
    times: dict[str, Any] = {name: timestamp(at) for name in _TIMES if (at := getattr(row, name)) is not None}
    found = task_run_pb2.TaskRun(
        task_run_id=row.id,
        source=SOURCE.number(row.source),
        repository_id=row.repository_id or "",
        commit=row.pinned_commit,
        status=STATUS.number(row.status),
        waiting_for=WAIT_REASON.number(row.waiting_for),
        outcome=OUTCOME.number(row.outcome),
        answered_by_task_run_id=row.answered_by_task_run_id or "",
        duration_ms=row.duration_ms or 0,
        cache_hit_rate=row.tokens_cache_read / max(1, _tokens_read(row)),
        **same,
        **times,
    )
    ParseDict(row.address, found.address, ignore_unknown_fields=True)
    if row.output:
        found.output_text, found.reply_url = row.output["text"], row.output["reply_url"]
    return found


def _tokens_read(run: Stored) -> int:
    return run.tokens_input + run.tokens_cache_read + run.tokens_cache_write


def task_event(row: Stored) -> task_event_pb2.TaskEvent:
    """An event, from its row."""
    found = task_event_pb2.TaskEvent(
        task_run_id=row.task_run_id, seq=row.seq, created_time=timestamp(row.created_time)
    )
    detail: Message = getattr(found, row.event_type)
    detail.SetInParent()
    ParseDict(row.metadata, detail, ignore_unknown_fields=True)
    return found


def new_event(detail: Message) -> NewEvent:
    """An event to record, its type found by its message."""
    return NewEvent(_EVENT_TYPES[detail.DESCRIPTOR.full_name], detail)


_EVENT_TYPES = {
    field.message_type.full_name: field.name  # pyright: ignore[reportOptionalMemberAccess] - all are messages
    for field in task_event_pb2.TaskEvent.DESCRIPTOR.oneofs_by_name["detail"].fields
}


def transcript_turn(row: Stored) -> transcript_pb2.TranscriptTurn:
    """A turn, from its row."""
    found = transcript_pb2.TranscriptTurn(
        position=row.position,
        message=message_from_json(row.message),
        thread_event_id=row.thread_event_id or "",
        model_alias=row.model_alias,
        model_label=row.model_label,
        cost_usd_micros=row.cost_usd_micros,
        created_time=timestamp(row.created_time),
        finish_reason=FINISH_REASON.number(row.finish_reason),
    )
    if row.model_alias:
        found.usage.tokens_input = row.tokens_input
        found.usage.tokens_output = row.tokens_output
        found.usage.tokens_cache_read = row.tokens_cache_read
        found.usage.tokens_cache_write = row.tokens_cache_write
    return found


def agent(row: Stored, personalities: Iterable[Stored]) -> agent_pb2.Agent:
    """An agent with its fragments in order."""
    found = agent_pb2.Agent(
        agent_id=row.id,
        slug=row.slug,
        display_name=row.display_name,
        personalities=[
            agent_pb2.Personality(slug=each.slug, text=each.text, operations=each.operations)
            for each in personalities
        ],
        ceilings=agent_pb2.Ceilings(
            turns_max=row.turns_max, tokens_max=row.tokens_max, mistakes_max=row.mistakes_max
        ),
        handles=[
            agent_pb2.Handle(source=source, name=name)
            for source, names in row.handles.items()
            for name in names
        ],
        tools=[
            agent_pb2.ToolChoice(operation=operation, name=name)
            for operation, _, name in (each.partition(":") for each in row.tools)
        ],
    )
    found.ceilings.run_timeout.FromSeconds(row.run_timeout_seconds)
    return found


def repository(row: Stored) -> repository_pb2.Repository:
    """A repository, from a row of the registry."""
    return repository_pb2.Repository(
        repository_id=row.id,
        slug=row.slug,
        clone_url=row.clone_url,
        default_branch=row.default_branch,
        spec_folders=row.spec_folders,
        adr_folders=row.adr_folders,
        source_containers=row.source_containers or (),
        start_policy=START_POLICY.number(row.start_policy),
    )


def thread_post(row: Stored) -> thread_post_pb2.ThreadPost:
    """A part of a post, from its row."""
    return thread_post_pb2.ThreadPost(
        thread_post_id=row.id,
        kind=POST_KIND.number(row.kind),
        part=row.part,
        text=row.text,
        created_time=timestamp(row.created_time),
        posted=row.posted_time is not None,
        external_id=row.external_id,
        url=row.url,
    )


def principal(row: Stored) -> principal_pb2.Principal:
    """A principal, from its row."""
    return principal_pb2.Principal(
        principal_id=row.id, name=row.name, tenant_id=row.tenant_id, scopes=sorted(scopes_of(row.scopes))
    )


def cap(row: Stored) -> budget_pb2.Cap:
    """A cap, from its row with what is spent of it."""
    return budget_pb2.Cap(
        kind=CAP_KIND.number(row.cap),
        agent_slug=row.agent_slug or "",
        task_run_id=row.task_run_id or "",
        limit_usd_micros=row.limit_usd_micros,
        spent_usd_micros=row.spent,
        reserved_usd_micros=row.reserved,
        set_by=row.set_by,
        set_time=timestamp(row.set_time),
    )


def model_default(row: Stored) -> model_default_pb2.ModelDefault:
    """A default, from its row with the agent's name."""
    return model_default_pb2.ModelDefault(
        agent_slug=row.agent_slug or "",
        operation=row.operation,
        model_alias=row.model_alias,
        set_by=row.set_by,
        set_time=timestamp(row.set_time),
    )


def usage_row(row: Stored) -> budget_pb2.UsageRow:
    """A row of a usage report, from the sums."""
    return budget_pb2.UsageRow(
        day=row.day,
        agent_slug=row.agent,
        model_alias=row.model,
        call_count=row.call_count,
        abandoned_call_count=row.abandoned_call_count,
        tokens_input=row.tokens_input,
        tokens_output=row.tokens_output,
        tokens_cache_read=row.tokens_cache_read,
        tokens_cache_write=row.tokens_cache_write,
        cost_usd_micros=row.cost_usd_micros,
    )


def vault_token(row: Stored) -> token_vault_pb2.VaultToken:
    """What is known of a token, from its row; what is sealed stays there."""
    return token_vault_pb2.VaultToken(
        vault_token_id=row.id,
        integration=INTEGRATION.number(row.integration),
        agent_slug=row.agent_slug,
        uses=[TOKEN_USE.number(use) for use in row.uses],
        key_id=row.key_id,
        put_by=row.put_by,
        put_time=timestamp(row.put_time),
    )


def audit_event(row: Stored) -> token_vault_pb2.AuditEvent:
    """A line of the vault's record, from its row."""
    return token_vault_pb2.AuditEvent(
        audit_event_id=row.id,
        action=VAULT_ACTION.number(row.action),
        principal=row.principal,
        called_by=row.called_by,
        task_run_id=row.task_run_id or "",
        integration=INTEGRATION.number(row.integration),
        agent_slug=row.agent_slug,
        vault_token_id=row.agent_token_id,
        use=TOKEN_USE.number(row.use),
        key_id=row.key_id,
        created_time=timestamp(row.created_time),
    )
