"""What leaves an activity when it fails: a reason and ids, never content, for Temporal keeps it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import grpc
import structlog
from temporalio.exceptions import ApplicationError

from services.common.errors import Exists, Invalid, NotFound, Refused, ServiceError, from_rpc
from services.worker.pacing import RateLimited

MODEL_AWAY = "MODEL_UNAVAILABLE"
CALL_BROKEN = "MODEL_CALL_BROKEN"
"""Something unforeseen between a call's reservation and its turn on record: each try may be billed."""
ATTEMPTS_MAX = {MODEL_AWAY: 8, CALL_BROKEN: 3}
"""Attempts of one activity after which it is given up; a model that stays away, after about two minutes."""
FENCE_STALE = "FENCE_STALE"
BUDGET_EXHAUSTED = "BUDGET_EXHAUSTED"
RATE_LIMITED = "VENDOR_RATE_LIMITED"
"""Reason of an ending that must wait longer than it may hold a slot for."""
FINAL_KINDS = (Invalid, NotFound, Refused, Exists)
FINAL_REASONS = frozenset({"MODEL_REFUSED", "MODEL_CONTEXT_EXCEEDED", "MODEL_OFF", "MODEL_NOT_FOUND"})
INTERNAL = ServiceError.reason
MENDED_BY_A_NEW_ATTEMPT = frozenset({FENCE_STALE, "TASK_RUN_COMPLETED", "RESERVATION_NOT_OPEN"})
"""Refusals that a new attempt does not meet: it reads the record and the fence anew."""
log = structlog.get_logger()


class RunFailed(Exception):
    """The run cannot go on, whoever tries; `reason` becomes its outcome_reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@contextmanager
def only_reasons_leave(subject_id: str, *, attempt: int) -> Iterator[None]:
    """Let the enclosed activity fail with nothing but a reason and the id of what it worked on.

    `attempt` counts from 1. What was unforeseen is in this process's log, under the same id.
    """
    try:
        yield
    except RunFailed as error:
        raise _failure(error.reason, subject_id, final=True) from None
    except grpc.aio.AioRpcError as error:
        raise _from_service(from_rpc(error), subject_id, attempt) from None
    except ServiceError as error:
        raise _from_service(error, subject_id, attempt) from None
    except RateLimited as limited:
        raise _failure(RATE_LIMITED, subject_id, final=False, next_retry_delay=limited.delay) from None
    except Exception as error:
        log.exception("activity_failed", subject_id=subject_id, error=type(error).__name__)
        raise _failure(INTERNAL, subject_id, final=False) from None


@contextmanager
def each_try_may_be_billed(subject_id: str) -> Iterator[None]:
    """Let what is unforeseen in the enclosed step fail with CALL_BROKEN, which is tried a few times only."""
    try:
        yield
    except (RunFailed, RateLimited):
        raise
    except (grpc.aio.AioRpcError, ServiceError) as error:
        failure = error if isinstance(error, ServiceError) else from_rpc(error)
        if failure.reason == INTERNAL:
            failure.reason = CALL_BROKEN
        raise failure from None
    except Exception as error:
        log.exception("model_call_broken", subject_id=subject_id, error=type(error).__name__)
        raise ServiceError("Something went wrong around a model call.", reason=CALL_BROKEN) from None


def _from_service(error: ServiceError, subject_id: str, attempt: int) -> ApplicationError:
    return _failure(
        error.reason, subject_id, final=is_final(error, attempt=attempt), next_retry_delay=error.retry_after
    )


def is_final(error: ServiceError, *, attempt: int) -> bool:
    """Whether repeating the activity cannot help."""
    if error.reason in ATTEMPTS_MAX:
        return attempt >= ATTEMPTS_MAX[error.reason]
    if error.reason in MENDED_BY_A_NEW_ATTEMPT:
        return False
    return error.reason in FINAL_REASONS or isinstance(error, FINAL_KINDS)


def _failure(
    reason: str, subject_id: str, *, final: bool, next_retry_delay: timedelta | None = None
) -> ApplicationError:
    return ApplicationError(
        f"{reason} {subject_id}", type=reason, non_retryable=final, next_retry_delay=next_retry_delay
    )
