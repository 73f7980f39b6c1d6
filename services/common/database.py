"""PostgreSQL for the services that own tables: one pool, transactions bound to a tenant.

Row-level security reads `app.tenant_id`, which every transaction sets for itself with SET LOCAL
semantics; a transaction without a tenant sees no tenant's rows.

A transaction is a pipeline: what needs no answer is sent with what does, so BEGIN, the tenant and the first
statement are one round trip, and so are the last writes and COMMIT.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg.adapt import AdaptersMap
from psycopg.pq import TransactionStatus
from psycopg.rows import namedtuple_row
from psycopg.types.string import TextLoader
from sqlalchemy import text
from sqlalchemy.sql.elements import ClauseElement

from services.common.errors import RoleTooPowerful, Unavailable
from services.common.statements import Parameters, Result, prepared

POOL_SIZE = 16
"""All kept: one opened for a burst and closed after it would cost more than the work done on it."""
RELAY_POOL_SIZE = 4
"""For the relay role, which leases and sweeps. A process of astra or the dispatcher holds both pools, and
Astra one connection more to listen: two of each stay below PostgreSQL's usual 100."""
POOL_WAIT_SECONDS = 5
CONNECT_SECONDS = 3
STATEMENT_TIMEOUT_MS = 10_000
PREPARED_AFTER = 2
"""From this many uses on, a connection has PostgreSQL keep a statement's plan."""


class DatabaseUnavailable(Unavailable):
    """PostgreSQL is away or too busy."""

    reason = "DATABASE_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("The record cannot be reached. Try again shortly.")


class StatementFailed(Exception):
    """PostgreSQL refused a statement. Says how, without the row: an unforeseen error is logged whole."""

    def __init__(self, error: BaseException | None) -> None:
        told = error.diag if isinstance(error, psycopg.Error) else None
        super().__init__(
            f"{told.sqlstate}: {told.message_primary}" if told else type(error).__name__,
            told.constraint_name if told else None,
        )


class Transaction:
    """Statements on one connection, in order; an error of one ends the transaction."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], pipeline: psycopg.AsyncPipeline) -> None:
        self._connection = connection
        self._pipeline = pipeline

    async def execute(self, statement: ClauseElement, parameters: Parameters | None = None) -> Result:
        """Run a statement and wait for what it returns."""
        return await (await self.ask(statement, parameters)).result()

    async def execute_sql(self, query: bytes, parameters: Parameters) -> Result:
        """As `execute`, in psycopg's own words: for binary parameters, which Core cannot ask for."""
        return await Asked(await self._connection.execute(query, parameters), self._pipeline).result()

    async def ask(self, statement: ClauseElement, parameters: Parameters | None = None) -> Asked:
        """Run a statement and wait later: several asked one after the other share a round trip."""
        query, values = prepared(statement, parameters or {})
        return Asked(await self._connection.execute(query, values), self._pipeline)

    async def send(self, statement: ClauseElement, parameters: Parameters | None = None) -> None:
        """Run a statement whose result nobody needs. What goes wrong with it is raised by a later one, or
        by the transaction's end."""
        query, values = prepared(statement, parameters or {})
        await self._connection.execute(query, values)

    async def send_each(self, statement: ClauseElement, rows: Iterable[Parameters]) -> None:
        """As `send`, once for each row."""
        for row in rows:
            await self.send(statement, row)


class Asked:
    """A statement under way."""

    def __init__(self, cursor: psycopg.AsyncCursor[Any], pipeline: psycopg.AsyncPipeline) -> None:
        self._cursor = cursor
        self._pipeline = pipeline

    async def result(self) -> Result:
        """What it returned, once it and all before it are done. To be asked for once."""
        if self._cursor.pgresult is None:
            await self._pipeline.sync()
        rows = await self._cursor.fetchall() if self._cursor.description else []
        return Result(rows, self._cursor.rowcount)


class _Pool:
    """Connections, the one used last first: it has the most statements prepared. Fails at once when
    PostgreSQL is away, where others would wait for it."""

    def __init__(self, url: str, application: str, size: int) -> None:
        self._url = url
        self._application = application
        self._idle: list[psycopg.AsyncConnection[Any]] = []
        self._places = asyncio.Semaphore(size)
        self._closed = False

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """One connection for the block. When PostgreSQL closed it, the idle ones are closed too."""
        try:
            async with asyncio.timeout(POOL_WAIT_SECONDS):
                await self._places.acquire()
        except TimeoutError:
            raise DatabaseUnavailable from None
        try:
            connection = self._idle.pop() if self._idle else await self._connect()
            try:
                yield connection
            finally:
                await self._take_back(connection)
        finally:
            self._places.release()

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(
            self._url,
            autocommit=True,  # transactions are begun by name
            application_name=self._application,
            connect_timeout=CONNECT_SECONDS,
            # What nobody waits for any more ends by itself, and gives up its locks.
            options=f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c client_connection_check_interval=1s",
            prepare_threshold=PREPARED_AFTER,
            row_factory=namedtuple_row,
            context=_CONTEXT,
        )

    async def _take_back(self, connection: psycopg.AsyncConnection[Any]) -> None:
        if connection.info.transaction_status == TransactionStatus.IDLE and not self._closed:
            self._idle.append(connection)
            return
        lost = connection.closed
        await connection.close()
        if lost:
            await self._close_idle()

    async def close(self) -> None:
        """Close the idle connections now and each of the others when it comes back."""
        self._closed = True
        await self._close_idle()

    async def _close_idle(self) -> None:
        while self._idle:
            await self._idle.pop().close()


class Database:
    """A pool of connections as one role. Methods raise DatabaseUnavailable while PostgreSQL is away."""

    def __init__(self, url: str, *, application: str, size: int = POOL_SIZE) -> None:
        self._pool = _Pool(url, application, size)

    @asynccontextmanager
    async def tenant(self, tenant_id: str) -> AsyncIterator[Transaction]:
        """A transaction that sees and writes one tenant's rows; committed at the end of the block."""
        async with self.transaction() as transaction:
            await transaction.send(_SET_TENANT, {"tenant_id": tenant_id})
            yield transaction

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """A transaction without a tenant: for the relay role, and tables that have none."""
        try:
            async with (
                self._pool.connection() as connection,
                connection.pipeline() as pipeline,
                connection.transaction(),
            ):
                yield Transaction(connection, pipeline)
        except (psycopg.InterfaceError, psycopg.OperationalError) as error:
            raise DatabaseUnavailable from error
        except psycopg.Error as error:
            raise StatementFailed(error).with_traceback(error.__traceback__) from None

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
        await self._pool.close()


_SET_TENANT = text("SELECT set_config('app.tenant_id', :tenant_id, true)")
_CONTEXT = AdaptersMap(psycopg.adapters)
_CONTEXT.register_loader("uuid", TextLoader)  # ids pass through as text
