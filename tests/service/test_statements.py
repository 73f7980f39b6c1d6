"""Statements compiled by SQLAlchemy and sent by psycopg in pipelines, on real PostgreSQL."""

from __future__ import annotations

import pytest
from sqlalchemy import bindparam, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import MultipleResultsFound, NoResultFound

from services.astra.seed import DEFAULT_TENANT_ID
from services.astra.tables import Agent, Repository
from services.common import statements
from services.common.database import Database, StatementFailed
from services.common.statements import none_of, one_of, prepared

NUMBERS = text("SELECT id FROM generate_series(1, :most) AS found (id)")


@pytest.fixture
async def database(database_urls):
    database = Database(database_urls.service, application="test")
    yield database
    await database.close()


def repository(number: int) -> dict[str, object]:
    return {
        "id": f"00000000-0000-0000-0000-{number:012}",
        "tenant_id": DEFAULT_TENANT_ID,
        "slug": f"shop-{number}",
        "clone_url": "https://example.com/shop.git",
        "default_branch": "",
        "spec_folders": [],
        "adr_folders": [],
        "start_policy": "anyone",
    }


async def test_values_written_into_a_statement_are_its_own_each_time(database):
    async with database.tenant(DEFAULT_TENANT_ID) as connection:
        for slug in ("atlas", "nobody"):
            found = await connection.execute(select(Agent.slug).where(Agent.slug == slug))
            assert ["atlas"][: slug == "atlas"] == found.scalars()


def test_statements_of_one_shape_are_compiled_once(monkeypatch):
    compiled = []
    honest = statements._compile
    monkeypatch.setattr(statements, "_compile", lambda *all: compiled.append(all) or honest(*all))
    for turn in range(3):
        prepared(select(Agent.slug.label("a_shape_of_this_test")).where(Agent.turns_max == turn), {})
    assert 1 == len(compiled)


async def test_documents_are_written_and_read_as_json(database):
    echo = text("SELECT CAST(:document AS jsonb) AS document").bindparams(bindparam("document", type_=JSONB))
    async with database.transaction() as connection:
        for document in ({"a": [1, None]}, [["x", 1]], "text", None):
            row = (await connection.execute(echo, {"document": document})).one()
            assert document == row.document


async def test_ids_are_text(database):
    async with database.tenant(DEFAULT_TENANT_ID) as connection:
        assert DEFAULT_TENANT_ID == (await connection.execute(select(Agent.tenant_id))).scalar_one()
        untyped = text("SELECT CAST(:id AS uuid)")
        assert (
            DEFAULT_TENANT_ID == (await connection.execute(untyped, {"id": DEFAULT_TENANT_ID})).scalar_one()
        )


async def test_a_column_holds_one_or_none_of_many_values(database):
    async with database.tenant(DEFAULT_TENANT_ID) as connection:
        for values, is_one in (([], False), (["atlas"], True), (["x", "atlas"], True), (["x", "y"], False)):
            either = select(one_of(Agent.slug, values), none_of(Agent.slug, values))
            assert (is_one, not is_one) == tuple((await connection.execute(either)).one())


def test_a_list_in_a_statement_of_its_own_length_is_refused():
    with pytest.raises(ValueError, match="one_of"):
        prepared(select(Agent.id).where(Agent.slug.in_(["a", "b"])), {})


async def test_results_are_told_apart_by_how_many_rows_they_have(database):
    async with database.transaction() as connection:
        none, one, two = [await connection.execute(NUMBERS, {"most": most}) for most in (0, 1, 2)]
    assert (None, None, []) == (none.first(), none.scalar_one_or_none(), none.all())
    assert (1, 1, [1]) == (one.one().id, one.scalar_one(), one.scalars())
    assert [1, 2] == [row.id for row in two]
    with pytest.raises(NoResultFound):
        none.one()
    with pytest.raises(MultipleResultsFound):
        two.one_or_none()


async def test_what_is_asked_together_comes_back_apart(database):
    async with database.tenant(DEFAULT_TENANT_ID) as connection:
        first = await connection.ask(NUMBERS, {"most": 1})
        await connection.send(insert(Repository), repository(1))
        changed = await connection.ask(update(Repository).values(slug="renamed").where(Repository.slug != ""))
        last = await connection.ask(select(func.count()).select_from(Repository))
        assert 1 == (await last.result()).scalar_one()
        assert 1 == (await changed.result()).rowcount
        assert [1] == (await first.result()).scalars()


async def test_a_sent_statement_that_fails_undoes_the_transaction_and_frees_the_connection(database):
    async def write_one_twice() -> None:
        async with database.tenant(DEFAULT_TENANT_ID) as connection:
            await connection.send_each(insert(Repository), [repository(1), repository(2)])
            await connection.send(insert(Repository), repository(1))
            await connection.send(insert(Repository), repository(3))

    with pytest.raises(StatementFailed, match="23505"):
        await write_one_twice()
    async with database.tenant(DEFAULT_TENANT_ID) as connection:
        assert [] == (await connection.execute(select(Repository.id))).all()


async def test_an_error_of_ours_undoes_the_transaction(database):
    async def write_and_fail() -> None:
        async with database.tenant(DEFAULT_TENANT_ID) as connection:
            await connection.execute(insert(Repository), repository(1))
            raise LookupError

    with pytest.raises(LookupError):
        await write_and_fail()
    async with database.tenant(DEFAULT_TENANT_ID) as connection:
        assert [] == (await connection.execute(select(Repository.id))).all()
