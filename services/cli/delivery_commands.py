"""`astra deliveries`: what vendors' webhooks brought, what became of it, and to handle one again."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from aucert.dispatcher.v1 import dispatcher_service_pb2 as pb
from aucert.dispatcher.v1.kept_delivery_pb2 import DeliveryStatus, KeptDelivery
from services.cli.client import operator_clients
from services.cli.configuration import environment
from services.cli.show import as_json as message_json
from services.cli.show import plain, table
from services.cli.spelling import JsonOption, StateOption, command, group
from services.cli.state import DEFAULT_STATE_DIR

LIMIT_MAX = 1_000
PAGES_MAX = 200
"""A page may hold few of what is asked for: each looks at a part of the inbox."""
_PREFIX = "DELIVERY_STATUS_"
STATUSES = [name.removeprefix(_PREFIX).lower() for name, number in DeliveryStatus.items() if number]
app = group("See what webhooks brought and what became of it; have one handled again.")


@command(app, "list")
async def list_deliveries(
    source: Annotated[str, typer.Option(help="Of this source only, as in github.")] = "",
    status: Annotated[str, typer.Option(help=f"Only these: {' | '.join(STATUSES)}.")] = "",
    hours: Annotated[float, typer.Option(min=0, help="Received in the last so many hours. 0: ever.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=LIMIT_MAX, help="How many at most.")] = 50,
    state: StateOption = DEFAULT_STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """List the newest deliveries."""
    if status and status not in STATUSES:
        raise typer.BadParameter(f"choose one of {', '.join(STATUSES)}")
    request = pb.ListDeliveriesRequest(source=source, page_size=min(limit, 200))
    request.status = DeliveryStatus.Value(f"{_PREFIX}{status.upper() or 'UNSPECIFIED'}")
    if hours:
        request.received_after.FromDatetime(datetime.now(UTC) - timedelta(hours=hours))
    found: list[KeptDelivery] = []
    async with operator_clients(state, environment()) as clients:
        for _ in range(PAGES_MAX):
            page = await clients.dispatcher.ListDeliveries(request)
            found += page.deliveries
            request.page_token = page.next_page_token
            if len(found) >= limit or not page.next_page_token:
                break
    _show(found[:limit], as_json=as_json)


@command(app, "show")
async def show_delivery(
    delivery_id: str, state: StateOption = DEFAULT_STATE_DIR, as_json: JsonOption = False
) -> None:
    """Show one delivery with its headers and body; what proves its sender is left out."""
    async with operator_clients(state, environment()) as clients:
        found = await clients.dispatcher.GetDelivery(pb.GetDeliveryRequest(delivery_id=delivery_id))
    headers = {each.name: each.value for each in found.headers}
    body = found.body.decode(errors="replace")
    if as_json:
        print(json.dumps({"delivery": message_json(found.delivery), "headers": headers, "body": body}))
        return
    told = message_json(found.delivery)
    print(table([(name, str(value)) for name, value in told.items()]))
    print(plain("\n".join(["", *(f"{name}: {value}" for name, value in headers.items()), "", body])))


@command(app, "redeliver")
async def redeliver(
    delivery_id: str, state: StateOption = DEFAULT_STATE_DIR, as_json: JsonOption = False
) -> None:
    """Have a delivery that is dead, ignored or waiting handled again now; it starts nothing twice."""
    async with operator_clients(state, environment()) as clients:
        asked = pb.RedeliverWebhookRequest(delivery_id=delivery_id)
        opened = (await clients.dispatcher.RedeliverWebhook(asked)).delivery
    if as_json:
        print(json.dumps(message_json(opened)))
    else:
        _show([opened], as_json=False)


@command(app, "refused")
async def list_refusals(
    days: Annotated[int, typer.Option(min=1, max=90, help="Days back, today among them.")] = 7,
    state: StateOption = DEFAULT_STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """Count what was refused, by day, source and reason; what it held is not kept."""
    async with operator_clients(state, environment()) as clients:
        counted = (await clients.dispatcher.ListRefusals(pb.ListRefusalsRequest(days=days))).refusals
    if as_json:
        print(json.dumps([message_json(each) for each in counted]))
    elif counted:
        print(table([(each.day, each.source, each.reason, str(each.refused_count)) for each in counted]))


def delivery_row(delivery: KeptDelivery) -> tuple[str, ...]:
    """A delivery in columns: id, when it came, source, status, failures, reason, name at its vendor."""
    return (
        delivery.delivery_id,
        f"{delivery.received_time.ToDatetime(UTC):%Y-%m-%d %H:%M:%S}",
        delivery.source,
        DeliveryStatus.Name(delivery.status).removeprefix(_PREFIX).lower(),
        f"{delivery.attempts} failures" if delivery.attempts else "",
        delivery.outcome_reason,
        delivery.external_id,
    )


def _show(deliveries: list[KeptDelivery], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([message_json(each) for each in deliveries]))
    elif deliveries:
        print(table([delivery_row(each) for each in deliveries]))
