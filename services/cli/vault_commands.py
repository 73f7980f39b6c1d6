"""`astra vault`: put tokens in, see which are there, who used them, rotate keys. Values are never shown."""

from __future__ import annotations

import json
import sys
from datetime import UTC
from typing import Annotated

import typer
from google.protobuf.timestamp_pb2 import Timestamp

from aucert.astra.v1 import token_vault_service_pb2 as pb
from aucert.astra.v1.token_vault_pb2 import (
    AuditEvent,
    Integration,
    TokenUse,
    VaultAction,
    VaultToken,
)
from services.cli.client import operator_clients
from services.cli.configuration import environment
from services.cli.reporting import say
from services.cli.show import as_json as message_json
from services.cli.show import table
from services.cli.spelling import JsonOption, StateOption, command, group
from services.cli.state import DEFAULT_STATE_DIR
from services.cli.vault_input import INTEGRATIONS, CredentialOdd, prompted, read_credential

STDIN_CHARS_MAX = 64 * 1024
PAGE_SIZE = 200
PAGES_MAX = 50
BATCHES_MAX = 10_000
USES = ("read", "write")
app = group("Keep what agents show to vendors, sealed; see who used it.")
IntegrationArgument = Annotated[str, typer.Argument(help=" | ".join(INTEGRATIONS))]
AgentOption = Annotated[str, typer.Option(help="Slug of the agent it is for. Empty: all without their own.")]


@command(app, "put")
async def put(
    integration: IntegrationArgument,
    agent: AgentOption = "",
    use: Annotated[list[str] | None, typer.Option(help="read | write. Left out: both.")] = None,
    field: Annotated[
        list[str] | None, typer.Option(help="What is no secret, as in app_id=12345 or workspace=acme.")
    ] = None,
    state: StateOption = DEFAULT_STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """Put a token in, or in the place of another: its value from stdin, or asked for on a terminal."""
    _check_integration(integration)
    if odd := set(use or ()) - set(USES):
        raise typer.BadParameter(f"--use {odd.pop()}: choose read or write")
    known = dict(_pair(each) for each in field or ())
    try:
        if sys.stdin.isatty():
            credential = prompted(integration, known, typer.prompt)
        else:
            credential = read_credential(integration, known, sys.stdin.read(STDIN_CHARS_MAX))
    except CredentialOdd as odd:
        raise typer.BadParameter(str(odd)) from None
    request = pb.PutTokenRequest(
        credential=credential,
        agent_slug=agent,
        uses=[TokenUse.Value(f"TOKEN_USE_{each.upper()}") for each in use or ()],
    )
    async with operator_clients(state, environment()) as clients:
        token = (await clients.vault.PutToken(request)).vault_token
    _show([token], as_json=as_json)


@command(app, "list")
async def list_tokens(state: StateOption = DEFAULT_STATE_DIR, as_json: JsonOption = False) -> None:
    """List the tokens, without their values."""
    found: list[VaultToken] = []
    request = pb.ListTokensRequest(page_size=PAGE_SIZE)
    async with operator_clients(state, environment()) as clients:
        for _ in range(PAGES_MAX):
            page = await clients.vault.ListTokens(request)
            found += page.vault_tokens
            request.page_token = page.next_page_token
            if not page.next_page_token:
                break
    _show(found, as_json=as_json)


@command(app, "remove")
async def remove(
    integration: IntegrationArgument, agent: AgentOption = "", state: StateOption = DEFAULT_STATE_DIR
) -> None:
    """Take a token out for good."""
    _check_integration(integration)
    request = pb.DeleteTokenRequest(integration=_integration(integration), agent_slug=agent)
    async with operator_clients(state, environment()) as clients:
        await clients.vault.DeleteToken(request)
    say(f"removed the token of {integration} for {agent or 'all agents'}")


@command(app, "rotate")
async def rotate(state: StateOption = DEFAULT_STATE_DIR, as_json: JsonOption = False) -> bool:
    """Seal all tokens anew with the first key of VAULT_KEY. Safe to stop and to repeat."""
    resealed, batch = 0, pb.RotateKeysResponse()
    async with operator_clients(state, environment()) as clients:
        for _ in range(BATCHES_MAX):
            batch = await clients.vault.RotateKeys(pb.RotateKeysRequest())
            resealed += batch.resealed_count
            if not (batch.resealed_count and batch.remaining_count):
                break
            say(f"sealed anew: {resealed}, left: {batch.remaining_count}")
    batch.resealed_count = resealed
    if as_json:
        print(json.dumps(message_json(batch)))
    else:
        print(f"key {batch.key_id}: {resealed} sealed anew, {batch.remaining_count} left")
    if batch.unreadable_count:
        keys = ", ".join(batch.unreadable_key_ids)
        say(f"{batch.unreadable_count} cannot be opened, sealed with {keys}: add that key to VAULT_KEY")
    return not (batch.remaining_count or batch.unreadable_count)


@command(app, "audit")
async def audit(
    integration: Annotated[str, typer.Option(help=" | ".join(INTEGRATIONS))] = "",
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many.")] = 50,
    state: StateOption = DEFAULT_STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """Show who did what with which token, newest first."""
    request = pb.ListAuditEventsRequest(page_size=limit)
    if integration:
        _check_integration(integration)
        request.integration = _integration(integration)
    async with operator_clients(state, environment()) as clients:
        events = (await clients.vault.ListAuditEvents(request)).audit_events
    if as_json:
        print(json.dumps([message_json(each) for each in events]))
    else:
        print(table([_AUDIT_HEADING, *map(_audit_row, events)]))


def _check_integration(name: str) -> None:
    if name not in INTEGRATIONS:
        raise typer.BadParameter(f"choose one of {', '.join(INTEGRATIONS)}")


def _integration(name: str) -> Integration.ValueType:
    return Integration.Value(f"INTEGRATION_{name.upper()}")


def _pair(given: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    if not equals:
        raise typer.BadParameter("--field is <name>=<value>")
    return name, value


def _show(tokens: list[VaultToken], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([message_json(each) for each in tokens]))
    else:
        print(table([_HEADING, *map(_row, tokens)]))


_HEADING = ("integration", "for", "uses", "key", "put by", "put at")
_AUDIT_HEADING = ("when", "what", "on behalf of", "by", "integration", "token for", "use", "run")


def _row(token: VaultToken) -> tuple[str, ...]:
    uses = ",".join(_word(TokenUse.Name(each), "TOKEN_USE_") for each in token.uses)
    integration = _word(Integration.Name(token.integration), "INTEGRATION_")
    whose = token.agent_slug or "all agents"
    return (integration, whose, uses, token.key_id, token.put_by, _time(token.put_time))


def _audit_row(event: AuditEvent) -> tuple[str, ...]:
    return (
        _time(event.created_time),
        _word(VaultAction.Name(event.action), "VAULT_ACTION_"),
        event.principal,
        event.called_by,
        _word(Integration.Name(event.integration), "INTEGRATION_"),
        event.agent_slug or "all agents",
        _word(TokenUse.Name(event.use), "TOKEN_USE_") if event.use else "",
        event.task_run_id,
    )


def _word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()


def _time(at: Timestamp) -> str:
    return at.ToDatetime(UTC).isoformat(timespec="seconds")
