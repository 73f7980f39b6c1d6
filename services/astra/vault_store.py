"""The vault's tokens: put in, listed without their values, taken out, and opened on record.

A row's value is bound to whose it is and what it is for (`bound_names`): moved elsewhere in the database, or
widened there, it no longer opens. What vendors make of a credential is left to the tools service.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import delete, func, literal, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from aucert.astra.v1.token_vault_pb2 import Credential, TokenUse, VaultToken
from services.astra import convert
from services.astra.audit_store import Actor, Audited, write_down
from services.astra.envelope import CannotUnseal, KeyRing, Sealed
from services.astra.errors import (
    AgentNotFound,
    TaskRunNotFound,
    VaultOff,
    VaultTokenNotFound,
    VaultTokenUnreadable,
    VaultTokenUseMissing,
)
from services.astra.principals import agent_principal
from services.astra.tables import Agent, AgentToken, TaskRun, Tenant
from services.common.database import Database, Transaction
from services.common.statements import one_of

EVERY_AGENT = ""


@dataclass(frozen=True, slots=True)
class Opened:
    """What was found for a call. `credential` None: the tenant has no such token."""

    tenant_slug: str
    vault_token_id: str = ""
    credential: Credential | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a token is wanted for. `task_run_id` None: for no run, on behalf of `principal`."""

    integration: str
    use: str
    task_run_id: str | None
    principal: str


class VaultStore:
    """Tokens of tenants. `keys` None: the vault is off, and only what needs no value works."""

    def __init__(self, database: Database, keys: KeyRing | None) -> None:
        self._database = database
        self._keys = keys

    async def put(
        self, tenant_id: str, caller: str, credential: Credential, *, agent_slug: str, uses: Sequence[str]
    ) -> VaultToken:
        """Put a token in, or in the place of another. Raises VaultOff and AgentNotFound."""
        if self._keys is None:
            raise VaultOff
        row = _Row(
            id=str(uuid.uuid4()),
            tenant_id=tenant_id,
            integration=credential.WhichOneof("credential") or "",
            agent_slug=agent_slug,
            uses=sorted(set(uses)),
        )
        sealed = self._keys.seal(credential.SerializeToString(), bound_names(row))
        values = {
            "id": row.id,
            "uses": row.uses,
            "key_id": sealed.key_id,
            "wrapped_key": sealed.wrapped_key,
            "ciphertext": sealed.ciphertext,
            "put_by": caller,
            "put_time": func.now(),
        }
        place = {"tenant_id": tenant_id, "integration": row.integration, "agent_slug": agent_slug}
        async with self._database.tenant(tenant_id) as connection:
            await _check_agent(connection, agent_slug)
            put = await connection.execute(
                insert(AgentToken)
                .values(**place, **values)
                .on_conflict_do_update(index_elements=[*place], set_=values)
                .returning(*_KNOWN)
            )
            token = put.one()
            await write_down(connection, tenant_id, Actor(caller, caller), _audited("put", token))
        return convert.vault_token(token)

    async def tokens(self, tenant_id: str, *, after: tuple[str, str] | None, limit: int) -> list[VaultToken]:
        """Tokens after an integration and agent, in that order, without their values."""
        query = select(*_KNOWN).order_by(AgentToken.integration, AgentToken.agent_slug).limit(limit)
        if after is not None:
            at = tuple_(*(literal(each) for each in after))
            query = query.where(tuple_(AgentToken.integration, AgentToken.agent_slug) > at)
        async with self._database.tenant(tenant_id) as connection:
            return [convert.vault_token(row) for row in await connection.execute(query)]

    async def delete(self, tenant_id: str, caller: str, integration: str, agent_slug: str) -> None:
        """Take a token out for good. Raises VaultTokenNotFound."""
        statement = (
            delete(AgentToken)
            .where(AgentToken.integration == integration, AgentToken.agent_slug == agent_slug)
            .returning(*_KNOWN)
        )
        async with self._database.tenant(tenant_id) as connection:
            token = (await connection.execute(statement)).one_or_none()
            if token is None:
                raise VaultTokenNotFound(integration, agent_slug)
            await write_down(connection, tenant_id, Actor(caller, caller), _audited("deleted", token))

    async def open(self, tenant_id: str, caller: str, wanted: Wanted) -> Opened:
        """The value of the agent's own token, else of the one for all agents, and a line that it was opened.

        Raises TaskRunNotFound, VaultTokenUseMissing, VaultOff and VaultTokenUnreadable: none of these makes
        another token do.
        """
        async with self._database.tenant(tenant_id) as connection:
            tenant = await connection.ask(select(Tenant.slug).where(Tenant.id == tenant_id))
            agent_slug = await _agent_of(connection, wanted.task_run_id)
            found = await connection.execute(
                select(AgentToken.__table__)
                .where(
                    AgentToken.integration == wanted.integration,
                    one_of(AgentToken.agent_slug, [agent_slug, EVERY_AGENT]),
                )
                .order_by(AgentToken.agent_slug.desc())  # the agent's own one first
                .limit(1)
            )
            tenant_slug = (await tenant.result()).scalar_one_or_none() or ""
            row = found.one_or_none()
            if row is None:
                return Opened(tenant_slug)
            if wanted.use not in row.uses:
                raise VaultTokenUseMissing(wanted.integration, wanted.use)
            credential = Credential.FromString(unseal(self._keys, row))
            principal = agent_principal(agent_slug) if wanted.task_run_id else wanted.principal or caller
            await write_down(
                connection,
                tenant_id,
                Actor(principal, caller),
                _audited("opened", row, use=wanted.use, task_run_id=wanted.task_run_id),
            )
        return Opened(tenant_slug, row.id, credential)


