"""Rotation of the vault's keys: every token is sealed anew, value and data key, with the current one.

Re-wrapping the data key alone would leave the value under one that whoever held the old key may know. A batch
finds its rows by their key's id, and each is done in a transaction of its own: whatever stops it, the next
batch goes on with what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Row, func, literal, select, tuple_, update

from services.astra.audit_store import Actor, Audited, write_down
from services.astra.envelope import KeyRing
from services.astra.errors import VaultOff, VaultTokenUnreadable
from services.astra.tables import AgentToken
from services.astra.vault_store import bound_names, unseal
from services.common.database import Database
from services.common.statements import none_of, one_of

UNREADABLE_KEYS_MAX = 20
BATCHES_MAX = 100
_NO_ID = "00000000-0000-0000-0000-000000000000"
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Rotated:
    """How far a batch came; counts of tokens."""

    key_id: str
    resealed: int
    remaining: int
    unreadable: int
    unreadable_key_ids: Sequence[str]


class VaultRotation:
    """Finds tokens of all tenants as the relay role, which sees no value; seals each within its tenant."""

    def __init__(self, relay: Database, database: Database, keys: KeyRing | None) -> None:
        self._relay = relay
        self._database = database
        self._keys = keys

    async def rotate(self, caller: str, *, batch_size: int) -> Rotated:
        """Seal a batch anew. Raises VaultOff."""
        keys = self._keys
        if keys is None:
            raise VaultOff
        older = list(keys.ids)[1:]
        damaged: list[str] = []
        resealed, after = 0, ("", _NO_ID)
        for _ in range(BATCHES_MAX):  # past batches of which none can be opened, or they would hide the rest
            rows = await self._due(older, after, batch_size)
            for row in rows:
                try:
                    resealed += await self._reseal(keys, caller, row.tenant_id, row.id)
                except VaultTokenUnreadable as error:
                    log.warning("token_unreadable", agent_token_id=row.id, key_id=error.metadata["key_id"])
                    damaged.append(error.metadata["key_id"])
            if resealed or len(rows) < batch_size:
                break
            after = (rows[-1].key_id, rows[-1].id)
        remaining, strange = await self._left(keys, older)
        return Rotated(
            key_id=keys.current,
            resealed=resealed,
            remaining=remaining - len(damaged),
            unreadable=sum(strange.values()) + len(damaged),
            unreadable_key_ids=sorted({*strange, *damaged})[:UNREADABLE_KEYS_MAX],
        )

    async def _due(self, older: list[str], after: tuple[str, str], limit: int) -> Sequence[Row[Any]]:
        """Tokens that older keys seal, in the order of `after`."""
        place = tuple_(literal(after[0]), literal(after[1], AgentToken.id.type))
        query = (
            select(AgentToken.id, AgentToken.tenant_id, AgentToken.key_id)
            .where(one_of(AgentToken.key_id, older), tuple_(AgentToken.key_id, AgentToken.id) > place)
            .order_by(AgentToken.key_id, AgentToken.id)
            .limit(limit)
        )
        async with self._relay.transaction() as connection:
            return (await connection.execute(query)).all()

    async def _left(self, keys: KeyRing, older: list[str]) -> tuple[int, dict[str, int]]:
        """How many tokens older keys seal, and how many each of the keys that are not at hand."""
        counted = select(func.count()).select_from(AgentToken).where(one_of(AgentToken.key_id, older))
        strange = (
            select(AgentToken.key_id, func.count())
            .where(none_of(AgentToken.key_id, keys.ids))
            .group_by(AgentToken.key_id)
            .order_by(AgentToken.key_id)
        )
        async with self._relay.transaction() as connection:
            asked = await connection.ask(counted)
            of_keys = (await connection.execute(strange)).all()
            return (await asked.result()).scalar_one(), dict(of_keys)

    async def _reseal(self, keys: KeyRing, caller: str, tenant_id: str, token_id: str) -> bool:
        """Seal one token anew; False: it is gone, or somebody else did it."""
        query = (
            select(AgentToken.__table__)
            .where(AgentToken.id == token_id, AgentToken.key_id != keys.current)
            .with_for_update()
        )
        async with self._database.tenant(tenant_id) as connection:
            row = (await connection.execute(query)).one_or_none()
            if row is None:
                return False
            sealed = keys.seal(unseal(keys, row), bound_names(row))
            await connection.send(
                update(AgentToken)
                .where(AgentToken.id == token_id)
                .values(key_id=sealed.key_id, wrapped_key=sealed.wrapped_key, ciphertext=sealed.ciphertext)
            )
            done = Audited("resealed", row.integration, row.agent_slug, row.id, sealed.key_id)
            await write_down(connection, tenant_id, Actor(caller, caller), done)
        return True
