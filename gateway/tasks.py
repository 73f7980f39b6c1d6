"""POST /api/tasks: ask an agent for something, with an API key."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from aucert.dispatcher.v1.dispatcher_service_pb2 import CreateTaskRequest
from gateway.parts import PARTS
from gateway.problems import problem
from services.common import metadata as keys
from services.common.caller import current_caller
from services.common.errors import Unauthenticated

API_KEY_HEADER = "X-API-Key"
CALL_TIMEOUT_SECONDS = 30.0


class TaskBody(BaseModel):
    """The body's shape; the limits of its fields are the contract's and checked there."""

    model_config = ConfigDict(extra="forbid", strict=True)

    message: str
    repository: str = ""
    operation: str = ""
    model: str = ""
    request_id: str = ""


async def create_task(request: web.Request) -> web.Response:
    """201 with the ids once the task is committed."""
    key = _api_key(request)
    try:
        body = TaskBody.model_validate_json(await request.read())
    except ValidationError as error:
        errors = [
            {"field": ".".join(str(part) for part in each["loc"]), "detail": each["msg"]}
            for each in error.errors(include_url=False, include_input=False)
        ]
        detail = "; ".join(f"{each['field'] or 'body'}: {each['detail']}" for each in errors)
        return problem(HTTPStatus.BAD_REQUEST, detail, reason="FIELD_INVALID", errors=errors)
    created = await request.app[PARTS].callers_dispatcher.CreateTask(
        CreateTaskRequest(**body.model_dump()),
        timeout=CALL_TIMEOUT_SECONDS,
        metadata=[
            (keys.AUTHORIZATION, keys.BEARER + key),
            (keys.REQUEST_ID, current_caller().request_id),
        ],
    )
    return web.json_response(
        {"task_run_id": created.task_run_id, "workflow_id": created.workflow_id}, status=HTTPStatus.CREATED
    )


def _api_key(request: web.Request) -> str:
    key = request.headers.get(API_KEY_HEADER, "").strip()
    if not key:
        raise Unauthenticated(f"Send the header {API_KEY_HEADER}.", reason="TOKEN_MISSING")
    if not (key.isascii() and key.isprintable()):
        raise Unauthenticated("Nobody has this key.")
    return key
