"""PostgreSQL for the services that own tables: one pool, transactions bound to a tenant.

Row-level security reads `app.tenant_id`, which every transaction sets for itself with SET LOCAL
semantics; a transaction without a tenant sees no tenant's rows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from services.common.errors import Unavailable

POOL_SIZE = 20
"""All kept: one opened for a burst and closed after it would cost more than the work done on it."""
POOL_WAIT_SECONDS = 5
CONNECT_SECONDS = 3
STATEMENT_TIMEOUT_MS = 10_000


class DatabaseUnavailable(Unavailable):
    """PostgreSQL is away or too busy."""

    reason = "DATABASE_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("The record cannot be reached. Try again shortly; nothing was changed.")


class StatementFailed(Exception):
    """PostgreSQL refused a statement. Says how, without the row: an unforeseen error is logged whole."""

    def __init__(self, error: BaseException | None) -> None:
        told = error.diag if isinstance(error, psycopg.Error) else None
        super().__init__(
            f"{told.sqlstate}: {told.message_primary}" if told else type(error).__name__,
            told.constraint_name if told else None,
        )


class RoleTooPowerful(Exception):
    """The service's role could look past row-level security."""


class Database:
    """A pool of connections as one role. Methods raise DatabaseUnavailable while PostgreSQL is away."""

    def __init__(self, url: str, *, application: str) -> None:
        self._engine: AsyncEngine = create_async_engine(
            url.replace("postgresql://", "postgresql+psycopg://", 1),
            pool_size=POOL_SIZE,
            max_overflow=0,
            pool_timeout=POOL_WAIT_SECONDS,
            hide_parameters=True,  # an error is logged, and parameters hold what people wrote
            pool_pre_ping=False,  # a lost connection fails one call as UNAVAILABLE and is replaced
            connect_args={
                "application_name": application,
                "connect_timeout": CONNECT_SECONDS,
                "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS}",
            },
        )

    @asynccontextmanager
    async def tenant(self, tenant_id: str) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees and writes one tenant's rows; committed at the end of the block."""
        async with self.transaction() as connection:
            await connection.execute(_SET_TENANT, {"tenant_id": tenant_id})
            yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A transaction without a tenant: for the relay role, and tables that have none."""
        try:
            async with self._engine.begin() as connection:
                yield connection
        except (InterfaceError, OperationalError, PoolTimeout) as error:
            raise DatabaseUnavailable from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise DatabaseUnavailable from error
            raise StatementFailed(error.orig).with_traceback(error.__traceback__) from None

    async def ping(self) -> None:
        """Raise unless PostgreSQL answers."""
        async with self.transaction() as connection:
            await connection.execute(text("SELECT 1"))

    async def refuse_powerful_role(self) -> None:
        """Raise RoleTooPowerful if this role is a superuser or bypasses row-level security."""
        async with self.transaction() as connection:
            row = (
                await connection.execute(
                    text(
                        "SELECT rolname, rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
                    )
                )
            ).one()
        if row[1]:
            raise RoleTooPowerful(
                f"The role {row[0]!r} in DATABASE_URL is a superuser or bypasses row-level security. "
                "Use the service role that `astra migrate` creates."
            )

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()


_SET_TENANT = text("SELECT set_config('app.tenant_id', :tenant_id, true)")
