"""Astra's tables. Migrations make them; row-level security and grants are theirs too."""

from __future__ import annotations

from datetime import date

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from services.common.tables import Base, Big, Bytes, Id, Json, Time, Words

_NOW = text("now()")
_ZERO = text("0")
_EMPTY = text("''")
_UNFINISHED = text("status <> 'completed'")


class Tenant(Base):
    """Whose data it is. Visible to itself only."""

    __tablename__ = "tenants"

    id: Mapped[Id] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(unique=True)
    display_name: Mapped[str]
    created_time: Mapped[Time] = mapped_column(server_default=_NOW)


class Principal(Base):
    """Somebody or something that calls. `scopes` are names of Scope in lower case, without prefix.

    One without a token calls nobody: an agent's own, on whose behalf services act.
    `identities` are how sources name the people who may act as it in a comment, as in "github:583231".
    """

    __tablename__ = "principals"
    __table_args__ = (UniqueConstraint("tenant_id", "name"),)

    id: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.id"))
    name: Mapped[str]
    scopes: Mapped[Words]
    token_sha256: Mapped[Bytes | None] = mapped_column(unique=True)
    identities: Mapped[Words] = mapped_column(server_default=text("'{}'"))
    created_time: Mapped[Time] = mapped_column(server_default=_NOW)


class Agent(Base):
    """Who works, and how far it may go.

    `handles`: {"github": ["atlas"]}. `tools`: operation and name, as in "spec_generate:docs_*"; none: all.
    """

    __tablename__ = "agents"
    __table_args__ = (
        UniqueConstraint("tenant_id", "slug"),
        CheckConstraint("turns_max > 0", name="turns_max"),
        CheckConstraint("tokens_max > 0", name="tokens_max"),
        CheckConstraint("run_timeout_seconds > 0", name="run_timeout_seconds"),
        CheckConstraint("mistakes_max > 0", name="mistakes_max"),
    )

    id: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.id"))
    slug: Mapped[str]
    display_name: Mapped[str]
    handles: Mapped[Json]
    turns_max: Mapped[int]
    tokens_max: Mapped[Big]
    run_timeout_seconds: Mapped[int]
    mistakes_max: Mapped[int]
    tools: Mapped[Words] = mapped_column(server_default=text("'{}'"))


class Personality(Base):
    """A fragment of framing, shared between agents. `operations` empty: for all."""

    __tablename__ = "personalities"
    __table_args__ = (UniqueConstraint("tenant_id", "slug"),)

    id: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.id"))
    slug: Mapped[str]
    text: Mapped[str]
    operations: Mapped[Words]


class AgentPersonality(Base):
    """A fragment's place in an agent's framing."""

    __tablename__ = "agent_personalities"

    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.id"))
    agent_id: Mapped[Id] = mapped_column(ForeignKey("agents.id"), primary_key=True)
    personality_id: Mapped[Id] = mapped_column(ForeignKey("personalities.id"))
    position: Mapped[int] = mapped_column(primary_key=True)


class Repository(Base):
    """A registered repository."""

    __tablename__ = "repositories"
    __table_args__ = (
        UniqueConstraint("tenant_id", "slug"),
        CheckConstraint("start_policy IN ('standing_required', 'anyone')", name="start_policy"),
    )

    id: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.id"))
    slug: Mapped[str]
    clone_url: Mapped[str]
    default_branch: Mapped[str]
    spec_folders: Mapped[Words]
    adr_folders: Mapped[Words]
    start_policy: Mapped[str]
    created_time: Mapped[Time] = mapped_column(server_default=_NOW)


class SourceContainer(Base):
    """A place whose events are about a repository, as in "github:acme/shop"; the allow-list."""

    __tablename__ = "source_containers"
    __table_args__ = (Index(None, "repository_id"),)

    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    container: Mapped[str] = mapped_column(primary_key=True)
    repository_id: Mapped[Id] = mapped_column(ForeignKey("repositories.id"))


