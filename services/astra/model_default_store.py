"""Which models answer for a tenant and its agents, where a comment names none."""

from __future__ import annotations

from sqlalchemy import Select, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from aucert.astra.v1.model_default_pb2 import ModelDefault as ModelDefaultMessage
from aucert.astra.v1.model_default_service_pb2 import SetModelDefaultRequest
from services.astra import convert
from services.astra.errors import AgentNotFound
from services.astra.tables import Agent, ModelDefault
from services.common.database import Database, Transaction
from services.common.errors import FieldInvalid

DEFAULTS_MAX = 1_000


class ModelDefaultStore:
    """The defaults of a tenant. `subject_id` of a row is the agent it is for, or the tenant itself."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def set(
        self, tenant_id: str, request: SetModelDefaultRequest, set_by: str
    ) -> ModelDefaultMessage | None:
        """Set a default, or take it back where the request names no model: None then.

        Raises AgentNotFound, and FieldInvalid for more than DEFAULTS_MAX of them.
        """
        async with self._database.tenant(tenant_id) as connection:
            subject_id = await _subject(connection, tenant_id, request.agent_slug)
            this = (ModelDefault.subject_id == subject_id, ModelDefault.operation == request.operation)
            if not request.model_alias:
                await connection.send(delete(ModelDefault).where(*this))
                return None
            known = {"model_alias": request.model_alias, "set_by": set_by, "set_time": func.now()}
            await connection.send(
                insert(ModelDefault)
                .values(tenant_id=tenant_id, subject_id=subject_id, operation=request.operation, **known)
                .on_conflict_do_update(index_elements=["tenant_id", "subject_id", "operation"], set_=known)
            )
            count = (await connection.execute(select(func.count()).select_from(ModelDefault))).scalar_one()
            if count > DEFAULTS_MAX:
                raise FieldInvalid([("operation", f"would be one of more than {DEFAULTS_MAX} defaults")])
            return convert.model_default((await connection.execute(_defaults().where(*this))).one())

    async def all(self, tenant_id: str) -> list[ModelDefaultMessage]:
        """All that is set: the tenant's own first, then by agent and operation."""
        query = _defaults().order_by(func.coalesce(Agent.slug, ""), ModelDefault.operation)
        async with self._database.tenant(tenant_id) as connection:
            return [convert.model_default(row) for row in await connection.execute(query)]


def _defaults() -> Select[*tuple[object, ...]]:
    return select(ModelDefault.__table__, Agent.slug.label("agent_slug")).outerjoin(
        Agent, Agent.id == ModelDefault.subject_id
    )


async def _subject(connection: Transaction, tenant_id: str, agent_slug: str) -> str:
    if not agent_slug:
        return tenant_id
    found = await connection.execute(select(Agent.id).where(Agent.slug == agent_slug))
    agent_id = found.scalar_one_or_none()
    if agent_id is None:
        raise AgentNotFound(agent_slug)
    return agent_id
