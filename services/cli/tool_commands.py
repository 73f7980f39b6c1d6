"""`astra tools`: what the agent can call, and calling it by hand as an operator."""

from __future__ import annotations

import json
import uuid
from typing import Annotated

import typer

from aucert.tools.v1 import tool_service_pb2 as pb
from aucert.tools.v1.tool_pb2 import Tool, ToolApproval, ToolEffect, ToolRetry, ToolTrust
from services.cli.client import operator_clients
from services.cli.configuration import environment
from services.cli.reporting import say
from services.cli.show import as_json as message_json
from services.cli.spelling import JsonOption, StateOption, command, group
from services.cli.state import DEFAULT_STATE_DIR
from services.common import metadata as keys
from services.common.errors import NotFound

GRACE_SECONDS = 2.0
"""What the tools service gets to say itself that a tool took too long."""
REPOSITORY_TOOLS = "aucert.tools.v1.RepoService/"
CLONE_SECONDS_MAX = 660.0
"""How long a first clone may take, before a repo tool's own time begins."""
app = group("See what the agent can call, and call it yourself.")


@command(app, "list")
async def list_tools(state: StateOption = DEFAULT_STATE_DIR, as_json: JsonOption = False) -> None:
    """List the tools; those that are absent, and what is missing for them, on stderr."""
    async with operator_clients(state, environment()) as clients:
        listed = await clients.tools.ListTools(pb.ListToolsRequest())
    if as_json:
        print(json.dumps(message_json(listed)))
        return
    for tool in listed.tools:
        print(f"{tool.name:<32} {effect_word(tool):<17} {_first_sentence(tool.description)}")
    for each in listed.absent:
        say(f"{each.tool_count} tools of {each.integration} are absent: {each.off_reason}")


@command(app, "show")
async def show_tool(name: str, state: StateOption = DEFAULT_STATE_DIR, as_json: JsonOption = False) -> None:
    """Show a tool as a model reads it, and what it promises."""
    async with operator_clients(state, environment()) as clients:
        tool = _named(await clients.tools.ListTools(pb.ListToolsRequest()), name)
    if as_json:
        print(json.dumps(message_json(tool)))
        return
    print(f"{tool.name}  ({tool.method})\n\n{tool.description}\n")
    print(f"effect    {effect_word(tool)}\ntrust     {trust_word(tool)}\napproval  {approval_word(tool)}")
    print(f"timeout   {tool.timeout.ToTimedelta().total_seconds():g} s")
    print(f"repeated  {retry_word(tool)}\nlimit     {tool.rate_limit or 'none'}\n")
    print(json.dumps(json.loads(tool.parameters_json), indent=2, ensure_ascii=False))


@command(app, "call")
async def call_tool(
    name: str,
    arguments: Annotated[str, typer.Argument(help="A JSON object by the tool's schema.")] = "{}",
    repository: Annotated[str, typer.Option(help="Slug of the repository that a repo tool reads.")] = "",
    request_id: Annotated[str, typer.Option(help="Your key for this change, making retries safe.")] = "",
    state: StateOption = DEFAULT_STATE_DIR,
    as_json: JsonOption = False,
) -> bool:
    """Call a tool outside of any run, and print what a model would read.

    Repo tools read the repository's newest commit; with only one registered, it need not be named.
    """
    named = [(keys.REPOSITORY, repository)] if repository else []
    async with operator_clients(state, environment()) as clients:
        tool = _named(await clients.tools.ListTools(pb.ListToolsRequest()), name)
        answer = await clients.tools.CallTool(
            pb.CallToolRequest(tool_name=name, arguments_json=arguments),
            timeout=tool.timeout.ToTimedelta().total_seconds() + _before(tool) + GRACE_SECONDS,
            metadata=[(keys.REQUEST_ID, request_id or uuid.uuid4().hex), *named],
        )
    if as_json:
        print(json.dumps(message_json(answer)))
    elif answer.failed:
        say(f"{answer.reason}: {answer.text}")
    else:
        print(answer.text)
    return not answer.failed


def effect_word(tool: Tool) -> str:
    """What a call does to the world, in one word."""
    return _word(ToolEffect.Name(tool.effect), "TOOL_EFFECT_")


def trust_word(tool: Tool) -> str:
    """Which runs may call it, in one word."""
    return _word(ToolTrust.Name(tool.trust), "TOOL_TRUST_")


def approval_word(tool: Tool) -> str:
    """Whether a person decides first, in one word."""
    return _word(ToolApproval.Name(tool.approval), "TOOL_APPROVAL_")


def retry_word(tool: Tool) -> str:
    """What a repeated call does, in one word."""
    return _word(ToolRetry.Name(tool.retry), "TOOL_RETRY_")


def _before(tool: Tool) -> float:
    return CLONE_SECONDS_MAX if tool.method.startswith(REPOSITORY_TOOLS) else 0.0


def _word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower().replace("_", " ")


def _first_sentence(text: str) -> str:
    return text.partition(". ")[0].removesuffix(".")


def _named(listed: pb.ListToolsResponse, name: str) -> Tool:
    for tool in listed.tools:
        if tool.name == name:
            return tool
    absent = "".join(
        f" The tools of {each.integration} are absent: {each.off_reason}."
        for each in listed.absent
        if name.startswith(f"{each.integration}_")
    )
    raise NotFound(f"There is no tool {name}.{absent} `astra tools list` shows those there are.")