class TaskRun(Base):
    """One event worked on by one model. Its row lock orders everything that happens to it."""

    __tablename__ = "task_runs"
    __table_args__ = (
        UniqueConstraint("thread_event_id", "model_alias"),
        CheckConstraint("status IN ('queued', 'in_progress', 'waiting', 'completed')", name="status"),
        CheckConstraint("outcome IN ('success', 'failure', 'cancelled')", name="outcome"),
        CheckConstraint("(status = 'completed') = (outcome IS NOT NULL)", name="completed"),
        CheckConstraint("status = 'waiting' OR wait_expires_time IS NULL", name="waiting"),
        Index(
            "task_runs_tenant_id_created_time_id_idx", "tenant_id", text("created_time DESC"), text("id DESC")
        ),
        Index(
            "task_runs_thread_id_created_time_id_idx", "thread_id", text("created_time DESC"), text("id DESC")
        ),
        Index("task_runs_by_outcome_idx", "tenant_id", "outcome", text("created_time DESC"), text("id DESC")),
        Index("task_runs_by_source_idx", "tenant_id", "source", text("created_time DESC"), text("id DESC")),
        Index(
            "task_runs_by_model_alias_idx",
            "tenant_id",
            "model_alias",
            text("created_time DESC"),
            text("id DESC"),
        ),
        Index(
            "task_runs_unfinished_by_tenant_idx",
            "tenant_id",
            text("created_time DESC"),
            text("id DESC"),
            postgresql_where=_UNFINISHED,
        ),
        Index("task_runs_unfinished_by_thread_idx", "thread_id", "thread_seq", postgresql_where=_UNFINISHED),
        Index("task_runs_unfinished_by_deadline_idx", "deadline_time", postgresql_where=_UNFINISHED),
        Index(
            "task_runs_unfinished_by_answering_run_idx",
            "answered_by_task_run_id",
            postgresql_where=_UNFINISHED,
        ),
    )

    id: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.id"))
    agent_id: Mapped[Id] = mapped_column(ForeignKey("agents.id"))
    thread_id: Mapped[Id]
    thread_event_id: Mapped[Id]
    thread_seq: Mapped[Big]
    workflow_id: Mapped[str]
    source: Mapped[str]
    address: Mapped[Json]
    operation: Mapped[str]
    model_alias: Mapped[str]
    model_label: Mapped[str]
    message: Mapped[str]
    requester: Mapped[str]
    source_url: Mapped[str]
    repository_id: Mapped[Id | None] = mapped_column(ForeignKey("repositories.id"))
    requester_trusted: Mapped[bool] = mapped_column(server_default=text("false"))
    pinned_commit: Mapped[str] = mapped_column(server_default=_EMPTY)
    prompt_sha256: Mapped[str] = mapped_column(server_default=_EMPTY)
    status: Mapped[str] = mapped_column(server_default=text("'queued'"))
    waiting_for: Mapped[str] = mapped_column(server_default=_EMPTY)
    wait_expires_time: Mapped[Time | None]
    outcome: Mapped[str | None]
    outcome_reason: Mapped[str] = mapped_column(server_default=_EMPTY)
    output: Mapped[Json | None]
    answered_by_task_run_id: Mapped[Id | None] = mapped_column(ForeignKey("task_runs.id"))
    attempt_fence: Mapped[Big] = mapped_column(server_default=_ZERO)
    next_event_seq: Mapped[Big] = mapped_column(server_default=text("1"))
    turn_count: Mapped[int] = mapped_column(server_default=_ZERO)
    tokens_input: Mapped[Big] = mapped_column(server_default=_ZERO)
    tokens_output: Mapped[Big] = mapped_column(server_default=_ZERO)
    tokens_cache_read: Mapped[Big] = mapped_column(server_default=_ZERO)
    tokens_cache_write: Mapped[Big] = mapped_column(server_default=_ZERO)
    estimated_cost_usd_micros: Mapped[Big] = mapped_column(server_default=_ZERO)
    duration_ms: Mapped[Big | None]
    stop_requested_time: Mapped[Time | None]
    created_time: Mapped[Time] = mapped_column(server_default=_NOW)
    started_time: Mapped[Time | None]
    deadline_time: Mapped[Time]
    completed_time: Mapped[Time | None]


class TaskEvent(Base):
    """Something that happened to a run; `metadata` is the contract's message for `event_type`, as JSON."""

    __tablename__ = "task_events"

    task_run_id: Mapped[Id] = mapped_column(ForeignKey("task_runs.id"), primary_key=True)
    seq: Mapped[Big] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id]
    event_type: Mapped[str]
    detail: Mapped[Json] = mapped_column(
        "metadata", key="detail"
    )  # the base class keeps that name for itself
    created_time: Mapped[Time] = mapped_column(server_default=_NOW)


