"""`astra budget`: set caps on spending, show them with what is spent, sum up what was used."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Annotated

import typer

from aucert.astra.v1 import budget_service_pb2 as pb
from aucert.astra.v1.budget_pb2 import Cap, CapKind, UsageDimension, UsageRow
from aucert.dispatcher.v1.dispatcher_service_pb2 import RingThreadsRequest
from services.cli.client import operator_clients
from services.cli.configuration import environment
from services.cli.reporting import say
from services.cli.show import as_json as message_json
from services.cli.show import dollars, table
from services.cli.spelling import JsonOption, StateOption, command, group
from services.cli.state import DEFAULT_STATE_DIR

KINDS = ("run", "agent-day", "tenant-month")
DIMENSIONS = ("day", "agent", "model")
CAPS_SHOWN_MAX = 200
THREADS_A_RING = 500
_MICROS = 1_000_000
_USAGE_HEADING = (
    *("day", "agent", "model", "calls", "abandoned"),
    *("in", "out", "cache read", "cache write", "cost"),
)
_LIMIT_DOLLARS_MAX = 1_000_000_000
app = group("Cap what may be spent, see what was.")


@command(app, "set")
async def set_cap(
    kind: Annotated[str, typer.Argument(help=" | ".join(KINDS))],
    amount: Annotated[str, typer.Argument(help="US dollars, as in 2.50. 0: no limit.")],
    agent: Annotated[str, typer.Option(help="For this agent only.")] = "",
    run: Annotated[str, typer.Option(help="For this run only; with kind run.")] = "",
    state: StateOption = DEFAULT_STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """Set a cap on spending; runs that waited for it go on at once."""
    if kind not in KINDS:
        raise typer.BadParameter(f"choose one of {', '.join(KINDS)}")
    try:
        limit = micros(amount)
    except ValueError as wrong:
        raise typer.BadParameter(str(wrong)) from None
    request = pb.SetCapRequest(
        kind=CapKind.Value(f"CAP_KIND_{kind.upper().replace('-', '_')}"),
        agent_slug=agent,
        task_run_id=run,
        limit_usd_micros=limit,
    )
    async with operator_clients(state, environment()) as clients:
        answer = await clients.budgets.SetCap(request)
        resumed = list(answer.resumed_thread_ids)
        for first in range(0, len(resumed), THREADS_A_RING):
            some = resumed[first : first + THREADS_A_RING]
            await clients.dispatcher.RingThreads(RingThreadsRequest(thread_ids=some))
    say(f"threads that waited for money and go on: {len(resumed)}")
    print(json.dumps(message_json(answer.cap)) if as_json else table([_cap_row(answer.cap)]))


@command(app, "show")
async def show_caps(state: StateOption = DEFAULT_STATE_DIR, as_json: JsonOption = False) -> None:
    """Show the caps and what is spent of them, the one set last first."""
    async with operator_clients(state, environment()) as clients:
        caps = (await clients.budgets.ListCaps(pb.ListCapsRequest(page_size=CAPS_SHOWN_MAX))).caps
    if as_json:
        print(json.dumps([message_json(each) for each in caps]))
    else:
        heading = ("cap", "for", "limit", "spent", "set aside", "set by")
        print(table([heading, *(_cap_row(each) for each in caps)]))


@command(app, "report")
async def report(
    first: Annotated[str, typer.Option("--from", help="First day, UTC. Empty: the first of the month.")] = "",
    last: Annotated[str, typer.Option("--to", help="Last day, UTC. Empty: today.")] = "",
    by: Annotated[str, typer.Option(help="What to tell apart, with commas.")] = ",".join(DIMENSIONS),
    state: StateOption = DEFAULT_STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """Sum up calls, tokens and cost by day, agent and model."""
    told_apart = [each for each in by.split(",") if each]
    if not set(told_apart) <= set(DIMENSIONS):
        raise typer.BadParameter(f"choose among {', '.join(DIMENSIONS)}")
    request = pb.GetUsageReportRequest(
        first_day=first,
        last_day=last,
        group_by=[UsageDimension.Value(f"USAGE_DIMENSION_{each.upper()}") for each in told_apart],
    )
    async with operator_clients(state, environment()) as clients:
        found = await clients.budgets.GetUsageReport(request)
    if as_json:
        print(json.dumps(message_json(found)))
        return
    say(f"{found.first_day} to {found.last_day}, UTC")
    print(table([_USAGE_HEADING, *map(_usage_row, found.rows), ("total", *_usage_row(found.total)[1:])]))


def micros(amount: str) -> int:
    """Millionths of a US dollar from "2", "$2" or "0.05". Raises ValueError for what is no such amount."""
    try:
        told = Decimal(amount.removeprefix("$")) * _MICROS
    except InvalidOperation:
        raise ValueError("give an amount in US dollars, as in 2.50") from None
    if not (told.is_finite() and told == int(told) and 0 <= told <= _LIMIT_DOLLARS_MAX * _MICROS):
        raise ValueError(f"give 0 to {_LIMIT_DOLLARS_MAX} US dollars with at most six places")
    return int(told)


def _cap_row(cap: Cap) -> tuple[str, ...]:
    kind = CapKind.Name(cap.kind).removeprefix("CAP_KIND_").lower().replace("_", "-")
    everybody = {"run": "every run", "agent-day": "every agent"}.get(kind, "the tenant")
    whose = cap.task_run_id or cap.agent_slug
    used = [dollars(each) for each in (cap.spent_usd_micros, cap.reserved_usd_micros)]
    counted = bool(cap.task_run_id) or kind == "tenant-month" or (kind == "agent-day" and bool(whose))
    return (
        kind,
        whose or everybody,
        dollars(cap.limit_usd_micros) if cap.limit_usd_micros else "none",
        *(used if counted else ("each", "each")),
        cap.set_by or "installation",
    )


def _usage_row(row: UsageRow) -> tuple[str, ...]:
    counts = (
        row.call_count,
        row.abandoned_call_count,
        row.tokens_input,
        row.tokens_output,
        row.tokens_cache_read,
        row.tokens_cache_write,
    )
    return (row.day, row.agent_slug, row.model_alias, *map(str, counts), dollars(row.cost_usd_micros))
