"""What a tenant used, summed up from a row a day, agent and model."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

from sqlalchemy import ColumnElement, cast, func, literal, select
from sqlalchemy.types import BigInteger, Text

from aucert.astra.v1.budget_pb2 import UsageRow
from services.astra import convert
from services.astra.tables import Agent, SpendDay
from services.common.database import Database

_SUMS = [
    "call_count",
    "abandoned_call_count",
    "tokens_input",
    "tokens_output",
    "tokens_cache_read",
    "tokens_cache_write",
]
_DIMENSIONS: dict[str, ColumnElement[str]] = {
    "day": cast(SpendDay.day, Text),
    "agent": Agent.slug.expression,
    "model": SpendDay.model_alias.expression,
}
"""In the order of a report."""


class UsageStore:
    """Usage of a tenant."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def report(
        self, tenant_id: str, first: date, last: date, by: Collection[str], *, limit: int
    ) -> list[UsageRow]:
        """What was used from the first to the last day: a row for each combination of "day", "agent" and
        "model", as far as they are in `by`, in their order, `limit` at most. Without any: one row at most.
        """
        kept = {name: column for name, column in _DIMENSIONS.items() if name in by}
        told = [kept.get(name, literal("")).label(name) for name in _DIMENSIONS]
        sums = [cast(func.sum(SpendDay.__table__.c[name]), BigInteger).label(name) for name in _SUMS]
        cost = cast(func.sum(SpendDay.spent_usd_micros), BigInteger).label("cost_usd_micros")
        query = (
            select(*told, *sums, cost)
            .join(Agent, Agent.id == SpendDay.agent_id)
            .where(SpendDay.tenant_id == tenant_id, SpendDay.day >= first, SpendDay.day <= last)
            .group_by(*kept.values())
            .having(func.count() > 0)
            .order_by(*kept.values())
            .limit(limit)
        )
        async with self._database.tenant(tenant_id) as connection:
            return [convert.usage_row(row) for row in await connection.execute(query)]
