"""Migrations, roles and row-level security, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from alembic import command
from psycopg import sql
from psycopg.rows import dict_row

import services.astra.knowledge_tables
import services.astra.quota_tables
import services.astra.tables
import services.dispatcher.tables  # noqa: F401 - registers its tables
from services.astra.main import running
from services.astra.migrate import RolePasswords, VectorMissing, alembic_config, migrate, owner_transaction
from services.astra.principal_admin import add_principal, list_principals, revoke_principal
from services.astra.seed import DEFAULT_TENANT_ID, seed
from services.common.errors import Exists, FieldInvalid, NotFound, RoleTooPowerful
from services.common.identity import token_digest
from services.common.tables import Base
from tests.conftest import DatabaseUrls, PostgresCluster
from tests.service.astra_kit import settings_for

OPERATOR_QUERIES = (
    "SELECT outcome, duration_ms, tokens_input, tokens_output FROM task_runs WHERE id = $1::uuid",
    "SELECT metadata->'output_payload'->>'text' FROM task_events"
    " WHERE task_run_id = $1::uuid AND event_type = 'agent_completed'",
)


async def rows(url: str, statement: str, tenant_id: str = "") -> list[dict[str, Any]]:
    async with await psycopg.AsyncConnection.connect(url, row_factory=dict_row) as connection:
        if tenant_id:
            await connection.execute("SELECT set_config('app.tenant_id', %s, true)", [tenant_id])
        cursor = await connection.execute(statement)  # pyright: ignore[reportArgumentType]
        return await cursor.fetchall() if cursor.description else []


@pytest.fixture
async def database_urls(postgres: PostgresCluster) -> AsyncIterator[DatabaseUrls]:
    """One that no test had before, with nothing in it but what a migration makes."""
    urls = await postgres.create()
    yield urls
    await postgres.drop(urls)


def test_tables_in_python_are_the_tables_in_the_database(database_urls: DatabaseUrls) -> None:
    with owner_transaction(database_urls.owner) as connection:
        command.check(alembic_config(connection, Base.metadata))


async def test_migrating_and_seeding_again_changes_no_row(
    postgres: PostgresCluster, database_urls: DatabaseUrls
) -> None:
    async def state() -> list[object]:
        return [
            await rows(database_urls.operator, f"SELECT * FROM {table.name} ORDER BY 1, 2")
            for table in Base.metadata.sorted_tables
        ]

    before = await state()
    await asyncio.to_thread(migrate, database_urls.owner, postgres.passwords)
    await asyncio.to_thread(seed, database_urls.owner, postgres.tokens)
    assert before == await state()


async def test_seeding_gives_an_older_agent_what_is_new_and_not_what_was_taken_out(
    postgres: PostgresCluster, database_urls: DatabaseUrls
) -> None:
    framing = """SELECT personalities.slug FROM agent_personalities JOIN personalities
        ON personalities.id = personality_id ORDER BY position"""
    with owner_transaction(database_urls.owner) as connection:
        connection.exec_driver_sql(f"SET LOCAL app.tenant_id = '{DEFAULT_TENANT_ID}'")
        connection.exec_driver_sql("""
            DELETE FROM agent_personalities USING personalities
                WHERE personality_id = personalities.id AND slug IN ('closes-threads', 'reports-status');
            DELETE FROM personalities WHERE slug = 'closes-threads';
        """)
    left = [each["slug"] for each in await rows(database_urls.operator, framing)]
    await asyncio.to_thread(seed, database_urls.owner, postgres.tokens)
    assert [*left, "closes-threads"] == [each["slug"] for each in await rows(database_urls.operator, framing)]


async def test_a_principal_that_was_made_is_known_by_its_token_until_it_is_revoked(
    database_urls: DatabaseUrls,
) -> None:
    async def by_token(token: str) -> list[dict[str, Any]]:
        digest = token_digest(token).hex()
        query = f"SELECT name, scopes FROM principals WHERE encode(token_sha256, 'hex') = '{digest}'"
        return await rows(database_urls.operator, query)

    owner = database_urls.owner
    token = add_principal(owner, "reader", ["runs_read", "models_read"])
    assert [{"name": "reader", "scopes": ["models_read", "runs_read"]}] == await by_token(token)
    with pytest.raises(Exists):
        add_principal(owner, "reader", ["runs_read"])
    revoke_principal(owner, "reader")
    assert [] == await by_token(token)
    assert ("reader", False) in [(each.name, each.has_token) for each in list_principals(owner)]
    with pytest.raises(NotFound):
        revoke_principal(owner, "reader")
    assert token != add_principal(owner, "reader", ["runs_read"])


@pytest.mark.parametrize(
    ("name", "scopes"),
    [("operator", ["runs_read"]), ("agent:atlas", ["runs_read"]), ("reader", []), ("reader", ["everything"])],
)
def test_a_principal_of_the_installation_or_without_a_known_scope_is_not_made(
    name: str, scopes: list[str]
) -> None:
    with pytest.raises(FieldInvalid):
        add_principal("postgresql://never.asked", name, scopes)


async def test_seeding_replaces_a_token_and_refuses_a_name_nobody_has(database_urls: DatabaseUrls) -> None:
    digest = "SELECT token_sha256 FROM principals WHERE name = 'api'"
    before = await rows(database_urls.operator, digest)
    await asyncio.to_thread(seed, database_urls.owner, {"api": "another-token"})
    assert before != await rows(database_urls.operator, digest)
    with pytest.raises(ValueError, match="nobody"):
        seed(database_urls.owner, {"nobody": "token"})


async def test_owner_without_superuser_rights_can_migrate_seed_and_go_back(
    postgres: PostgresCluster, database_urls: DatabaseUrls
) -> None:
    owner, name = f"owner_of_{database_urls.name}", f"{database_urls.name}_owned"
    await postgres.execute(f"CREATE ROLE {owner} LOGIN CREATEROLE BYPASSRLS PASSWORD 'owner'")
    for role in ("astra_service", "astra_relay", "astra_operator"):
        await postgres.execute(f"GRANT {role} TO {owner} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE")
    await postgres.execute(f"ALTER ROLE {owner} NOBYPASSRLS")
    await postgres.execute(f"CREATE DATABASE {name} OWNER {owner}")
    await rows(postgres.urls(name).owner, "CREATE EXTENSION vector")
    url = postgres.server.dsn(owner, "owner", name)
    await asyncio.to_thread(migrate, url, postgres.passwords)
    await asyncio.to_thread(seed, url, postgres.tokens)
    assert 1 == len(await rows(postgres.urls(name).operator, "SELECT * FROM agents"))

    def back_to_where_every_principal_had_a_token() -> None:
        with owner_transaction(url) as connection:
            command.downgrade(alembic_config(connection), "0007")

    await asyncio.to_thread(back_to_where_every_principal_had_a_token)
    assert await rows(postgres.urls(name).operator, "SELECT * FROM principals")


async def test_owner_who_may_not_make_pgvector_is_told_who_can(
    postgres: PostgresCluster, database_urls: DatabaseUrls
) -> None:
    owner, name = f"poor_owner_of_{database_urls.name}", f"{database_urls.name}_bare"
    await postgres.execute(f"CREATE ROLE {owner} LOGIN CREATEROLE BYPASSRLS PASSWORD 'owner'")
    await postgres.execute(f"CREATE DATABASE {name} OWNER {owner}")
    with pytest.raises(VectorMissing, match="CREATE EXTENSION vector"):
        await asyncio.to_thread(migrate, postgres.server.dsn(owner, "owner", name), postgres.passwords)


WITHOUT_TENANT = {"delivery_refusals", "quota_leases", "quotas"}
"""Tables that hold nothing of anybody's."""