class SpendReservation(Base):
    """Money set aside for one model call."""

    __tablename__ = "spend_reservations"
    __table_args__ = (
        CheckConstraint("reserved_usd_micros >= 0", name="reserved_usd_micros"),
        CheckConstraint("status IN ('open', 'settled', 'abandoned')", name="status"),
        CheckConstraint("(status = 'open') = (spent_usd_micros IS NULL)", name="settled"),
        Index(None, "task_run_id"),
        Index(
            "spend_reservations_open_idx",
            "tenant_id",
            "created_time",
            postgresql_where=text("status = 'open'"),
        ),
    )

    id: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id]
    task_run_id: Mapped[Id] = mapped_column(ForeignKey("task_runs.id"))
    model_alias: Mapped[str]
    reserved_usd_micros: Mapped[Big]
    spent_usd_micros: Mapped[Big | None]
    status: Mapped[str] = mapped_column(server_default=text("'open'"))
    fence: Mapped[Big]
    created_time: Mapped[Time] = mapped_column(server_default=_NOW)
    settled_time: Mapped[Time | None]


class Budget(Base):
    """A cap on spending. `subject_id`: the run, the agent or the tenant it is for; a limit of 0 is none."""

    __tablename__ = "budgets"
    __table_args__ = (
        CheckConstraint("cap IN ('run', 'agent_day', 'tenant_month')", name="cap"),
        CheckConstraint("limit_usd_micros >= 0", name="limit_usd_micros"),
        Index(None, "tenant_id", "set_time", "cap", "subject_id"),
    )

    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    cap: Mapped[str] = mapped_column(primary_key=True)
    subject_id: Mapped[Id] = mapped_column(primary_key=True)
    limit_usd_micros: Mapped[Big]
    set_by: Mapped[str] = mapped_column(server_default=_EMPTY)
    set_time: Mapped[Time] = mapped_column(server_default=_NOW)


class SpendDay(Base):
    """What an agent used of a model, open calls left out. `day`: when the money was set aside, UTC."""

    __tablename__ = "spend_days"

    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    agent_id: Mapped[Id] = mapped_column(ForeignKey("agents.id"), primary_key=True)
    model_alias: Mapped[str] = mapped_column(primary_key=True)
    call_count: Mapped[Big] = mapped_column(server_default=_ZERO)
    abandoned_call_count: Mapped[Big] = mapped_column(server_default=_ZERO)
    tokens_input: Mapped[Big] = mapped_column(server_default=_ZERO)
    tokens_output: Mapped[Big] = mapped_column(server_default=_ZERO)
    tokens_cache_read: Mapped[Big] = mapped_column(server_default=_ZERO)
    tokens_cache_write: Mapped[Big] = mapped_column(server_default=_ZERO)
    spent_usd_micros: Mapped[Big] = mapped_column(server_default=_ZERO)


class ModelDefault(Base):
    """The model that answers where a comment names none. `subject_id`: the agent or the tenant it is for.

    An empty operation stands for every one.
    """

    __tablename__ = "model_defaults"

    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    subject_id: Mapped[Id] = mapped_column(primary_key=True)
    operation: Mapped[str] = mapped_column(primary_key=True)
    model_alias: Mapped[str]
    set_by: Mapped[str] = mapped_column(server_default=_EMPTY)
    set_time: Mapped[Time] = mapped_column(server_default=_NOW)


class TranscriptTurn(Base):
    """A message of a run's conversation; a reservation pays for one turn at most."""

    __tablename__ = "transcript_turns"
    __table_args__ = (
        UniqueConstraint("task_run_id", "thread_event_id"),
        CheckConstraint("role IN ('user', 'assistant', 'tool')", name="role"),
    )

    task_run_id: Mapped[Id] = mapped_column(ForeignKey("task_runs.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id]
    role: Mapped[str]
    message: Mapped[Json]
    thread_event_id: Mapped[Id | None]
    model_alias: Mapped[str] = mapped_column(server_default=_EMPTY)
    model_label: Mapped[str] = mapped_column(server_default=_EMPTY)
    tokens_input: Mapped[Big] = mapped_column(server_default=_ZERO)
    tokens_output: Mapped[Big] = mapped_column(server_default=_ZERO)
    tokens_cache_read: Mapped[Big] = mapped_column(server_default=_ZERO)
    tokens_cache_write: Mapped[Big] = mapped_column(server_default=_ZERO)
    cost_usd_micros: Mapped[Big] = mapped_column(server_default=_ZERO)
    spend_reservation_id: Mapped[Id | None] = mapped_column(ForeignKey("spend_reservations.id"), unique=True)
    finish_reason: Mapped[str] = mapped_column(server_default=_EMPTY)
    created_time: Mapped[Time] = mapped_column(server_default=_NOW)


class ToolCall(Base):
    """A tool call of a turn: on record before it is made, and again with its result."""

    __tablename__ = "tool_calls"
    __table_args__ = (CheckConstraint("status IN ('begun', 'finished')", name="status"),)

    task_run_id: Mapped[Id] = mapped_column(ForeignKey("task_runs.id"), primary_key=True)
    call_id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id]
    position: Mapped[int]
    tool_name: Mapped[str]
    arguments: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=text("'begun'"))
    result_text: Mapped[str | None]
    failed: Mapped[bool] = mapped_column(server_default=text("false"))
    reason: Mapped[str] = mapped_column(server_default=_EMPTY)
    duration_ms: Mapped[Big | None]
    fence: Mapped[Big]
    begun_time: Mapped[Time] = mapped_column(server_default=_NOW)
    finished_time: Mapped[Time | None]


