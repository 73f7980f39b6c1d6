"""The dispatcher's tables: the inbox, threads and their events, cursors."""

from __future__ import annotations

from datetime import date

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from services.common.tables import Base, Big, Bytes, Id, Json, Time

_LIVE = text("status IN ('pending', 'leased')")
_OVER = text("status IN ('done', 'ignored')")
_NOW = text("now()")
_LIVE_WATCH = text("stopped_time IS NULL")
_UNFINISHED = text("finished_time IS NULL")
_UNDISPATCHED = text("dispatched_time IS NULL")


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
        Index("webhook_deliveries_over_idx", "finished_time", postgresql_where=_OVER),
        Index("webhook_deliveries_dead_idx", "finished_time", postgresql_where=text("status = 'dead'")),
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
    redelivered_by: Mapped[str] = mapped_column(server_default=text("''"))
    redelivered_time: Mapped[Time | None]


class DeliveryRefusals(Base):
    """How many deliveries were refused. No tenant: whose a refused delivery was is not known."""

    __tablename__ = "delivery_refusals"

    day: Mapped[date] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)
    reason: Mapped[str] = mapped_column(primary_key=True)
    refused_count: Mapped[Big]
    last_refused_time: Mapped[Time]


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
        CheckConstraint("kind IN ('message', 'stop', 'raise')", name="kind"),
        Index("thread_events_unfinished_by_thread_idx", "thread_id", "seq", postgresql_where=_UNFINISHED),
        Index("thread_events_unfinished_by_time_idx", "created_time", postgresql_where=_UNFINISHED),
        Index("thread_events_undispatched_by_delivery_idx", "delivery_id", postgresql_where=_UNDISPATCHED),
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
    raise_usd_micros: Mapped[Big | None]
    dispatched_time: Mapped[Time | None]
    finished_time: Mapped[Time | None]
    created_time: Mapped[Time] = mapped_column(server_default=_NOW)


class DriveWatch(Base):
    """A channel by which Google tells of changes in Drive. `stopped_time`: closed, or replaced by another."""

    __tablename__ = "drive_watches"
    __table_args__ = (
        Index(
            "drive_watches_live_by_target_idx",
            "tenant_id",
            "file_id",
            "drive_id",
            unique=True,
            postgresql_where=_LIVE_WATCH,
        ),
        Index("drive_watches_by_expiration_idx", "tenant_id", "expiration_time", "channel_id"),
        Index("drive_watches_due_idx", "expiration_time", postgresql_where=_LIVE_WATCH),
    )

    channel_id: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.id"))
    file_id: Mapped[str] = mapped_column(server_default=text("''"))
    drive_id: Mapped[str] = mapped_column(server_default=text("''"))
    watches_log: Mapped[bool]
    agent_id: Mapped[Id]
    resource_id: Mapped[str]
    address: Mapped[str]
    expiration_time: Mapped[Time]
    created_time: Mapped[Time] = mapped_column(server_default=_NOW)
    stopped_time: Mapped[Time | None]


class SourceCursor(Base):
    """How far a source container was read, and until when somebody is reading it.

    The last reading, or the one at hand, began at `begun_time`; all from before `seen_until` was seen.
    """

    __tablename__ = "source_cursors"

    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)
    container: Mapped[str] = mapped_column(primary_key=True)
    cursor: Mapped[str] = mapped_column(server_default=text("''"))
    claimed_until: Mapped[Time] = mapped_column(server_default=_NOW)
    updated_time: Mapped[Time] = mapped_column(server_default=_NOW)
    begun_time: Mapped[Time | None]
    seen_until: Mapped[Time | None]
