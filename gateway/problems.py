"""One way to answer: every request gets an id, every failure becomes problem JSON (RFC 9457)."""

from __future__ import annotations

import math
import re
import time
from http import HTTPStatus

import grpc
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from services.common.caller import Caller, calling, new_request_id
from services.common.errors import ServiceError, from_rpc

REQUEST_ID_HEADER = "X-Request-Id"
RETRY_AFTER_SECONDS = {HTTPStatus.TOO_MANY_REQUESTS: 1, HTTPStatus.SERVICE_UNAVAILABLE: 5}
PROBLEM_JSON = "application/problem+json"

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_STATUSES = {
    grpc.StatusCode.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    grpc.StatusCode.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    grpc.StatusCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS: HTTPStatus.CONFLICT,
    grpc.StatusCode.FAILED_PRECONDITION: HTTPStatus.CONFLICT,
    grpc.StatusCode.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    grpc.StatusCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
}

log = structlog.get_logger()


@web.middleware
async def answering(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a request under its id (taken over from X-Request-Id where it is a plain one), and log it."""
    started = time.monotonic()
    sent = request.headers.get(REQUEST_ID_HEADER, "")
    request_id = sent if _REQUEST_ID.fullmatch(sent) else new_request_id()
    with calling(Caller(request_id=request_id, tenant_id="")):
        response = await _answer(request, handler, request_id)
    response.headers[REQUEST_ID_HEADER] = request_id
    route = request.match_info.route.resource
    log.info(
        "request",
        method=request.method,
        route=route.canonical if route else "",
        status=response.status,
        duration_ms=round((time.monotonic() - started) * 1000, 1),
        request_id=request_id,
    )
    return response


async def _answer(request: web.Request, handler: Handler, request_id: str) -> web.StreamResponse:
    try:
        return await handler(request)
    except grpc.aio.AioRpcError as error:
        return of_error(from_rpc(error))
    except ServiceError as error:
        return of_error(error)
    except web.HTTPException as error:
        response = problem(HTTPStatus(error.status), error.text or error.reason)
        if isinstance(error, web.HTTPMethodNotAllowed):
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except Exception as error:
        log.error("request_failed", request_id=request_id, exc_info=error)
        return problem(
            HTTPStatus.INTERNAL_SERVER_ERROR, f"Something went wrong here. The log has it under {request_id}."
        )


def status_of(error: ServiceError) -> HTTPStatus:
    """The HTTP status an error is answered with."""
    return _STATUSES.get(error.code, HTTPStatus.INTERNAL_SERVER_ERROR)


def of_error(error: ServiceError) -> web.Response:
    """The problem an error is, with Retry-After where repeating helps."""
    response = problem(status_of(error), error.message, reason=error.reason)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(math.ceil(error.retry_after.total_seconds()))
    return response


def problem(
    status: HTTPStatus, detail: str, *, reason: str = "", errors: list[dict[str, str]] | None = None
) -> web.Response:
    """Problem JSON. `errors` names fields, as [{"field": …, "detail": …}]."""
    body: dict[str, object] = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
    }
    if reason:
        body["reason"] = reason
    if errors:
        body["errors"] = errors
    response = web.json_response(body, status=status, content_type=PROBLEM_JSON)
    if status in RETRY_AFTER_SECONDS:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS[status])
    if status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        response.force_close()  # the rest of the body is not read
    return response
