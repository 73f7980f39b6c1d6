"""The tables of shared limits. They hold nothing of anybody's, so they have no tenant."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import CheckConstraint, ForeignKey, Index, Interval, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from services.common.tables import Base, Big, Id, Time

_NOW = text("now()")


class Quota(Base):
    """A limit. Its row lock orders everything that is leased of it. A window of zero: at the same time."""

    __tablename__ = "quotas"

    key: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    limit_units: Mapped[Big]
    window_length: Mapped[timedelta] = mapped_column(Interval)
    blocked_until_time: Mapped[Time | None]
    asked_time: Mapped[Time] = mapped_column(server_default=_NOW)


class QuotaLease(Base):
    """Units one process may use until then; they count as taken for a window longer."""

    __tablename__ = "quota_leases"
    __table_args__ = (
        CheckConstraint("units >= 0", name="units"),
        Index(None, "quota_key", "expires_time"),
    )

    id: Mapped[Id] = mapped_column(primary_key=True)
    quota_key: Mapped[str] = mapped_column(Text(collation="C"), ForeignKey("quotas.key", ondelete="CASCADE"))
    units: Mapped[Big]
    expires_time: Mapped[Time]
