"""The dispatcher's tables: the inbox, threads and their events."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from services.common.tables import Base, Big, Bytes, Id, Json, Time

_LIVE = text("status IN ('pending', 'leased')")
_NOW = text("now()")
_UNFINISHED = text("finished_time IS NULL")


class WebhookDelivery(Base):
    """A genuine delivery, kept as it came, and how far it got. No foreign key: see the migration."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        UniqueConstraint("tenant_id", "source", "external_id"),
        CheckConstraint("status IN ('pending', 'leased', 'done', 'ignored', 'dead')", name="status"),
        Index("webhook_deliveries_live_idx", "next_attempt_time", "position", postgresql_where=_LIVE),
        Index(
            "webhook_deliveries_live_by_order_idx",
            "tenant_id",
            "order_key",
            "position",
            postgresql_where=_LIVE,
        ),
        Index("webhook_deliveries_tenant_id_position_idx", "tenant_id", text("position DESC")),
    )

    id: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id]
    source: Mapped[str]
    external_id: Mapped[str]
    order_key: Mapped[str]
    position: Mapped[Big] = mapped_column(Identity(always=True))
    headers: Mapped[Json]
    body: Mapped[Bytes]
    status: Mapped[str] = mapped_column(server_default="pending")
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    next_attempt_time: Mapped[Time] = mapped_column(server_default=_NOW)
    leased_until: Mapped[Time | None]
    lease_owner: Mapped[Id | None]
    outcome_reason: Mapped[str] = mapped_column(server_default=text("''"))
    thread_event_id: Mapped[Id | None]
    received_time: Mapped[Time] = mapped_column(server_default=_NOW)
    finished_time: Mapped[Time | None]


class Thread(Base):
    """A conversation and the number its next event gets."""

    __tablename__ = "threads"
    __table_args__ = (UniqueConstraint("tenant_id", "source", "thread_key"),)

    id: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.id"))
    source: Mapped[str]
    thread_key: Mapped[str]
    workflow_id: Mapped[str] = mapped_column(unique=True)
    address: Mapped[Json]
    agent_slug: Mapped[str]
    next_seq: Mapped[Big] = mapped_column(server_default=text("1"))
    created_time: Mapped[Time] = mapped_column(server_default=_NOW)


class ThreadEvent(Base):
    """What somebody did, numbered in its thread. `dispatched_time`: its runs are on record."""

    __tablename__ = "thread_events"
    __table_args__ = (
        UniqueConstraint("tenant_id", "source", "event_key"),
        UniqueConstraint("thread_id", "seq"),
        CheckConstraint("kind IN ('message', 'stop')", name="kind"),
        Index("thread_events_unfinished_by_thread_idx", "thread_id", "seq", postgresql_where=_UNFINISHED),
        Index("thread_events_unfinished_by_time_idx", "created_time", postgresql_where=_UNFINISHED),
    )

    id: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id]
    thread_id: Mapped[Id] = mapped_column(ForeignKey("threads.id"))
    seq: Mapped[Big]
    source: Mapped[str]
    event_key: Mapped[str]
    kind: Mapped[str]
    agent_slug: Mapped[str]
    author: Mapped[Json]
    text: Mapped[str]
    description: Mapped[str]
    address: Mapped[Json]
    operation: Mapped[str]
    model_aliases: Mapped[Json]
    repository_id: Mapped[Id | None]
    source_url: Mapped[str]
    requester: Mapped[str]
    delivery_id: Mapped[Id]
    stop_task_run_id: Mapped[Id | None]
    dispatched_time: Mapped[Time | None]
    finished_time: Mapped[Time | None]
    created_time: Mapped[Time] = mapped_column(server_default=_NOW)
