"""Who may import whom: a service speaks to another through its stub only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVICES = ("astra", "dispatcher", "models", "tools", "worker", "sandbox")
VENDORS = {"anthropic", "boto3", "botocore", "githubkit", "openai", "slack_sdk"}
DATABASE = {"sqlalchemy", "psycopg"}


def imports(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((path, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield path, node.module


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_imports_no_other_service(service):
    others = tuple(f"services.{each}" for each in (*SERVICES, "cli") if each != service)
    wrong = [
        (str(path.relative_to(ROOT)), name)
        for path, name in imports(ROOT / "services" / service)
        if name.startswith((*others, "gateway"))
    ]
    assert [] == wrong


def test_the_gateway_only_calls_stubs():
    allowed = ("services.common",)
    wrong = [
        (path.name, name)
        for path, name in imports(ROOT / "gateway")
        if (name.startswith("services.") and not name.startswith(allowed)) or name.split(".")[0] in DATABASE
    ]
    assert [] == wrong


@pytest.mark.parametrize("folder", ["services/worker", "services/models", "services/tools"])
def test_only_those_who_own_tables_speak_sql(folder):
    assert [] == [name for _, name in imports(ROOT / folder) if name.split(".")[0] in DATABASE]


@pytest.mark.parametrize("folder", ["services/worker", "services/astra", "services/dispatcher", "gateway"])
def test_vendor_libraries_stay_with_those_who_call_vendors(folder):
    assert [] == [name for _, name in imports(ROOT / folder) if name.split(".")[0] in VENDORS]


def test_domain_modules_import_the_standard_library_only():
    for path in ROOT.glob("services/*/domain.py"):
        own = path.parent.name
        named = {name for found, name in imports(path.parent) if found == path}
        foreign = {
            name for name in named if name.startswith("services.") and not name.startswith(f"services.{own}.")
        }
        assert set() == foreign, path


def test_common_knows_no_service():
    wrong = [
        (path.name, name)
        for path, name in imports(ROOT / "services" / "common")
        if name.startswith("services.") and not name.startswith("services.common")
    ]
    assert [] == wrong


def test_the_mcp_sdk_is_loaded_where_it_is_used_because_that_takes_a_second():
    at_once = [
        str(path.relative_to(ROOT))
        for folder in ("gateway", "services")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.parse(path.read_text()).body
        for name in _imported(node)
        if name.split(".")[0] in {"mcp", "mcp_types"} or name == "gateway.mcp.catalogue_server"
    ]
    assert {"gateway/mcp/catalogue_server.py"} == set(at_once)


def _imported(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
