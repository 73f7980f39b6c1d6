"""A run and the tools of an MCP server of others: offered to its agent, called by its worker, recorded."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from aucert.tools.v1.tool_service_pb2 import ListToolsRequest
from tests.e2e.conftest import RunStory
from tests.e2e.story import PATIENCE_SECONDS, Story
from tests.service import mcp_server

SCRIPT = [
    {"tool_calls": [{"name": "desk_file_ticket", "arguments": {"title": "Round once"}}]},
    {"tool_calls": [{"name": "desk_list_tickets", "arguments": {}}, {"name": "attic_fail", "arguments": {}}]},
    {"text": "I have filed it."},
]
SERVERS = """
[servers.desk]
command = ['{python}', '{program}']
agents = ["atlas"]
tenants = ["*"]
tools.list_tickets.effect = "read"

[servers.attic]
command = ['{python}', '{program}']
agents = ["scribe"]
tenants = ["*"]
"""


async def connected(told: Story) -> None:
    """Both servers are at hand: the worker asks once a minute what tools there are."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not {"desk_file_ticket", "attic_fail"} <= await names(told):
            await asyncio.sleep(0.05)


async def names(told: Story) -> set[str]:
    return {each.name for each in (await told.clients.tools.ListTools(ListToolsRequest())).tools}


async def test_a_run_changes_something_at_a_server_of_others_once_and_gets_no_tool_of_another_agent(
    story: RunStory, tmp_path: Path
):
    file = tmp_path / "servers.toml"
    file.write_text(SERVERS.format(python=sys.executable, program=mcp_server.__file__))
    async with story(SCRIPT, MCP_SERVERS=str(file)) as told:
        await connected(told)
        await told.comment("@atlas file that, please")
        (run,) = await told.settled()
        calls = await told.rows("SELECT tool_name, reason, result_text FROM tool_calls ORDER BY call_id")
        effects = await told.rows("SELECT tool_name, done_time IS NOT NULL AS done FROM effects")
        (post,) = await told.posts()

    assert ("success", True) == (run["outcome"], "I have filed it." in post)
    filed, listed, other = calls
    assert [("desk_file_ticket", ""), ("desk_list_tickets", ""), ("attic_fail", "TOOL_NOT_FOUND")] == [
        (each["tool_name"], each["reason"]) for each in calls
    ]
    for each in (filed, listed):
        assert each["result_text"].startswith("The MCP server desk answered:")
        assert "\n> 1 tickets: ['Round once']" in each["result_text"]
    assert "attic_" not in other["result_text"], "nor is it told of any"
    assert [{"tool_name": "desk_file_ticket", "done": True}] == effects