class ThreadPost(Base):
    """A part of an answer or notice: on record before it is sent."""

    __tablename__ = "thread_posts"
    __table_args__ = (
        UniqueConstraint("task_run_id", "kind", "part"),
        CheckConstraint(
            "kind IN ('answer', 'notice_failed', 'notice_cancelled', 'notice_paused')", name="kind"
        ),
    )

    id: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id]
    task_run_id: Mapped[Id] = mapped_column(ForeignKey("task_runs.id"))
    kind: Mapped[str]
    part: Mapped[int]
    text: Mapped[str]
    external_id: Mapped[str] = mapped_column(server_default=_EMPTY)
    url: Mapped[str] = mapped_column(server_default=_EMPTY)
    created_time: Mapped[Time] = mapped_column(server_default=_NOW)
    posted_time: Mapped[Time | None]


class Effect(Base):
    """A change a tool makes at a vendor, on record before it is asked for. `effect_key` names the call."""

    __tablename__ = "effects"
    __table_args__ = (
        UniqueConstraint("tenant_id", "effect_key"),
        CheckConstraint("(done_time IS NULL) = (response_json IS NULL)", name="done"),
        Index(None, "task_run_id"),
    )

    id: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.id"))
    effect_key: Mapped[str]
    task_run_id: Mapped[Id | None] = mapped_column(ForeignKey("task_runs.id"))
    call_id: Mapped[str] = mapped_column(server_default=_EMPTY)
    tool_name: Mapped[str]
    request_sha256: Mapped[str]
    requester: Mapped[str] = mapped_column(server_default=_EMPTY)
    url: Mapped[str] = mapped_column(server_default=_EMPTY)
    response_json: Mapped[str | None]
    created_time: Mapped[Time] = mapped_column(server_default=_NOW)
    done_time: Mapped[Time | None]


class AgentToken(Base):
    """What agents show to a vendor, sealed (`envelope`). `agent_slug` empty: for all without their own."""

    __tablename__ = "agent_tokens"
    __table_args__ = (
        UniqueConstraint("tenant_id", "integration", "agent_slug"),
        CheckConstraint("integration IN ('github', 'google', 'slack', 'plane', 'brave')", name="integration"),
        Index("agent_tokens_by_key_idx", "key_id", "id"),
    )

    id: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.id"))
    integration: Mapped[str]
    agent_slug: Mapped[str] = mapped_column(server_default=_EMPTY)
    uses: Mapped[Words]
    key_id: Mapped[str]
    wrapped_key: Mapped[Bytes]
    ciphertext: Mapped[Bytes]
    put_by: Mapped[str]
    put_time: Mapped[Time] = mapped_column(server_default=_NOW)


class AuditEvent(Base):
    """What was done with a token of the vault. Only added to."""

    __tablename__ = "audit_events"
    __table_args__ = (
        CheckConstraint("action IN ('put', 'opened', 'deleted', 'resealed')", name="action"),
        CheckConstraint("use IN ('', 'read', 'write')", name="use"),
        Index("audit_events_by_time_idx", "tenant_id", text("created_time DESC"), text("id DESC")),
        Index(None, "task_run_id"),
    )

    id: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.id"))
    action: Mapped[str]
    principal: Mapped[str]
    called_by: Mapped[str]
    task_run_id: Mapped[Id | None] = mapped_column(ForeignKey("task_runs.id"))
    integration: Mapped[str]
    agent_slug: Mapped[str]
    agent_token_id: Mapped[Id]
    use: Mapped[str] = mapped_column(server_default=_EMPTY)
    key_id: Mapped[str]
    created_time: Mapped[Time] = mapped_column(server_default=_NOW)