@dataclass(frozen=True, slots=True)
class _Row:
    """Of a token's row, what its value is bound to."""

    id: str
    tenant_id: str
    integration: str
    agent_slug: str
    uses: list[str]


def bound_names(row: Any) -> list[str]:
    """What a token's value is bound to, from its row: whose it is, and what it may be used for."""
    return ["agent_tokens", row.tenant_id, row.integration, row.agent_slug, row.id, *sorted(row.uses)]


def unseal(keys: KeyRing | None, row: Any) -> bytes:
    """The value in a token's row. Raises VaultOff and VaultTokenUnreadable."""
    if keys is None:
        raise VaultOff
    try:
        return keys.open(Sealed(row.key_id, row.wrapped_key, row.ciphertext), bound_names(row))
    except CannotUnseal as error:
        raise VaultTokenUnreadable(error.key_id, key_known=error.key_known) from None


def all_uses() -> list[str]:
    """Everything a token can be used for."""
    return [convert.TOKEN_USE.word(number) for number in TokenUse.values() if number]


async def _check_agent(connection: Transaction, slug: str) -> None:
    if slug == EVERY_AGENT:
        return
    query = select(Agent.id).where(Agent.slug == slug)
    if (await connection.execute(query)).one_or_none() is None:
        raise AgentNotFound(slug)


async def _agent_of(connection: Transaction, task_run_id: str | None) -> str:
    """The agent that works on a run, by the record."""
    if task_run_id is None:
        return EVERY_AGENT
    query = select(Agent.slug).join(TaskRun, TaskRun.agent_id == Agent.id).where(TaskRun.id == task_run_id)
    slug = (await connection.execute(query)).scalar_one_or_none()
    if slug is None:
        raise TaskRunNotFound(task_run_id)
    return slug


def _audited(action: str, row: Any, *, use: str = "", task_run_id: str | None = None) -> Audited:
    return Audited(
        action=action,
        integration=row.integration,
        agent_slug=row.agent_slug,
        agent_token_id=row.id,
        key_id=row.key_id,
        use=use,
        task_run_id=task_run_id,
    )


_KNOWN = (
    AgentToken.id,
    AgentToken.integration,
    AgentToken.agent_slug,
    AgentToken.uses,
    AgentToken.key_id,
    AgentToken.put_by,
    AgentToken.put_time,
)
