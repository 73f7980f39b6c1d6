"""The tenant's agents and repositories."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert
from sqlalchemy.sql import func

from aucert.astra.v1.agent_pb2 import Agent as AgentMessage
from aucert.astra.v1.repository_pb2 import START_POLICY_STANDING_REQUIRED
from aucert.astra.v1.repository_pb2 import Repository as RepositoryMessage
from aucert.astra.v1.repository_service_pb2 import GetRepositoryRequest, RegisterRepositoryRequest
from services.astra import convert
from services.astra.errors import RepositoryNotFound, SourceContainerTaken
from services.astra.tables import Agent, AgentPersonality, Personality, Repository, SourceContainer
from services.common.database import Database, Transaction
from services.common.statements import none_of, one_of

AGENTS_MAX = 100


class RegistryStore:
    """Agents, and repositories with the source containers that belong to them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def agents(self, tenant_id: str) -> list[AgentMessage]:
        """The tenant's agents, ordered by slug, AGENTS_MAX at most."""
        async with self._database.tenant(tenant_id) as connection:
            return await read_agents(connection)

    async def register(self, tenant_id: str, request: RegisterRepositoryRequest) -> RepositoryMessage:
        """Register a repository, or change the one of this slug. Raises SourceContainerTaken."""
        values = {
            "clone_url": request.clone_url,
            "default_branch": request.default_branch,
            "spec_folders": list(request.spec_folders),
            "adr_folders": list(request.adr_folders),
            "start_policy": convert.START_POLICY.word(request.start_policy or START_POLICY_STANDING_REQUIRED),
        }
        async with self._database.tenant(tenant_id) as connection:
            registered = await connection.execute(
                insert(Repository)
                .values(id=str(uuid.uuid4()), tenant_id=tenant_id, slug=request.slug, **values)
                .on_conflict_do_update(index_elements=["tenant_id", "slug"], set_=values)
                .returning(Repository.id)
            )
            repository_id = registered.scalar_one()
            await _give_containers(
                connection, tenant_id, repository_id, sorted(set(request.source_containers))
            )
            found = await read_repository(connection, Repository.id == repository_id)
            assert found is not None
            return found

    async def repository(self, tenant_id: str, request: GetRepositoryRequest) -> RepositoryMessage:
        """One repository by id, slug or container. Raises RepositoryNotFound."""
        key = request.WhichOneof("key") or "slug"
        name = getattr(request, key)
        async with self._database.tenant(tenant_id) as connection:
            found = await read_repository(connection, _named(key, name))
        if found is None:
            raise RepositoryNotFound(name)
        return found

    async def repositories(self, tenant_id: str, *, after: str, limit: int) -> list[RepositoryMessage]:
        """Repositories after a slug, ordered by slug."""
        async with self._database.tenant(tenant_id) as connection:
            return await _read_repositories(connection, Repository.slug > after, limit=limit)


async def read_agents(connection: Transaction, *conditions: ColumnElement[bool]) -> list[AgentMessage]:
    """Agents with their fragments in order."""
    agents = await connection.execute(
        select(Agent.__table__).where(*conditions).order_by(Agent.slug).limit(AGENTS_MAX)
    )
    rows = agents.all()
    fragments = await connection.execute(
        select(AgentPersonality.agent_id, Personality.slug, Personality.text, Personality.operations)
        .join(Personality, Personality.id == AgentPersonality.personality_id)
        .where(one_of(AgentPersonality.agent_id, [row.id for row in rows]))
        .order_by(AgentPersonality.agent_id, AgentPersonality.position)
    )
    framing = fragments.all()
    return [convert.agent(row, [each for each in framing if each.agent_id == row.id]) for row in rows]


async def read_repository(
    connection: Transaction, condition: ColumnElement[bool]
) -> RepositoryMessage | None:
    """The repository that fits, or None."""
    found = await _read_repositories(connection, condition, limit=1)
    return found[0] if found else None


async def _read_repositories(
    connection: Transaction, condition: ColumnElement[bool], *, limit: int
) -> list[RepositoryMessage]:
    containers = (
        select(func.array_agg(aggregate_order_by(SourceContainer.container, SourceContainer.container)))
        .where(SourceContainer.repository_id == Repository.id)
        .scalar_subquery()
    )
    query = (
        select(Repository.__table__, containers.label("source_containers"))
        .where(condition)
        .order_by(Repository.slug)
        .limit(limit)
    )
    return [convert.repository(row) for row in await connection.execute(query)]


def _named(key: str, name: str) -> ColumnElement[bool]:
    if key == "repository_id":
        return Repository.id == name
    if key == "slug":
        return Repository.slug == name
    return Repository.id == (
        select(SourceContainer.repository_id).where(SourceContainer.container == name).scalar_subquery()
    )


async def _give_containers(
    connection: Transaction, tenant_id: str, repository_id: str, containers: Sequence[str]
) -> None:
    await connection.send(
        delete(SourceContainer).where(
            SourceContainer.repository_id == repository_id, none_of(SourceContainer.container, containers)
        )
    )
    for container in containers:  # in order, so that two registrations cannot wait for each other
        given = await connection.execute(
            insert(SourceContainer)
            .values(tenant_id=tenant_id, container=container, repository_id=repository_id)
            .on_conflict_do_update(
                index_elements=["tenant_id", "container"],
                set_={"repository_id": repository_id},
                where=SourceContainer.repository_id == repository_id,
            )
            .returning(SourceContainer.container)
        )
        if given.one_or_none() is None:
            raise SourceContainerTaken(container)
