"""What a tool refuses or cannot do, each with a reason from the catalogue of error reasons.

A message is read by a model or an operator and says what to do next. Turning it into a gRPC status is left to
the interceptor that serves the tools.
"""

from typing import ClassVar


class ToolFailure(Exception):
    """A tool call that cannot be answered; `str()` of it says what to do instead."""

    reason: ClassVar[str]
    """Name in the catalogue of error reasons, without its prefix."""
    retryable_by_model: ClassVar[bool] = True
    """Whether other arguments may succeed. False: only the operator or time can help."""


class PathOutsideRepository(ToolFailure):
    """The path or glob leaves the repository."""

    reason = "PATH_OUTSIDE_REPOSITORY"


class PathIsSymlink(ToolFailure):
    """The path is a symlink or leads through one."""

    reason = "PATH_IS_SYMLINK"


class PathNotFound(ToolFailure):
    """Nothing is at the path."""

    reason = "PATH_NOT_FOUND"


class PathKindMismatch(ToolFailure):
    """A file was asked for where a folder is, or the other way."""

    reason = "PATH_KIND_MISMATCH"


class PatternInvalid(ToolFailure):
    """The pattern or glob cannot be read, or costs too much."""

    reason = "PATTERN_INVALID"


class ContinuationInvalid(ToolFailure):
    """The token belongs to other arguments."""

    reason = "CONTINUATION_INVALID"


class DocumentNotFound(ToolFailure):
    """No specification or record has the name, or several have."""

    reason = "DOCUMENT_NOT_FOUND"


class CommitNotFound(ToolFailure):
    """The commit is not in the repository, or not in the history shown."""

    reason = "COMMIT_NOT_FOUND"


class FieldInvalid(ToolFailure):
    """An argument breaks its rule."""

    reason = "FIELD_INVALID"


class RepositoryUnreachable(ToolFailure):
    """The repository cannot be cloned or refreshed now."""

    reason = "REPOSITORY_UNREACHABLE"
    retryable_by_model = False


class RepositoryTooLarge(ToolFailure):
    """The repository is larger than is kept of one here."""

    reason = "REPOSITORY_TOO_LARGE"
    retryable_by_model = False


class RepositoryNotRegistered(ToolFailure):
    """The repository is not registered for the tenant, or not for this run to read."""

    reason = "REPOSITORY_NOT_FOUND"


class ContainerNotRegistered(ToolFailure):
    """The channel or project is not on the tenant's allow-list, or not for this run."""

    reason = "CONTAINER_NOT_REGISTERED"


class ItemNotFound(ToolFailure):
    """The vendor has nothing there, or does not show it to us."""

    reason = "ITEM_NOT_FOUND"


class ArgumentsRefused(ToolFailure):
    """The vendor takes no such arguments."""

    reason = "VENDOR_REFUSED"


class OutcomeUnknown(ToolFailure):
    """The change may have been made or not, and nobody can be asked."""

    reason = "OUTCOME_UNKNOWN"
    retryable_by_model = False


class OriginThread(ToolFailure):
    """The call would write where the run's answer goes."""

    reason = "ORIGIN_THREAD_IS_ANSWERED_BY_PLATFORM"


class TrustRequired(ToolFailure):
    """The run's requesters do not belong to the place they wrote in."""

    reason = "TRUST_REQUIRED"
    retryable_by_model = False


class ApprovalRequired(ToolFailure):
    """A person must approve the call, and nobody can be asked yet."""

    reason = "APPROVAL_REQUIRED"
    retryable_by_model = False
