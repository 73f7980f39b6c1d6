"""The one table from what went wrong to what the caller is told.

A service raises subclasses of these with its own `reason`, which must be in `ErrorReason`
(error_reason.proto). The door (`door.py`) turns them into `google.rpc.Status` with exactly one
`ErrorInfo`; nothing else in the code base picks a status code.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from services.common.told import ToldToPeople

ERROR_DOMAIN = "astra.aucert"


class ServiceError(ToldToPeople):
    """Something a caller should know about.

    The message is for a person and says what to do next; it never holds a secret or vendor text.
    """

    code: grpc.StatusCode = grpc.StatusCode.INTERNAL
    reason: str = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        retry_after: timedelta | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = dict(metadata or {})
        self.retry_after = retry_after
        if reason is not None:
            self.reason = reason


class Invalid(ServiceError):
    """The request can never succeed as it is."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "FIELD_INVALID"


class FieldInvalid(Invalid):
    """Fields break their rules; each violation is (field path, what is wrong)."""

    def __init__(self, violations: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{field}: {text}" for field, text in violations))
        self.violations = violations


class Unauthenticated(ServiceError):
    """We do not know who calls."""

    code = grpc.StatusCode.UNAUTHENTICATED
    reason = "TOKEN_INVALID"


class Forbidden(ServiceError):
    """We know who calls, and they may not."""

    code = grpc.StatusCode.PERMISSION_DENIED
    reason = "SCOPE_MISSING"


class NotFound(ServiceError):
    """It is not there, or not in the caller's tenant."""

    code = grpc.StatusCode.NOT_FOUND


class Exists(ServiceError):
    """It is there already, as something else."""

    code = grpc.StatusCode.ALREADY_EXISTS


class Refused(ServiceError):
    """The state of things forbids it; repeating does not help."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class Exhausted(ServiceError):
    """Too much at once; `retry_after` says when to try again."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = "OVERLOADED"


class Unavailable(ServiceError):
    """Something needed is away; repeat later."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "SERVICE_UNAVAILABLE"


def to_status(error: ServiceError) -> status_pb2.Status:
    """Render an error as `google.rpc.Status` with one ErrorInfo."""
    status = status_pb2.Status(code=error.code.value[0], message=error.message)
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN, metadata=error.metadata)
    status.details.add().Pack(info)
    if isinstance(error, FieldInvalid):
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=field, description=text)
            for field, text in error.violations
        ]
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=violations))
    if error.retry_after is not None:
        delay = Duration()
        delay.FromTimedelta(error.retry_after)
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return status


_BY_CODE: dict[grpc.StatusCode, type[ServiceError]] = {
    cls.code: cls
    for cls in (Invalid, Unauthenticated, Forbidden, NotFound, Exists, Refused, Exhausted, Unavailable)
}


def from_rpc(error: grpc.aio.AioRpcError) -> ServiceError:
    """Read back an error another service answered with.

    One of ours keeps its reason and message. Anything else, a dead connection or a passed deadline
    included, is `Unavailable` where repeating may help and a bare `ServiceError` otherwise.
    """
    status = rpc_status.from_call(error)  # pyright: ignore[reportArgumentType] - it reads trailing metadata only
    info = error_details_pb2.ErrorInfo()
    retry = error_details_pb2.RetryInfo()
    if status is not None:
        for detail in status.details:
            _ = detail.Unpack(info) or detail.Unpack(retry)
    code = error.code()
    if info.domain == ERROR_DOMAIN and code in _BY_CODE:
        found = _BY_CODE[code](error.details() or "", metadata=info.metadata, reason=info.reason)
        if retry.HasField("retry_delay"):
            found.retry_after = retry.retry_delay.ToTimedelta()
        return found
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return Unavailable("A service this one needs does not answer. Try again shortly.")
    return ServiceError("Something went wrong in another service; its log has it.")


class RoleTooPowerful(ToldToPeople):
    """A service's database role could look past row-level security: it does not start."""
