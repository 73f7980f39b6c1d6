"""The vault's record: who did what with which token, never what the token is. Only added to."""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import literal, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from aucert.astra.v1.token_vault_pb2 import AuditEvent as AuditEventMessage
from services.astra import convert
from services.astra.storable import storable
from services.astra.tables import AuditEvent
from services.common.database import Database, Transaction


@dataclass(frozen=True, slots=True)
class Actor:
    """On whose behalf something is done, and whose token the call carried."""

    principal: str
    called_by: str


@dataclass(frozen=True, slots=True)
class Audited:
    """What was done, with which token. `use` empty: it was not opened."""

    action: str
    integration: str
    agent_slug: str
    agent_token_id: str
    key_id: str
    use: str = ""
    task_run_id: str | None = None


async def write_down(connection: Transaction, tenant_id: str, actor: Actor, done: Audited) -> None:
    """Add a line, in the transaction that does it."""
    await connection.send(
        insert(AuditEvent).values(
            id=str(uuid.uuid4()),
            tenant_id=tenant_id,
            principal=storable(actor.principal),
            called_by=actor.called_by,
            **asdict(done),
        )
    )


class AuditStore:
    """Reads the record."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def events(
        self, tenant_id: str, *, integration: str, after: tuple[datetime, uuid.UUID] | None, limit: int
    ) -> list[AuditEventMessage]:
        """Lines older than `after`, newest first; `integration` empty: of all."""
        query = select(AuditEvent.__table__).order_by(AuditEvent.created_time.desc(), AuditEvent.id.desc())
        if integration:
            query = query.where(AuditEvent.integration == integration)
        if after is not None:
            at = tuple_(
                literal(after[0], AuditEvent.created_time.type), literal(after[1], AuditEvent.id.type)
            )
            query = query.where(tuple_(AuditEvent.created_time, AuditEvent.id) < at)
        async with self._database.tenant(tenant_id) as connection:
            rows = (await connection.execute(query.limit(limit))).all()
        return [convert.audit_event(row) for row in rows]
