"""The real parts tests stand on: a PostgreSQL and a Temporal a test process, a database a test."""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import psycopg
import pytest

from services.astra.migrate import RolePasswords, migrate
from services.astra.principals import PRINCIPALS
from services.astra.seed import seed
from services.cli.configuration import token_variable
from services.cli.embedded import SUPERUSER, EmbeddedPostgres, EmbeddedTemporal
from services.common.logs import configure_logs

TEMPLATE = "astra_template"
OUTSIDE = (
    *(
        "ASTRA_",
        "DATABASE_",
        "DRIVE_",
        "GITHUB_",
        "GOOGLE_",
        "PG",
        "PUBSUB_",
        "PUBLIC_",
        "SLACK_",
        "TEMPORAL_",
        "VAULT_",
        "VENDORS_",
    ),
    *(
        "ANTHROPIC_",
        "AWS_",
        "BEDROCK_",
        "DEFAULT_MODEL",
        "EMBEDDING_",
        "FOUNDRY_",
        "MODELS_",
        "MOONSHOT_",
        "OPENAI_",
        "ZAI_",
    ),
)
"""How variables begin that would make a test depend on who runs it."""

KEEP_SEEDED = """
CREATE SCHEMA seeded;
DO $$
DECLARE name text; filled boolean;
BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM public.%I)', name) INTO filled;
        IF filled THEN EXECUTE format('CREATE TABLE seeded.%1$I AS TABLE public.%1$I', name); END IF;
    END LOOP;
END $$
"""
RESET = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid();
SET LOCAL session_replication_role = replica;
DO $$
DECLARE name text;
BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        EXECUTE format('DELETE FROM public.%I', name);
    END LOOP;
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'seeded' LOOP
        EXECUTE format('INSERT INTO public.%1$I TABLE seeded.%1$I', name);
    END LOOP;
END $$
"""

# The vendors' models are many objects that stay: walking them took a tenth of the time.
gc.freeze()
gc.set_threshold(100_000, 50, 100)
# As a service runs: structlog's own default draws tracebacks with local variables, which takes seconds.
configure_logs(level="WARNING", pretty=False)


@dataclass(frozen=True)
class DatabaseUrls:
    """One database, as each role sees it."""

    name: str
    owner: str
    service: str
    relay: str
    operator: str


@dataclass(frozen=True)
class PostgresCluster:
    """The test process's PostgreSQL with a migrated, seeded database to copy."""

    server: EmbeddedPostgres
    passwords: RolePasswords
    tokens: Mapping[str, str]
    _clean: list[DatabaseUrls] = field(default_factory=list)

    def urls(self, name: str) -> DatabaseUrls:
        dsn = self.server.dsn
        return DatabaseUrls(
            name=name,
            owner=dsn(SUPERUSER, self.server.superuser_password, name),
            service=dsn("astra_service", self.passwords.service, name),
            relay=dsn("astra_relay", self.passwords.relay, name),
            operator=dsn("astra_operator", self.passwords.operator, name),
        )

    def token_variables(self) -> dict[str, str]:
        """The principals' tokens, as a stack on this database is told them."""
        return {token_variable(name): token for name, token in self.tokens.items()}

    async def execute(self, statement: str) -> None:
        owner = self.server.dsn(SUPERUSER, self.server.superuser_password, "postgres")
        async with await psycopg.AsyncConnection.connect(owner, autocommit=True) as connection:
            await connection.execute(statement)  # pyright: ignore[reportArgumentType]

    async def create(self) -> DatabaseUrls:
        """A copy of the template: tenant `default`, agent `atlas`, the services' principals."""
        name = f"test_{secrets.token_hex(6)}"
        await self.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        return self.urls(name)

    async def drop(self, urls: DatabaseUrls) -> None:
        """Away with it: the server's last checkpoint would write all of them out."""
        await self.execute(f"DROP DATABASE IF EXISTS {urls.name} WITH (FORCE)")

    async def lend(self) -> DatabaseUrls:
        """As `create`, perhaps one that was given back: making its files took most of a short test's time."""
        if self._clean:
            return self._clean.pop()
        urls = await self.create()
        async with await psycopg.AsyncConnection.connect(urls.owner) as connection:
            await connection.execute(KEEP_SEEDED)
        return urls

    async def give_back(self, urls: DatabaseUrls) -> None:
        """Put its rows back to the template's; its schema must be as it was. Whoever is connected is cut."""
        async with await psycopg.AsyncConnection.connect(urls.owner) as connection:
            await connection.execute(RESET)
        self._clean.append(urls)


@pytest.fixture(scope="session")
async def postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PostgresCluster]:
    folder = tmp_path_factory.mktemp("postgres")
    async with EmbeddedPostgres(folder / "data", None, folder / "postgres.log") as server:
        cluster = PostgresCluster(
            server,
            RolePasswords("service-password", "relay-password", "operator-password"),
            {name: f"{name}-token" for name in PRINCIPALS},
        )
        await cluster.execute(f"CREATE DATABASE {TEMPLATE}")
        owner = cluster.urls(TEMPLATE).owner
        await asyncio.to_thread(migrate, owner, cluster.passwords)
        await asyncio.to_thread(seed, owner, cluster.tokens)
        yield cluster


@pytest.fixture
async def database_urls(postgres: PostgresCluster) -> AsyncIterator[DatabaseUrls]:
    """A database with the template's rows, the test's own while it runs."""
    urls = await postgres.lend()
    yield urls
    await postgres.give_back(urls)


@pytest.fixture(scope="session")
async def temporal(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedTemporal]:
    folder = tmp_path_factory.mktemp("temporal")
    async with EmbeddedTemporal(folder, None, None, folder / "temporal.log") as server:
        yield server


@pytest.fixture(scope="session")
def tokens() -> Mapping[str, str]:
    """The bearer tokens the template is seeded with, by principal."""
    return {name: f"{name}-token" for name in PRINCIPALS}


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests read no `.env` and no variable of the person who runs them."""
    for name in list(os.environ):
        if name.startswith(OUTSIDE):
            monkeypatch.delenv(name)
