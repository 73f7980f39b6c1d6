"""The vendor-neutral half of the admin API, under `/_sandbox/`: faults, calls, deliveries and their way.

JSON only, and said so by the caller: a page elsewhere can make a browser post a form here, not JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.sandbox.calls import Calls
from services.sandbox.faults import EVERY_MAX, TIMES_MAX, Fault, FaultError, Faults
from services.sandbox.webhooks import COPIES_MAX, SHUFFLE_SECONDS_MAX, Courier, Delivery, Manner

_Body = TypeVar("_Body", bound="AdminBody")


class AdminBody(BaseModel):
    """A body of the admin API: an unknown field is an error, so a typing mistake does not pass."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FaultBody(AdminBody):
    """`action` as `Fault.parse` reads it."""

    method: str = "*"
    path_pattern: str = Field(min_length=1, max_length=500)
    times: int = Field(default=1, ge=1, le=TIMES_MAX)
    every: int = Field(default=1, ge=1, le=EVERY_MAX)
    action: str


class MannerBody(AdminBody):
    """How letters travel, as `Manner` says it."""

    copies: int = Field(default=1, ge=1, le=COPIES_MAX)
    shuffle_seconds: float = Field(default=0.0, ge=0, le=SHUFFLE_SECONDS_MAX)
    retry_scale: float = Field(default=1.0, ge=0, le=1)
    seed: int = 0


async def parsed(request: web.Request, model: type[_Body]) -> _Body:
    """The request's JSON as `model`; anything else is answered with 415 or 422."""
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="send application/json")
    try:
        return model.model_validate_json(await request.read())
    except ValidationError as error:
        text = error.json(include_url=False, include_input=False)
        raise web.HTTPUnprocessableEntity(text=text, content_type="application/json") from None


@web.middleware
async def readable_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A fault that cannot be armed is answered with 422 and the reason."""
    try:
        return await handler(request)
    except FaultError as error:
        return web.json_response({"message": str(error)}, status=422)


class AdminRoutes:
    """`table` is the whole of it."""

    def __init__(self, faults: Faults, calls: Calls, couriers: Sequence[Courier]) -> None:
        self._faults = faults
        self._calls = calls
        self._couriers = couriers

    def table(self) -> list[web.RouteDef]:
        """Paths below `/_sandbox`."""
        return [
            web.get("/faults", self.list_faults),
            web.post("/faults", self.arm_fault),
            web.delete("/faults", self.clear_faults),
            web.get("/calls", self.list_calls),
            web.delete("/calls", self.clear_calls),
            web.get("/deliveries", self.list_deliveries),
            web.put("/manner", self.set_manner),
        ]

    async def list_faults(self, request: web.Request) -> web.Response:
        """The armed faults, oldest first."""
        del request
        return web.json_response({"faults": [_fault(*each) for each in self._faults.armed()]})

    async def arm_fault(self, request: web.Request) -> web.Response:
        """201 with the fault as it was understood."""
        body = await parsed(request, FaultBody)
        fault = Fault.parse(body.method, body.path_pattern, body.times, body.action, body.every)
        self._faults.arm(fault)
        return web.json_response(_fault(fault, fault.times), status=201)

    async def clear_faults(self, request: web.Request) -> web.Response:
        """Disarm them all."""
        del request
        self._faults.clear()
        return web.Response(status=204)

    async def list_calls(self, request: web.Request) -> web.Response:
        """How often each method and path of a vendor was called."""
        del request
        counts = self._calls.counts()
        return web.json_response({"calls": [{"method": m, "path": p, "count": n} for m, p, n in counts]})

    async def clear_calls(self, request: web.Request) -> web.Response:
        """Count from zero."""
        del request
        self._calls.clear()
        return web.Response(status=204)

    async def list_deliveries(self, request: web.Request) -> web.Response:
        """Every vendor's attempts, newest first."""
        del request
        log = [delivery for courier in self._couriers for delivery in courier.log()]
        log.sort(key=lambda delivery: delivery.delivered_at, reverse=True)
        return web.json_response({"deliveries": [delivery_json(each) for each in log]})

    async def set_manner(self, request: web.Request) -> web.Response:
        """How every vendor's letters travel from now on; what is left out is as the vendors send them."""
        manner = Manner(**(await parsed(request, MannerBody)).model_dump())
        for courier in self._couriers:
            courier.travel(manner)
        return web.Response(status=204)


def delivery_json(delivery: Delivery) -> dict[str, object]:
    """How one delivery went, the vendor's own words left out."""
    return {
        "id": delivery.id,
        "guid": delivery.letter.guid,
        "vendor": delivery.letter.vendor,
        "event": delivery.letter.event,
        "action": delivery.letter.action,
        "redelivery": delivery.letter.redelivery,
        "delivered_at": delivery.delivered_at.isoformat(),
        "duration_seconds": delivery.duration_seconds,
        "ok": delivery.ok,
        "status_code": delivery.status_code,
        "problem": delivery.problem,
        "response_body": delivery.response_body,
    }


def _fault(fault: Fault, left: int) -> dict[str, object]:
    return {
        "method": fault.method,
        "path_pattern": fault.path_pattern,
        "action": fault.action.value,
        "amount": fault.amount,
        "every": fault.every,
        "times_left": left,
    }
