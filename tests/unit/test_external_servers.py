"""What MCP_SERVERS may hold, and what is made of tools that strangers describe."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp_types import Tool
from pydantic import SecretStr

from services.tools.external_catalogue import CHARS_MAX, TOOLS_MAX, entries_of
from services.tools.external_client import ExternalServer
from services.tools.external_servers import (
    DeclaredServer,
    KeyMissing,
    ServersInvalid,
    read_servers,
    with_keys,
)

USERS = 'agents = ["atlas"]\ntenants = ["*"]\n'
OBJECT: dict[str, Any] = {"type": "object"}
DECLARED = DeclaredServer(url="https://mcp.example.com/mcp", agents=["atlas"], tenants=["*"])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[servers.a\n", "is no TOML"),
        (f"[servers.a]\n{USERS}", "either a url or a command"),
        (f'[servers.a]\nurl = "https://a"\ncommand = ["a"]\n{USERS}', "either a url or a command"),
        (f'[servers.a]\ncommand = ["a"]\nheaders = {{A = "b"}}\n{USERS}', "headers belong to a url"),
        (f'[servers.a]\nurl = "ftp://a"\n{USERS}', "servers.a.url"),
        (f'[servers.a]\nurl = "https://u:p@a"\n{USERS}', "servers.a.url"),
        ('[servers.a]\nurl = "https://a"\ntenants = ["*"]\n', "servers.a.agents"),
        ('[servers.a]\nurl = "https://a"\nagents = ["atlas"]\n', "servers.a.tenants"),
        (f'[servers.a]\nurl = "https://a"\n{USERS}[servers.a.tools.t]\neffect = "none"\n', "tools.t.effect"),
        (f'[servers.a_b]\nurl = "https://a"\n{USERS}', "is no name"),
        (f'[servers.github]\nurl = "https://a"\n{USERS}', "one of Astra's own"),
    ],
)
def test_a_file_that_cannot_be_used_stops_start_up_and_says_where(tmp_path: Path, text: str, problem: str):
    file = tmp_path / "servers.toml"
    file.write_text(text)
    with pytest.raises(ServersInvalid, match=problem):
        read_servers(file, {"github"})


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(ServersInvalid, match=r"nothing\.toml cannot be read"):
        read_servers(tmp_path / "nothing.toml", ())


def test_keys_take_the_place_of_their_names_and_a_missing_one_is_named():
    headers = {"Authorization": "Bearer $KEY", "X-Plain": "plain"}
    filled = with_keys(headers, {"KEY": SecretStr("abc")})
    assert {"Authorization": "Bearer abc", "X-Plain": "plain"} == filled
    with pytest.raises(KeyMissing, match="KEY is not in MCP_SERVER_KEYS"):
        with_keys(headers, {})


@pytest.mark.parametrize(
    ("tool", "problem"),
    [
        (Tool(name="a b", input_schema=OBJECT), "not legal"),
        (Tool(name="x" * 64, input_schema=OBJECT), "not legal"),
        (Tool(name="taken", input_schema=OBJECT), "taken"),
        (Tool(name="odd", input_schema={"type": "array"}), "no object"),
        (Tool(name="broken", input_schema={**OBJECT, "properties": "all"}), "not one that models take"),
        (Tool(name="either", input_schema={**OBJECT, "anyOf": [{}]}), "not one that models take"),
        (Tool(name="spaced", input_schema={**OBJECT, "properties": {"a b": {}}}), "not one that models take"),
        (Tool(name="long", input_schema={**OBJECT, "description": "x" * 20_000}), "too long"),
    ],
)
def test_a_tool_that_cannot_be_offered_is_left_out_and_says_why(tool: Tool, problem: str):
    entries, (refused,) = entries_of("own", DECLARED, [tool], {"own_taken"})
    assert {} == entries
    assert problem in refused


def test_more_tools_than_are_offered_of_one_server_are_left_out():
    tools = [Tool(name=f"t{number}", input_schema=OBJECT) for number in range(TOOLS_MAX + 2)]
    entries, refused = entries_of("own", DECLARED, tools, ())
    assert (TOOLS_MAX, 2) == (len(entries), len(refused))
    assert sorted(entries) == list(entries)


def test_a_schema_too_deep_to_look_at_is_left_out():
    deep: dict[str, Any] = {}
    for _ in range(400):
        deep = {"not": deep}
    entries, (refused,) = entries_of(
        "own", DECLARED, [Tool(name="deep", input_schema={**OBJECT, "properties": {"a": deep}})], ()
    )
    assert ({}, True) == (entries, "not one that models take" in refused)


def test_all_tools_of_a_server_together_are_bounded_because_each_model_call_carries_them():
    tools = [Tool(name=f"t{number}", description="x" * 4_000, input_schema=OBJECT) for number in range(40)]
    entries, refused = entries_of("own", DECLARED, tools, ())
    told = sum(len(each.description) + len(each.parameters_json) for each in entries.values())
    assert CHARS_MAX - 5_000 < told <= CHARS_MAX
    assert 40 == len(entries) + len(refused)


def test_what_a_person_would_not_see_in_a_description_a_model_does_not_read():
    hidden = "Files\N{ZERO WIDTH SPACE} a\N{TAG LATIN SMALL LETTER A}\0 ticket."
    entries, _ = entries_of("own", DECLARED, [Tool(name="t", description=hidden, input_schema=OBJECT)], ())
    assert entries["own_t"].description.endswith("describes it so: Files a ticket.")


async def test_a_server_that_lets_us_connect_and_is_of_no_use_is_asked_less_and_less(
    monkeypatch: pytest.MonkeyPatch,
):
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 4:
            raise asyncio.CancelledError

    @asynccontextmanager
    async def connected() -> AsyncIterator[object]:
        yield object()

    server = ExternalServer("own", DECLARED, {}, ())
    monkeypatch.setattr(server, "_connected", connected)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await server.run()
    assert [1, 2, 4, 8] == pauses
