"""`astra agents`: who can be called, how people address them, and the framing each works by."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from aucert.astra.v1 import agent_service_pb2 as pb
from aucert.astra.v1.agent_pb2 import Agent, Ceilings, Handle, ToolChoice
from services.cli.client import Clients, operator_clients
from services.cli.configuration import environment
from services.cli.reporting import say
from services.cli.show import as_json as message_json
from services.cli.show import table
from services.cli.spelling import JsonOption, StateOption, command, group
from services.cli.state import DEFAULT_STATE_DIR
from services.common.errors import Exists, NotFound

LIKE = "atlas"
"""Whose framing a new agent gets, but for the fragment that says who it is."""

app = group("See and make agents: handles, framing, ceilings.")
HandleOption = Annotated[
    list[str] | None, typer.Option("--handle", help='As in "slack:U02SCRIBE"; may be repeated.')
]
NameOption = Annotated[str, typer.Option(help="Name for people.")]
FragmentOption = Annotated[
    list[str] | None, typer.Option("--fragment", help="Slug of a fragment, in order; may be repeated.")
]
ToolOption = Annotated[
    list[str] | None,
    typer.Option("--tool", help='As in "repo_*" or "spec_generate:docs_*"; "*" is all; may be repeated.'),
]


@command(app, "list")
async def list_agents(state: StateOption = DEFAULT_STATE_DIR, as_json: JsonOption = False) -> None:
    """List the agents with their handles."""
    async with operator_clients(state, environment()) as clients:
        agents = await _agents(clients)
    if as_json:
        print(json.dumps([message_json(each) for each in agents]))
        return
    rows = [(each.slug, each.display_name, " ".join(spelled(each.handles))) for each in agents]
    print(table([("slug", "name", "handles"), *rows]))


@command(app, "show")
async def show(slug: str, state: StateOption = DEFAULT_STATE_DIR, as_json: JsonOption = False) -> None:
    """Show an agent with its framing."""
    async with operator_clients(state, environment()) as clients:
        agent = await _agent(clients, slug)
    print(json.dumps(message_json(agent)) if as_json else agent_text(agent))


@command(app, "add")
async def add(
    slug: str,
    who: Annotated[Path, typer.Argument(help="Text that says who it is. -: standard input.")],
    handle: HandleOption = None,
    name: NameOption = "",
    fragment: FragmentOption = None,
    tool: ToolOption = None,
    state: StateOption = DEFAULT_STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """Make an agent; without fragments it has those of atlas, with WHO in place of who atlas is."""
    text, own = _read(who), f"who-{slug}-is"
    async with operator_clients(state, environment()) as clients:
        agents = await _agents(clients)
        if slug in [each.slug for each in agents]:
            raise Exists(f"There is an agent {slug} already. `astra agents set {slug}` changes it.")
        others = fragment or [each.slug for each in _named(agents, LIKE).personalities]
        framing = [own, *(each for each in others if each not in (own, f"who-{LIKE}-is"))]
        request = pb.PutAgentRequest(
            slug=slug,
            display_name=name,
            handles=handles(handle),
            personality_slugs=framing,
            tools=choices(tool),
        )
        await clients.agents.PutPersonality(pb.PutPersonalityRequest(slug=own, text=text))
        agent = (await clients.agents.PutAgent(request)).agent
    print(json.dumps(message_json(agent)) if as_json else agent_text(agent))


@command(app, "set")
async def change(
    slug: str,
    handle: HandleOption = None,
    name: NameOption = "",
    fragment: FragmentOption = None,
    tool: ToolOption = None,
    turns_max: Annotated[int, typer.Option(help="Model turns a run.")] = 0,
    tokens_max: Annotated[int, typer.Option(help="Tokens a run.")] = 0,
    minutes_max: Annotated[int, typer.Option(help="Minutes a run.")] = 0,
    state: StateOption = DEFAULT_STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """Change an agent; what is not named stays, handles, fragments and tools are replaced as a whole."""
    ceilings = Ceilings(turns_max=turns_max, tokens_max=tokens_max)
    ceilings.run_timeout.FromSeconds(minutes_max * 60)
    request = pb.PutAgentRequest(
        slug=slug,
        display_name=name,
        handles=handles(handle),
        personality_slugs=fragment or (),
        ceilings=ceilings,
        tools=choices(tool),
    )
    async with operator_clients(state, environment()) as clients:
        await _agent(clients, slug)  # a slip of the pen makes no agent
        agent = (await clients.agents.PutAgent(request)).agent
    print(json.dumps(message_json(agent)) if as_json else agent_text(agent))


@command(app, "fragment")
async def write_fragment(
    slug: str,
    file: Annotated[Path, typer.Argument(help="The text. -: standard input.")],
    operation: Annotated[list[str] | None, typer.Option(help="As in spec_generate. None: all.")] = None,
    state: StateOption = DEFAULT_STATE_DIR,
) -> None:
    """Write a fragment of framing, for all agents that have it."""
    request = pb.PutPersonalityRequest(slug=slug, text=_read(file), operations=operation or ())
    async with operator_clients(state, environment()) as clients:
        await clients.agents.PutPersonality(request)
    say(f"wrote {slug}")


def handles(told: Sequence[str] | None) -> list[Handle]:
    """Handles as they are typed, source and name. Raises BadParameter for one without a source."""
    parts = [each.partition(":") for each in told or ()]
    for source, _, name in parts:
        if not name:
            raise typer.BadParameter(f'a handle names its source, as in "slack:{source}"')
    return [Handle(source=source, name=name) for source, _, name in parts]


def spelled(known: Sequence[Handle]) -> list[str]:
    """Handles as they are typed, by source."""
    return sorted(f"{each.source}:{each.name}" for each in known)


def choices(told: Sequence[str] | None) -> list[ToolChoice]:
    """Tools as they are typed, perhaps behind an operation."""
    parts = [each.rpartition(":") for each in told or ()]
    return [ToolChoice(operation=operation, name=name) for operation, _, name in parts]


def agent_text(agent: Agent) -> str:
    """An agent for people: a few lines, then its framing."""
    most = agent.ceilings
    chosen = (f"{each.operation}:{each.name}".removeprefix(":") for each in agent.tools)
    lines = [
        f"{agent.slug}  {agent.display_name}",
        f"handles: {' '.join(spelled(agent.handles)) or 'none'}",
        f"tools: {' '.join(chosen) or 'all'}",
        f"a run: at most {most.turns_max} turns, {most.tokens_max} tokens, "
        f"{most.run_timeout.seconds // 60} minutes",
    ]
    for each in agent.personalities:
        lines += ["", f"# {each.slug} ({', '.join(each.operations) or 'all operations'})", each.text]
    return "\n".join(lines)


async def _agents(clients: Clients) -> Sequence[Agent]:
    return (await clients.agents.ListAgents(pb.ListAgentsRequest())).agents


async def _agent(clients: Clients, slug: str) -> Agent:
    return _named(await _agents(clients), slug)


def _named(agents: Sequence[Agent], slug: str) -> Agent:
    found = next((each for each in agents if each.slug == slug), None)
    if found is None:
        raise NotFound(f"There is no agent {slug}. `astra agents list` shows those there are.")
    return found


def _read(file: Path) -> str:
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise NotFound(f"{file} is no text that can be read.") from None
