"""What a fresh installation begins with: tenant `default`, agent `atlas`, caps and the principals.

Safe to repeat: tokens and the shipped fragments are brought up to date, an agent that is already there
keeps what operators made of it.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert

from services.astra.first_agent import (
    ATLAS_HANDLES,
    FRAGMENTS,
    MISTAKES_MAX,
    RUN_TIMEOUT_SECONDS,
    TOKENS_MAX,
    TURNS_MAX,
)
from services.astra.migrate import owner_transaction
from services.astra.principals import PRINCIPALS, agent_principal, scope_words
from services.astra.tables import Agent, AgentPersonality, Budget, Personality, Principal, Tenant
from services.common.identity import token_digest

DEFAULT_TENANT = "default"
DEFAULT_TENANT_ID = str(uuid.uuid5(uuid.NAMESPACE_URL, "astra:tenant:default"))
"""Known beforehand, because row-level security binds the owner too."""
CAPS_USD_MICROS = {"run": 10_000_000, "agent_day": 100_000_000, "tenant_month": 1_000_000_000}
"""What may be spent until somebody says otherwise: 10 dollars a run, 100 an agent and day, 1000 a month."""
_FOLDER = Path(__file__).with_name("personalities")


def seed(owner_url: str, tokens: Mapping[str, str], *, operators: Sequence[str] = ()) -> None:
    """Seed the database; `tokens`: bearer tokens by names of `PRINCIPALS`, others raise ValueError.

    `operators`: how sources name the people who may act as `operator`, and nobody else from now on.
    """
    unknown = tokens.keys() - PRINCIPALS.keys()
    if unknown:
        raise ValueError(f"No principal is called {', '.join(sorted(unknown))}.")
    with owner_transaction(owner_url) as connection:
        connection.execute(select(func.set_config("app.tenant_id", DEFAULT_TENANT_ID, True)))
        connection.execute(
            insert(Tenant)
            .values(id=DEFAULT_TENANT_ID, slug=DEFAULT_TENANT, display_name="Default")
            .on_conflict_do_nothing()
        )
        _seed_atlas(connection)
        _seed_agent_principals(connection)
        _seed_caps(connection)
        for name, token in tokens.items():
            _seed_principal(connection, name, token)
        connection.execute(
            update(Principal).where(Principal.name == "operator").values(identities=list(operators))
        )


def _seed_atlas(connection: Connection) -> None:
    created = connection.execute(
        insert(Agent)
        .values(
            id=str(uuid.uuid4()),
            tenant_id=DEFAULT_TENANT_ID,
            slug="atlas",
            display_name="Atlas",
            handles=ATLAS_HANDLES,
            turns_max=TURNS_MAX,
            tokens_max=TOKENS_MAX,
            run_timeout_seconds=RUN_TIMEOUT_SECONDS,
            mistakes_max=MISTAKES_MAX,
        )
        .on_conflict_do_nothing()
        .returning(Agent.id)
    ).scalar_one_or_none()
    mine = Personality.tenant_id == DEFAULT_TENANT_ID
    known = set(connection.execute(select(Personality.slug).where(mine)).scalars())
    fragments = {slug: _seed_fragment(connection, slug, each) for slug, each in FRAGMENTS.items()}
    if created is not None:
        _give_fragments(connection, created, [*fragments.values()], after=-1)
        return
    # What a release adds joins the framing of an agent from before it; what was taken out stays out.
    added = [each for slug, each in fragments.items() if slug not in known]
    is_atlas = Agent.tenant_id == DEFAULT_TENANT_ID, Agent.slug == "atlas"
    atlas = connection.execute(select(Agent.id).where(*is_atlas)).scalar_one()
    last = select(func.max(AgentPersonality.position)).where(AgentPersonality.agent_id == atlas)
    _give_fragments(connection, str(atlas), added, after=connection.execute(last).scalar_one() or 0)


def _give_fragments(connection: Connection, agent_id: str, fragments: Sequence[str], *, after: int) -> None:
    for position, personality_id in enumerate(fragments, start=after + 1):
        connection.execute(
            insert(AgentPersonality).values(
                tenant_id=DEFAULT_TENANT_ID,
                agent_id=agent_id,
                personality_id=personality_id,
                position=position,
            )
        )


def _seed_agent_principals(connection: Connection) -> None:
    """One for each agent, without a token or a scope: the record names it where services act for it."""
    agents = connection.execute(select(Agent.slug).where(Agent.tenant_id == DEFAULT_TENANT_ID)).scalars()
    for slug in agents.all():
        connection.execute(
            insert(Principal)
            .values(id=str(uuid.uuid4()), tenant_id=DEFAULT_TENANT_ID, name=agent_principal(slug), scopes=[])
            .on_conflict_do_nothing()
        )


def _seed_caps(connection: Connection) -> None:
    """Caps for every run and agent of the tenant; one that is there stays, whatever it says."""
    for cap, limit in CAPS_USD_MICROS.items():
        connection.execute(
            insert(Budget)
            .values(
                tenant_id=DEFAULT_TENANT_ID, cap=cap, subject_id=DEFAULT_TENANT_ID, limit_usd_micros=limit
            )
            .on_conflict_do_nothing()
        )


def _seed_fragment(connection: Connection, slug: str, operations: Sequence[str]) -> str:
    text = (_FOLDER / f"{slug}.md").read_text(encoding="utf-8").strip()
    shipped = {"text": text, "operations": list(operations)}
    return connection.execute(
        insert(Personality)
        .values(id=str(uuid.uuid4()), tenant_id=DEFAULT_TENANT_ID, slug=slug, **shipped)
        .on_conflict_do_update(index_elements=["tenant_id", "slug"], set_=shipped)
        .returning(Personality.id)
    ).scalar_one()


def _seed_principal(connection: Connection, name: str, token: str) -> None:
    known = {"scopes": scope_words(PRINCIPALS[name]), "token_sha256": token_digest(token)}
    connection.execute(
        insert(Principal)
        .values(id=str(uuid.uuid4()), tenant_id=DEFAULT_TENANT_ID, name=name, **known)
        .on_conflict_do_update(index_elements=["tenant_id", "name"], set_=known)
    )
