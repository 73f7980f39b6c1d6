"""Principals of the default tenant besides an installation's own: made and revoked as the database's owner.

Who may call is not a service's to change, so no RPC does this. Services remember a token for half a minute.
"""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert

from services.astra.migrate import owner_transaction
from services.astra.principals import PRINCIPALS, scopes_of
from services.astra.seed import DEFAULT_TENANT_ID
from services.astra.tables import Principal
from services.common.errors import Exists, FieldInvalid, NotFound
from services.common.identity import token_digest

PRINCIPALS_MAX = 1_000
TOKEN_BYTES = 32
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_MINE = Principal.tenant_id == DEFAULT_TENANT_ID


@dataclass(frozen=True, slots=True)
class KnownPrincipal:
    """A principal as people see it: never its token. One without calls nobody."""

    name: str
    scopes: tuple[str, ...]
    has_token: bool
    created_time: datetime


def list_principals(owner_url: str) -> list[KnownPrincipal]:
    """All of them by name, PRINCIPALS_MAX at most."""
    query = select(Principal.name, Principal.scopes, Principal.token_sha256, Principal.created_time)
    with owner_transaction(owner_url) as connection:
        _as_tenant(connection)
        rows = connection.execute(query.where(_MINE).order_by(Principal.name).limit(PRINCIPALS_MAX)).all()
    return [
        KnownPrincipal(each.name, tuple(each.scopes), each.token_sha256 is not None, each.created_time)
        for each in rows
    ]


def add_principal(owner_url: str, name: str, scopes: Sequence[str]) -> str:
    """Make a principal, or give one that was revoked a new token; returns the token, which is kept nowhere.

    Raises Exists for one that has a token, FieldInvalid for an odd name or a scope nobody knows.
    """
    _check(name, scopes)
    token = f"astra_{name}_{secrets.token_urlsafe(TOKEN_BYTES)}"
    known = {"scopes": sorted(set(scopes)), "token_sha256": token_digest(token)}
    with owner_transaction(owner_url) as connection:
        _as_tenant(connection)
        made = connection.execute(
            insert(Principal)
            .values(id=str(uuid.uuid4()), tenant_id=DEFAULT_TENANT_ID, name=name, **known)
            .on_conflict_do_update(
                index_elements=["tenant_id", "name"], set_=known, where=Principal.token_sha256.is_(None)
            )
            .returning(Principal.id)
        )
        if made.one_or_none() is None:
            raise Exists(f"There is a principal {name} with a token. Revoke it first.")
    return token


def revoke_principal(owner_url: str, name: str) -> None:
    """Take a principal's token; it stays on record. Raises NotFound where there is none."""
    with owner_transaction(owner_url) as connection:
        _as_tenant(connection)
        revoked = connection.execute(
            update(Principal)
            .where(_MINE, Principal.name == name, Principal.token_sha256.is_not(None))
            .values(token_sha256=None)
            .returning(Principal.id)
        )
        if revoked.one_or_none() is None:
            raise NotFound(f"No principal {name} has a token. `astra principals list` shows those that do.")


def _as_tenant(connection: Connection) -> None:
    """Row-level security binds the owner too."""
    connection.execute(select(func.set_config("app.tenant_id", DEFAULT_TENANT_ID, True)))


def _check(name: str, scopes: Sequence[str]) -> None:
    wrong = [("scopes", f"there is no scope {each}") for each in scopes if not scopes_of([each])]
    if not scopes:
        wrong.append(("scopes", "name at least one"))
    if not _NAME.fullmatch(name):
        wrong.append(("name", "a letter, then letters, digits and hyphens, 63 in all"))
    if name in PRINCIPALS:
        wrong.append(("name", f"{name} is the installation's own: `astra migrate` gives it its token"))
    if wrong:
        raise FieldInvalid(wrong)
