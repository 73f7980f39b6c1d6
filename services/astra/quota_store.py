"""Shared limits: what is leased of them, and until when their vendors want to be left alone.

A lease counts as taken from when it is granted until a window after its end. Whoever is granted a lease was
therefore shown every use that can fall into one window with its own, wherever that window begins: no window
holds more than the limit. Each grant is one transaction that holds the quota's row; the statements after the
one that takes the lock see what was granted before it.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text

from services.common.database import Database

LEASE_LIFE = timedelta(seconds=5)
"""The longest a lease of a windowed limit lasts, and so the longest until everybody knows of a block."""
LEASES_A_WINDOW = 4
"""A lease lasts at most this part of its window."""
SLOT_LIFE = timedelta(seconds=30)
"""How long what is used at the same time is held without being renewed: after that its holder has died."""
SLOT_RETRY = timedelta(seconds=1)
"""When to ask again for what is used at the same time: nobody knows when a user ends."""
LEASE_PART = 8
"""A lease is at most this part of the limit, unless one use needs more: others want some too."""
FORGOTTEN_AFTER = timedelta(days=30)
FORGOTTEN_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of a limit; `limit_units` 0: there is none. A `window` of zero: at the same time."""

    key: str
    limit_units: int
    window: timedelta
    needed_units: int
    wanted_units: int

    @property
    def needed(self) -> int:
        """Fewest units of use: what exceeds the whole limit has to do with all of it."""
        return min(self.needed_units, self.limit_units)

    @property
    def wanted(self) -> int:
        """Units to lease if there are so many."""
        return max(self.needed, min(self.wanted_units, self.limit_units // LEASE_PART))

    @property
    def life(self) -> timedelta:
        """How long a lease of it lasts."""
        return min(LEASE_LIFE, self.window / LEASES_A_WINDOW) if self.window else SLOT_LIFE


@dataclass(frozen=True, slots=True)
class Granted:
    """A lease; `lease_id` empty: of a quota without limit."""

    lease_id: str
    units: int
    life: timedelta


@dataclass(frozen=True, slots=True)
class Denied:
    """No lease; `blocked`: the vendor asked for this patience."""

    retry_after: timedelta
    blocked: bool


@dataclass(frozen=True, slots=True)
class QuotaState:
    """A limit and how much of it is taken."""

    key: str
    limit_units: int
    window: timedelta
    taken_units: int
    blocked_until: datetime | None
    asked: datetime


class QuotaStore:
    """The tables `quotas` and `quota_leases`, of all tenants together."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def lease(self, wish: Wish) -> Granted | Denied:
        """Lease a part of what is left, or say when to ask again."""
        lease_id = str(uuid.uuid4())
        values = {
            "key": wish.key,
            "limit_units": wish.limit_units,
            "window": wish.window,
            "needed": wish.needed,
        }
        async with self._database.transaction() as connection:
            locking = await connection.ask(_LOCK, {name: values[name] for name in _LOCK_NAMES})
            await connection.send(_END, {"key": wish.key, "window": wish.window})
            granting = await connection.ask(
                _GRANT, values | {"id": lease_id, "wanted": wish.wanted, "life": wish.life}
            )
            quota = (await locking.result()).one()
            if quota.created:
                await connection.send(_FORGET, {"after": FORGOTTEN_AFTER, "most": FORGOTTEN_AT_ONCE})
            if quota.blocked_for > timedelta():
                return Denied(quota.blocked_for, blocked=True)
            if not wish.limit_units:
                return Granted("", wish.wanted_units, wish.life)
            units = (await granting.result()).scalar_one_or_none()
            if units is not None:
                return Granted(lease_id, units, wish.life)
            if not wish.window:
                return Denied(SLOT_RETRY, blocked=False)
            freed = await connection.execute(_FREED, values)
            return Denied(freed.scalar_one_or_none() or wish.life, blocked=False)

    async def renew(self, lease_ids: Sequence[str]) -> list[str]:
        """Hold leases without a window anew; return those that still held."""
        async with self._database.transaction() as connection:
            renewed = await connection.execute(_RENEW, {"ids": list(lease_ids), "life": SLOT_LIFE})
            return [str(each) for each in renewed.scalars()]

    async def give_back(self, lease_id: str, unused_units: int) -> None:
        """End a lease and take off it what was not used."""
        async with self._database.transaction() as connection:
            await connection.send(_RETURN, {"id": lease_id, "unused": unused_units})

    async def block(self, key: str, duration: timedelta) -> None:
        """Lease nothing of a key for so long, or for as long as it is blocked already."""
        async with self._database.transaction() as connection:
            await connection.send(_BLOCK, {"key": key, "duration": duration})

    async def all(self, *, after: str, limit: int) -> list[QuotaState]:
        """The limits whose keys follow `after`, by key."""
        async with self._database.transaction() as connection:
            rows = await connection.execute(_LIST, {"after": after, "limit": limit})
            return [QuotaState(*row) for row in rows]


_LOCK_NAMES = ("key", "limit_units", "window")
_LOCK = text("""
    INSERT INTO quotas (key, limit_units, window_length)
    VALUES (:key, :limit_units, CAST(:window AS interval))
    ON CONFLICT (key) DO UPDATE
    SET limit_units = EXCLUDED.limit_units, window_length = EXCLUDED.window_length, asked_time = now()
    RETURNING xmax = 0 AS created, coalesce(blocked_until_time - now(), '0') AS blocked_for
""")
_END = text("""
    DELETE FROM quota_leases WHERE quota_key = :key AND expires_time <= now() - CAST(:window AS interval)
""")
_GRANT = text("""
    INSERT INTO quota_leases (id, quota_key, units, expires_time)
    SELECT
        CAST(:id AS uuid), quotas.key, least(CAST(:wanted AS bigint), :limit_units - taken.units),
        now() + CAST(:life AS interval)
    FROM quotas, (
        SELECT CAST(coalesce(sum(units), 0) AS bigint) AS units FROM quota_leases
        WHERE quota_key = :key AND expires_time > now() - CAST(:window AS interval)
    ) AS taken
    WHERE quotas.key = :key AND coalesce(blocked_until_time, now()) <= now()
        AND :limit_units > 0 AND taken.units + :needed <= :limit_units
    RETURNING units
""")
_FREED = text("""
    SELECT min(expires_time) + CAST(:window AS interval) - now() FROM (
        SELECT
            expires_time, sum(units) OVER (ORDER BY expires_time, id) AS freed, sum(units) OVER () AS taken
        FROM quota_leases
        WHERE quota_key = :key AND expires_time > now() - CAST(:window AS interval)
    ) AS each
    WHERE freed >= taken + :needed - :limit_units
""")
_RENEW = text("""
    UPDATE quota_leases SET expires_time = now() + CAST(:life AS interval)
    FROM quotas
    WHERE quota_leases.id = ANY(CAST(:ids AS uuid[])) AND quotas.key = quota_key
        AND window_length = '0' AND expires_time > now()
    RETURNING quota_leases.id
""")
_RETURN = text("""
    UPDATE quota_leases
    SET units = greatest(units - :unused, 0), expires_time = least(expires_time, now())
    WHERE id = CAST(:id AS uuid)
""")
_BLOCK = text("""
    INSERT INTO quotas (key, limit_units, window_length, blocked_until_time)
    VALUES (:key, 0, '0', now() + CAST(:duration AS interval))
    ON CONFLICT (key) DO UPDATE
    SET blocked_until_time = greatest(quotas.blocked_until_time, EXCLUDED.blocked_until_time)
""")
_FORGET = text("""
    DELETE FROM quotas WHERE key IN (
        SELECT key FROM quotas WHERE asked_time < now() - CAST(:after AS interval)
        LIMIT :most FOR UPDATE SKIP LOCKED -- one that is locked is in use
    )
""")
_LIST = text("""
    SELECT key, limit_units, window_length, CAST(coalesce(taken, 0) AS bigint) AS taken_units,
        CASE WHEN blocked_until_time > now() THEN blocked_until_time END AS blocked_until_time, asked_time
    FROM quotas LEFT JOIN LATERAL (
        SELECT sum(units) AS taken FROM quota_leases
        WHERE quota_key = key AND expires_time > now() - window_length
    ) AS leased ON true
    WHERE key > :after ORDER BY key LIMIT :limit
""")
