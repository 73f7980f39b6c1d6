"""The one place where a tool's own failures become errors of the gRPC door, and values for a model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from services.common.errors import FieldInvalid, Invalid, NotFound, Refused, ServiceError, Unavailable
from services.tools import errors
from services.tools.errors import ToolFailure
from services.tools.tool_arguments import ToolArgumentsInvalid

_KINDS: dict[type[ToolFailure], type[ServiceError]] = {
    errors.PathNotFound: NotFound,
    errors.DocumentNotFound: NotFound,
    errors.CommitNotFound: NotFound,
    errors.RepositoryUnreachable: Unavailable,
    errors.RepositoryTooLarge: Refused,
    errors.RepositoryNotRegistered: NotFound,
    errors.ContainerNotRegistered: NotFound,
    errors.ItemNotFound: NotFound,
    errors.ArgumentsRefused: Refused,
    errors.OutcomeUnknown: Refused,
    errors.OriginThread: Refused,
    errors.TrustRequired: Refused,
    errors.ApprovalRequired: Refused,
}


class ToolNotFound(NotFound):
    """No tool has this name."""

    reason = "TOOL_NOT_FOUND"


class ToolTooSlow(Unavailable):
    """The tool was ended because it took longer than it may."""

    reason = "SERVICE_UNAVAILABLE"


class RunRequired(Refused):
    """The tool reads a repository, and it is not clear which is meant."""

    reason = "RUN_REQUIRED"


class RunHasNoRepository(Refused):
    """The run was created without a repository."""

    reason = "RUN_HAS_NO_REPOSITORY"


def service_error(failure: ToolFailure) -> ServiceError:
    """The same failure as the typed services answer it; unlisted ones are the caller's mistake."""
    kind = _KINDS.get(type(failure), Invalid)
    return kind(str(failure), reason=failure.reason)


@contextmanager
def told_as_errors() -> Iterator[None]:
    """Let a tool's own failures leave the block as errors of the gRPC door."""
    try:
        yield
    except ToolFailure as failure:
        raise service_error(failure) from failure


def is_fixable(error: ServiceError) -> bool:
    """Whether the model made the mistake, so that other arguments may help."""
    if isinstance(error.__cause__, ToolFailure):
        return error.__cause__.retryable_by_model
    return isinstance(error, ToolNotFound | ToolArgumentsInvalid | FieldInvalid)