async def test_every_table_of_a_tenant_forces_row_level_security(database_urls: DatabaseUrls) -> None:
    tables = await rows(
        database_urls.operator,
        "SELECT relname, relrowsecurity AND relforcerowsecurity AS forced FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'alembic_version'",
    )
    expected = {table.name: table.name not in WITHOUT_TENANT for table in Base.metadata.sorted_tables}
    assert expected == {table["relname"]: table["forced"] for table in tables}


async def test_service_role_without_a_tenant_sees_and_writes_nothing(database_urls: DatabaseUrls) -> None:
    for table in Base.metadata.sorted_tables:
        assert [] == await rows(database_urls.service, f"SELECT * FROM {table.name}"), table.name
    assert 1 == len(await rows(database_urls.service, "SELECT * FROM agents", DEFAULT_TENANT_ID))
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        await rows(
            database_urls.service,
            "INSERT INTO repositories VALUES (gen_random_uuid(),"
            f" '{DEFAULT_TENANT_ID}', 's', 'u', '', '{{}}', '{{}}', 'anyone')",
        )


async def test_service_role_cannot_rewrite_what_is_on_record(database_urls: DatabaseUrls) -> None:
    for statement in (
        "UPDATE task_events SET seq = 1",
        "UPDATE transcript_turns SET position = 1",
        "UPDATE principals SET name = 'x'",
        "DELETE FROM task_runs",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await rows(database_urls.service, statement, DEFAULT_TENANT_ID)


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("webhook_deliveries", "body"),
        ("webhook_deliveries", "headers"),
        ("thread_events", "text"),
        ("task_runs", "message"),
        ("task_runs", "output"),
        ("transcript_turns", "message"),
    ],
)
async def test_relay_role_reads_no_content(database_urls: DatabaseUrls, table: str, column: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await rows(database_urls.relay, f"SELECT {column} FROM {table}")


async def test_relay_role_leases_deliveries_of_all_tenants(database_urls: DatabaseUrls) -> None:
    leased = await rows(
        database_urls.relay,
        "UPDATE webhook_deliveries SET status = 'leased' WHERE id IN (SELECT id FROM webhook_deliveries"
        " WHERE status = 'pending' ORDER BY position FOR UPDATE SKIP LOCKED) RETURNING id",
    )
    assert [] == leased
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await rows(database_urls.relay, "UPDATE webhook_deliveries SET body = ''")


async def test_operator_role_reads_and_never_writes(database_urls: DatabaseUrls) -> None:
    assert 1 == len(await rows(database_urls.operator, "SELECT * FROM agents"))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await rows(database_urls.operator, "UPDATE agents SET slug = 'x'")


async def test_queries_operators_rely_on_hold(database_urls: DatabaseUrls) -> None:
    async with await psycopg.AsyncConnection.connect(database_urls.operator) as connection:
        for index, query in enumerate(OPERATOR_QUERIES):
            await connection.execute(
                sql.SQL("PREPARE {} AS ").format(sql.Identifier(f"q{index}")) + sql.SQL(query)  # pyright: ignore
            )


async def test_role_that_looks_past_row_level_security_is_refused_at_start(
    database_urls: DatabaseUrls,
) -> None:
    for url in (database_urls.owner, database_urls.relay):
        with pytest.raises(RoleTooPowerful, match="DATABASE_URL"):
            async with running(settings_for(database_urls, DATABASE_URL=url)):
                pass


async def test_new_passwords_are_taken_over_and_old_ones_refused(
    postgres: PostgresCluster, database_urls: DatabaseUrls
) -> None:
    changed = RolePasswords("service-password", "relay-password", "another-password")
    try:
        await asyncio.to_thread(migrate, database_urls.owner, changed)
        with pytest.raises(psycopg.OperationalError, match="password"):
            await rows(database_urls.operator, "SELECT 1")
    finally:
        await asyncio.to_thread(migrate, database_urls.owner, postgres.passwords)
    assert 1 == len(await rows(database_urls.operator, "SELECT 1"))
