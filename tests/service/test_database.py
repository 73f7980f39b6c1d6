"""What a service's pool promises, on real PostgreSQL."""

from __future__ import annotations

import traceback

import pytest
from sqlalchemy import text

from services.astra.seed import DEFAULT_TENANT_ID
from services.common.database import Database, DatabaseUnavailable, StatementFailed
from services.common.errors import RoleTooPowerful


async def test_a_refused_statement_tells_the_log_nothing_of_the_row(database_urls):
    database = Database(database_urls.service, application="test")
    try:
        with pytest.raises(StatementFailed) as failed:
            async with database.tenant(DEFAULT_TENANT_ID) as connection:
                await connection.execute(
                    text("INSERT INTO repositories (id, tenant_id, slug) VALUES (:tenant, :tenant, :slug)"),
                    {"slug": "what a person wrote", "tenant": DEFAULT_TENANT_ID},
                )
    finally:
        await database.close()
    told = "".join(traceback.format_exception(failed.value))
    assert "what a person wrote" not in told
    assert "23502" in told


async def test_a_role_that_sees_past_row_level_security_is_refused(database_urls):
    for url in (database_urls.owner, database_urls.relay):
        database = Database(url, application="test")
        with pytest.raises(RoleTooPowerful, match="service role"):
            await database.refuse_powerful_role()
        await database.close()


async def test_without_a_tenant_no_tenants_rows_are_seen(database_urls):
    database = Database(database_urls.service, application="test")
    async with database.transaction() as connection:
        assert 0 == (await connection.execute(text("SELECT count(*) FROM agents"))).scalar_one()
    async with database.tenant(DEFAULT_TENANT_ID) as connection:
        assert 1 == (await connection.execute(text("SELECT count(*) FROM agents"))).scalar_one()
    await database.close()


async def test_a_database_that_is_away_is_unavailable(database_urls):
    database = Database("postgresql://nobody@127.0.0.1:1/none", application="test")
    with pytest.raises(DatabaseUnavailable):
        await database.ping()
    await database.close()
