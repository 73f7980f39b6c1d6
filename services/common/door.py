"""What every call passes on its way in: limit, identity, scope, field rules, errors, one log line.

One interceptor instead of a chain: each step is a plain function here, and a call is wrapped once.
Health and reflection are let through untouched, so load and a lost token cannot hide a service.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias

import grpc
import protovalidate
import structlog
from google.protobuf import descriptor_pool
from google.protobuf.message import Message
from grpc_status import rpc_status

from aucert.common.v1.scope_pb2 import (
    SCOPE_ANY_TENANT,
    SCOPE_RUNS_WORK,
    SCOPE_UNSPECIFIED,
    Scope,
    required_scope,
)
from services.common import metadata as keys
from services.common.caller import Caller, Principal, ToolCallOrigin, enter, new_request_id
from services.common.errors import (
    Exhausted,
    FieldInvalid,
    Forbidden,
    ServiceError,
    Unauthenticated,
    from_rpc,
    to_status,
)
from services.common.identity import Authenticator

OPEN_TO_ALL = ("/grpc.health.v1.Health/", "/grpc.reflection.v1alpha.ServerReflection/")
OVERLOAD_RETRY = timedelta(seconds=1)

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
log = structlog.get_logger()


@dataclass(slots=True)
class Load:
    """Calls under way, streams included, and the most there may be."""

    calls_max: int
    calls: int = 0


class Door(grpc.aio.ServerInterceptor):
    """The interceptor of every server. `calls_max` bounds the calls under way."""

    def __init__(self, authenticator: Authenticator, *, calls_max: int) -> None:
        self._authenticator = authenticator
        self._load = Load(calls_max)
        self._wrapped: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    async def intercept_service(  # pyright: ignore[reportIncompatibleMethodOverride] - generic per call there
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any]]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        method = handler_call_details.method
        if method.startswith(OPEN_TO_ALL):
            return await continuation(handler_call_details)
        if method not in self._wrapped:
            handler = await continuation(handler_call_details)
            if handler is None:  # pyright: ignore[reportUnnecessaryComparison] - grpc gives None for an unknown method
                return handler
            self._wrapped[method] = self._wrap(method, handler)
        return self._wrapped[method]

    def _wrap(self, method: str, handler: Any) -> grpc.RpcMethodHandler[Any, Any]:
        scope = scope_of(method)
        codec = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.unary_unary is not None:
            behaviour = handler.unary_unary

            async def unary(request: Message, context: Context) -> Any:
                async with self._passing(method, scope, request, context):
                    return await behaviour(request, context)

            return grpc.unary_unary_rpc_method_handler(unary, **codec)

        behaviour = handler.unary_stream

        async def stream(request: Message, context: Context) -> AsyncIterator[Any]:
            async with self._passing(method, scope, request, context):
                async for response in behaviour(request, context):
                    yield response

        return grpc.unary_stream_rpc_method_handler(stream, **codec)

    def _passing(self, method: str, scope: Scope.ValueType, request: Message, context: Context) -> _Passage:
        return _Passage(self._authenticator, self._load, method, scope, request, context)


class _Passage:
    """One call passing the door: entered before the method runs, left with its outcome."""

    def __init__(
        self,
        authenticator: Authenticator,
        load: Load,
        method: str,
        scope: Scope.ValueType,
        request: Message,
        context: Context,
    ) -> None:
        self._authenticator = authenticator
        self._load = load
        self._method = method
        self._scope = scope
        self._request = request
        self._context = context
        self._started = time.monotonic()
        self._request_id = new_request_id()

    async def __aenter__(self) -> None:
        self._load.calls += 1
        try:
            await self._admit()
        except BaseException as error:
            self._load.calls -= 1
            await self._answer(error)
            raise

    async def _admit(self) -> None:
        if self._load.calls > self._load.calls_max:
            raise Exhausted("Too many calls at once. Wait a second and repeat.", retry_after=OVERLOAD_RETRY)
        sent = {
            key: value for key, value in self._context.invocation_metadata() or () if isinstance(value, str)
        }
        self._request_id = sent.get(keys.REQUEST_ID) or self._request_id
        principal = await self._authenticator.principal(bearer_token(sent))
        if self._scope == SCOPE_UNSPECIFIED or self._scope not in principal.scopes:
            raise Forbidden(
                f"{principal.name} may not call {self._method}: it lacks {Scope.Name(self._scope)}.",
                metadata={"scope": Scope.Name(self._scope)},
            )
        check_fields(self._request)
        left = self._context.time_remaining()
        enter(
            Caller(
                request_id=self._request_id,
                tenant_id=tenant_of(principal, sent),
                principal=principal,
                deadline=None if left is None else time.monotonic() + left,  # pyright: ignore[reportUnnecessaryComparison]
                origin=origin_of(principal, sent),
                repository=sent.get(keys.REPOSITORY, ""),
            )
        )

    async def __aexit__(self, _type: object, error: BaseException | None, _trace: object) -> bool:
        self._load.calls -= 1
        if error is None:
            self._log("OK")
            return False
        await self._answer(error)
        return False

    async def _answer(self, error: BaseException) -> None:
        """Tell the caller, in the table's words; the unforeseen stays in the log."""
        if isinstance(error, grpc.aio.AbortError | GeneratorExit) or not isinstance(error, Exception):
            self._log("CANCELLED")
            return
        if isinstance(error, grpc.aio.AioRpcError):
            error = from_rpc(error)
        if not isinstance(error, ServiceError):
            log.error("call_failed", method=self._method, request_id=self._request_id, exc_info=error)
            error = ServiceError(
                f"Something went wrong here. The log has it under request {self._request_id}."
            )
        self._log(error.code.name, reason=error.reason)
        await self._context.abort_with_status(rpc_status.to_status(to_status(error)))

    def _log(self, code: str, **fields: str) -> None:
        log.info(
            "call",
            method=self._method,
            code=code,
            duration_ms=round((time.monotonic() - self._started) * 1000, 1),
            request_id=self._request_id,
            **fields,
        )


