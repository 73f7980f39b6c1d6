"""Agents and the fragments of their framing, as operators make them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from aucert.astra.v1.agent_pb2 import Agent as AgentMessage
from aucert.astra.v1.agent_pb2 import Handle
from aucert.astra.v1.agent_pb2 import Personality as PersonalityMessage
from aucert.astra.v1.agent_service_pb2 import PutAgentRequest, PutPersonalityRequest
from services.astra.first_agent import (
    FRAGMENTS,
    MISTAKES_MAX,
    RUN_TIMEOUT_SECONDS,
    TOKENS_MAX,
    TURNS_MAX,
)
from services.astra.registry_store import AGENTS_MAX, read_agents
from services.astra.tables import Agent, AgentPersonality, Personality
from services.common.database import Database, Transaction
from services.common.errors import FieldInvalid
from services.common.statements import one_of


class AgentStore:
    """Writes agents and fragments, one change of a tenant's agents at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, tenant_id: str, request: PutAgentRequest) -> AgentMessage:
        """Register an agent or change the one of this slug. Raises FieldInvalid."""
        async with self._database.tenant(tenant_id) as connection:
            await _lock(connection, tenant_id)
            agents = await read_agents(connection)
            known = next((each for each in agents if each.slug == request.slug), None)
            _check(request, [each for each in agents if each is not known], is_new=known is None)
            values = _values(request, known)
            put = await connection.execute(
                insert(Agent)
                .values(id=str(uuid.uuid4()), tenant_id=tenant_id, slug=request.slug, **values)
                .on_conflict_do_update(index_elements=["tenant_id", "slug"], set_=values)
                .returning(Agent.id)
            )
            if request.personality_slugs:
                await _frame(connection, tenant_id, put.scalar_one(), request.personality_slugs)
            [agent] = await read_agents(connection, Agent.slug == request.slug)
            return agent

    async def put_personality(self, tenant_id: str, request: PutPersonalityRequest) -> PersonalityMessage:
        """Write a fragment or replace the one of this slug. Raises FieldInvalid for one of a release."""
        if request.slug in FRAGMENTS:
            raise FieldInvalid([("slug", "belongs to the release; write a fragment of another name")])
        values = {"text": request.text, "operations": list(request.operations)}
        async with self._database.tenant(tenant_id) as connection:
            await connection.send(
                insert(Personality)
                .values(id=str(uuid.uuid4()), tenant_id=tenant_id, slug=request.slug, **values)
                .on_conflict_do_update(index_elements=["tenant_id", "slug"], set_=values)
            )
        return PersonalityMessage(slug=request.slug, text=request.text, operations=request.operations)


async def _lock(connection: Transaction, tenant_id: str) -> None:
    """No constraint can see that two agents share a handle, so changes wait for each other."""
    await connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"agents/{tenant_id}"))))


def _check(request: PutAgentRequest, others: Sequence[AgentMessage], *, is_new: bool) -> None:
    taken = {(each.source, each.name): agent.slug for agent in others for each in agent.handles}
    wrong = [
        ("handles", f"{each.source}: {each.name} is a handle of {taken[key]}")
        for each in request.handles
        if (key := (each.source, each.name.lower())) in taken
    ]
    if is_new and not request.personality_slugs:
        wrong.append(("personality_slugs", "a new agent needs fragments of framing"))
    if is_new and len(others) >= AGENTS_MAX:
        wrong.append(("slug", f"a tenant holds at most {AGENTS_MAX} agents"))
    if wrong:
        raise FieldInvalid(wrong)


def _values(request: PutAgentRequest, known: AgentMessage | None) -> dict[str, object]:
    """The columns of the agent as it shall be: what was asked for, else what is there, else the default."""
    asked, now = request.ceilings, known.ceilings if known else None
    chosen = request.tools or (known.tools if known else ())
    seconds = asked.run_timeout.ToTimedelta() or (now and now.run_timeout.ToTimedelta())
    return {
        "display_name": request.display_name or (known.display_name if known else request.slug),
        "handles": _by_source(request.handles or (known.handles if known else ())),
        "turns_max": asked.turns_max or (now.turns_max if now else TURNS_MAX),
        "tokens_max": asked.tokens_max or (now.tokens_max if now else TOKENS_MAX),
        "run_timeout_seconds": int(seconds.total_seconds()) if seconds else RUN_TIMEOUT_SECONDS,
        "tools": [f"{each.operation}:{each.name}" for each in chosen],
        "mistakes_max": asked.mistakes_max or (now.mistakes_max if now else MISTAKES_MAX),
    }


def _by_source(handles: Sequence[Handle]) -> dict[str, list[str]]:
    sources = dict.fromkeys(each.source for each in handles)
    return {
        source: [*dict.fromkeys(each.name.lower() for each in handles if each.source == source)]
        for source in sources
    }


async def _frame(connection: Transaction, tenant_id: str, agent_id: str, slugs: Sequence[str]) -> None:
    """Replace the agent's framing by these fragments, in order. Raises FieldInvalid for an unknown one."""
    found = await connection.execute(
        select(Personality.slug, Personality.id).where(one_of(Personality.slug, list(slugs)))
    )
    ids = {each.slug: each.id for each in found}
    if missing := [each for each in slugs if each not in ids]:
        raise FieldInvalid([("personality_slugs", f"nobody wrote {', '.join(missing)}")])
    await connection.send(delete(AgentPersonality).where(AgentPersonality.agent_id == agent_id))
    for position, slug in enumerate(slugs):
        await connection.send(
            insert(AgentPersonality).values(
                tenant_id=tenant_id, agent_id=agent_id, personality_id=ids[slug], position=position
            )
        )
