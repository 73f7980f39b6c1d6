"""Whether a database has the pgvector the record needs, as `astra doctor` and `astra migrate` see it."""

from __future__ import annotations

import pytest

from services.astra.migrate import vector_problem
from services.cli.doctor_database import examine_database
from tests.conftest import DatabaseUrls


@pytest.mark.parametrize(
    ("available", "installed", "superuser", "expected"),
    [
        ("0.8.5", "0.8.5", False, ""),
        ("0.10.0", "0.10.0", False, ""),
        ("0.8.5", None, True, ""),
        ("0.8.5", None, False, "CREATE EXTENSION vector"),
        ("0.8.5", "0.7.4", True, "is 0.7.4 and has to be 0.8"),
        (None, None, True, "has no pgvector"),
    ],
)
def test_what_keeps_pgvector_from_being_used_is_said(
    available: str | None, installed: str | None, superuser: bool, expected: str
):
    problem = vector_problem(available, installed, superuser=superuser)
    assert expected in problem
    assert bool(expected) == bool(problem)


async def test_the_doctor_asks_a_database_of_ones_own(database_urls: DatabaseUrls):
    (found,) = await examine_database({"DATABASE_URL": database_urls.service})
    away = database_urls.service.replace(database_urls.name, "nowhere")
    (missing,) = await examine_database({"DATABASE_URL": away})
    assert [] == await examine_database({})
    assert ("ok", "missing") == (found.verdict, missing.verdict)