def bearer_token(sent: dict[str, str]) -> str:
    """The token of a call, without its scheme."""
    value = sent.get(keys.AUTHORIZATION, "")
    if not value.lower().startswith(keys.BEARER.lower()):
        raise Unauthenticated(
            "Send metadata `authorization: Bearer <token>`. `astra up` writes one to .astra/stack.json.",
            reason="TOKEN_MISSING",
        )
    return value[len(keys.BEARER) :].strip()


def tenant_of(principal: Principal, sent: dict[str, str]) -> str:
    """The tenant of a call: the principal's own, or the named one for services that act for any."""
    named = sent.get(keys.TENANT, "")
    if named and named != principal.tenant_id and SCOPE_ANY_TENANT not in principal.scopes:
        raise Forbidden(
            f"{principal.name} acts for its own tenant only.",
            metadata={"scope": Scope.Name(SCOPE_ANY_TENANT)},
        )
    return named or principal.tenant_id


def origin_of(principal: Principal, sent: dict[str, str]) -> ToolCallOrigin | None:
    """The run and call behind a tool call; only those who work on runs may name one."""
    run = sent.get(keys.TASK_RUN, "")
    if not run:
        return None
    if SCOPE_RUNS_WORK not in principal.scopes:
        raise Forbidden(
            f"{principal.name} may not act inside a run.", metadata={"scope": Scope.Name(SCOPE_RUNS_WORK)}
        )
    fence = sent.get(keys.FENCE, "0")
    return ToolCallOrigin(run, sent.get(keys.CALL_ID, ""), int(fence) if fence.isdecimal() else 0)


def check_fields(request: Message) -> None:
    """Hold a request against the rules in its contract. Raises FieldInvalid naming every field."""
    violations = protovalidate.collect_violations(request)
    if violations:
        raise FieldInvalid([(_path(each.proto.field), each.proto.message) for each in violations])


def _path(path: Any) -> str:
    parts: list[str] = []
    for element in path.elements:
        subscript = "" if element.subscript is None else f"[{element.subscript.value}]"
        parts.append(element.field_name + subscript)
    return ".".join(parts)


def scope_of(method: str) -> Scope.ValueType:
    """The scope a method's contract asks for; SCOPE_UNSPECIFIED, refused to all, if it names none."""
    service, _, name = method.lstrip("/").partition("/")
    found = descriptor_pool.Default().FindServiceByName(service).FindMethodByName(name)
    return found.GetOptions().Extensions[required_scope]
