"""`astra models`: the catalogue, who answers what, and a word with a model outside of any run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

import typer

from aucert.astra.v1.model_default_pb2 import ModelDefault
from aucert.astra.v1.model_default_service_pb2 import ListModelDefaultsRequest, SetModelDefaultRequest
from aucert.models.v1 import model_service_pb2 as pb
from aucert.models.v1.message_pb2 import ROLE_USER, Message, Part
from aucert.models.v1.model_pb2 import Model
from services.cli.client import operator_clients
from services.cli.configuration import environment
from services.cli.reporting import say
from services.cli.show import as_json as message_json
from services.cli.show import dollars, plain, table
from services.cli.spelling import JsonOption, StateOption, command, group
from services.cli.state import DEFAULT_STATE_DIR
from services.common.errors import NotFound

CHAT_SECONDS_MAX = 900.0
_PER_MILLION = 1_000_000


app = group("See the models and who answers what; ask one a word.")
OperationOption = Annotated[str, typer.Option(help='As in "spec_generate". Empty: every one.')]
AgentOption = Annotated[str, typer.Option(help="Slug of the agent. Empty: every one.")]


@command(app, "list")
async def list_models(state: StateOption = DEFAULT_STATE_DIR, as_json: JsonOption = False) -> None:
    """List the catalogue; models that are off, and why, on stderr."""
    async with operator_clients(state, environment()) as clients:
        models = (await clients.models.ListModels(pb.ListModelsRequest())).models
    if as_json:
        print(json.dumps([message_json(each) for each in models]))
        return
    rows = [model_row(each) for each in models if each.available]
    print(table([("alias", "label", "provider", "$/M in", "$/M out", "tags", "fallbacks"), *rows]))
    for each in models:
        if not each.available:
            say(f"{each.alias} is off: {each.off_reason}")


@command(app, "resolve")
async def resolve(
    operation: Annotated[str, typer.Argument(help="What is to be done.")] = "answer",
    tag: Annotated[list[str] | None, typer.Option(help="A word in brackets; may be repeated.")] = None,
    agent: Annotated[str, typer.Option(help="Slug of the agent that is asked.")] = "",
    state: StateOption = DEFAULT_STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """Say which models would answer a comment, one a line."""
    request = pb.ResolveModelRequest(operation=operation, tags=tag or [], agent_slug=agent)
    async with operator_clients(state, environment()) as clients:
        models = (await clients.models.ResolveModel(request)).models
    if as_json:
        print(json.dumps([message_json(each) for each in models]))
        return
    for each in models:
        print(f"{each.alias}  [{each.label}]")


@command(app, "set")
async def set_default(
    alias: Annotated[str, typer.Argument(help="Alias of the model. Empty: take back what is set.")],
    operation: OperationOption = "",
    agent: AgentOption = "",
    state: StateOption = DEFAULT_STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """Set which model answers where a comment names none."""
    request = SetModelDefaultRequest(agent_slug=agent, operation=operation, model_alias=alias)
    async with operator_clients(state, environment()) as clients:
        known = (await clients.models.ListModels(pb.ListModelsRequest())).models
        if alias and alias not in [each.alias for each in known]:
            raise NotFound(f"There is no model {alias}. `astra models list` shows those there are.")
        answer = await clients.model_defaults.SetModelDefault(request)
    _show([answer.model_default] if answer.HasField("model_default") else [], as_json=as_json)


@command(app, "defaults")
async def list_defaults(state: StateOption = DEFAULT_STATE_DIR, as_json: JsonOption = False) -> None:
    """List what is set for every agent, then for each."""
    async with operator_clients(state, environment()) as clients:
        found = (await clients.model_defaults.ListModelDefaults(ListModelDefaultsRequest())).model_defaults
    _show(found, as_json=as_json)


@command(app, "chat")
async def chat(
    alias: Annotated[str, typer.Argument(help="Alias of the model.")],
    message: Annotated[str, typer.Argument(help="What to say to it.")],
    state: StateOption = DEFAULT_STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """Ask a model once, without tools, and print its answer as it comes. No cap counts what it costs."""
    said = Message(role=ROLE_USER, parts=[Part(text=message)])
    request = pb.GenerateRequest(model_alias=alias, messages=[said])
    async with operator_clients(state, environment()) as clients:
        async for piece in clients.models.Generate(request, timeout=CHAT_SECONDS_MAX):
            if piece.text_delta and not as_json:
                print(plain(piece.text_delta), end="", flush=True)
            if piece.HasField("finished"):
                _end_chat(piece.finished, as_json=as_json)


def model_row(model: Model) -> tuple[str, ...]:
    """A model that is on, as a row of a table."""
    price = model.pricing
    return (
        model.alias,
        f"[{model.label}]",
        model.provider,
        f"{price.input_usd_micros / _PER_MILLION:g}",
        f"{price.output_usd_micros / _PER_MILLION:g}",
        " ".join(model.tags),
        " ".join(model.fallbacks),
    )


def _end_chat(finished: pb.GenerationFinished, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(message_json(finished)))
        return
    print()
    for each in finished.passed_over:
        say(f"in place of {each.model_alias}: {each.reason}")
    usage = finished.usage
    say(
        f"[{finished.model_label}] {usage.tokens_input} + {usage.tokens_output} tokens, "
        f"{dollars(finished.cost_usd_micros)}"
    )


def _show(defaults: Sequence[ModelDefault], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([message_json(each) for each in defaults]))
        return
    for each in defaults:
        print(
            f"{each.agent_slug or 'every agent'}  {each.operation or 'every operation'}  {each.model_alias}"
        )
