"""Reading a provider's refusal: what it means in our words, and how long a rate limit lasts.

Providers put the same few troubles into different codes and sentences. What is recognised is here, as data;
their sentences are read for it and never repeated, since they can quote the conversation.
"""

from __future__ import annotations

import email.utils
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import httpx2

from services.common.billing import UNBILLED
from services.common.errors import ServiceError
from services.models.errors import (
    ModelContextExceeded,
    ModelFiltered,
    ModelRateLimited,
    ModelRefused,
    ModelUnavailable,
)

NEVER_REACHED = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
"""Why a request was not even sent, as both SDKs' transport says it."""
RATE_LIMIT_DEFAULT = timedelta(seconds=10)
RATE_LIMIT_MAX = timedelta(hours=1)
TOO_MANY_REQUESTS = 429
OVERLOADED = 529
_MAYBE_LATER = (408, 409, 424, 425)
_MAYBE_WORKED_ON = (408, 424)
"""Refusals that come after the model was set to work: too slow, or failed at it."""
_NOT_TAKEN = (503, OVERLOADED)
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_TOO_LONG_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error", "1261"})
_TOO_LONG = re.compile(
    r"maximum context length|context (?:length|size|window|limit)|(?:prompt|input) is too long"
    r"|too many tokens|exceeded model token limit|exceeds? max length",
    re.IGNORECASE,
)
_TOO_LONG_STATUSES = (400, 413)
_FILTERED_CODES = frozenset({"content_filter", "content_policy_violation", "1301"})
_RATE_LIMIT_CODES = frozenset({"rate_limit_exceeded", "rate_limit_error", "rate_limit_reached_error"})
_NO_MONEY_CODES = frozenset({"insufficient_quota", "exceeded_current_quota_error", "1113"})
"""Sent as rate limits by some, though waiting does not help."""


def refusal(
    alias: str,
    status: int,
    *,
    code: str,
    text: str,
    headers: Mapping[str, str],
    at_once: bool,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> ServiceError:
    """Say in our words what a provider answered. `text` is its own message, read and left out.

    `at_once`: it was the whole answer, and not told within a stream that had begun. The status, a code that
    is one word and whether the call surely costs nothing come along as metadata.
    """
    metadata = {"http_status": str(status)}
    if _CODE.fullmatch(code):
        metadata["provider_code"] = code
    # Some bill for reading what they then refuse to answer: Azure says so of its filter and its input limit.
    if code in _FILTERED_CODES:
        return ModelFiltered(f"The content filter of {alias} refuses this conversation.", metadata=metadata)
    if code in _TOO_LONG_CODES or (status in _TOO_LONG_STATUSES and _TOO_LONG.search(text)):
        return ModelContextExceeded(f"The conversation no longer fits {alias}.", metadata=metadata)
    if at_once and _surely_free(status):
        metadata |= UNBILLED
    if code in _RATE_LIMIT_CODES or (status == TOO_MANY_REQUESTS and code not in _NO_MONEY_CODES):
        message = f"The provider of {alias} asks to slow down."
        return ModelRateLimited(message, metadata=metadata, retry_after=retry_after(headers, now))
    if status >= 500 or status in _MAYBE_LATER:
        later = retry_after(headers, now) if status == OVERLOADED else None
        message = f"The provider of {alias} answered {status}. Try again."
        return ModelUnavailable(message, metadata=metadata, retry_after=later)
    return ModelRefused(f"The provider of {alias} refused the request ({status}).", metadata=metadata)


def broken_off(alias: str, *, reached: bool) -> ModelUnavailable:
    """What to raise when a provider cannot be reached, or was `reached` and the connection then broke."""
    message = f"The provider of {alias} cannot be reached, or broke off. Try again."
    return ModelUnavailable(message, metadata=None if reached else UNBILLED)


def _surely_free(status: int) -> bool:
    return (status < 500 and status not in _MAYBE_WORKED_ON) or status in _NOT_TAKEN


def retry_after(headers: Mapping[str, str], now: Callable[[], datetime]) -> timedelta:
    """How long a rate limit lasts: retry-after-ms, retry-after as seconds or a date, or a default."""
    delay = RATE_LIMIT_DEFAULT
    milliseconds, seconds = headers.get("retry-after-ms", ""), headers.get("retry-after", "")
    if milliseconds.isdecimal():
        delay = timedelta(milliseconds=min(int(milliseconds), RATE_LIMIT_MAX // timedelta(milliseconds=1)))
    elif seconds.isdecimal():
        delay = timedelta(seconds=min(int(seconds), RATE_LIMIT_MAX // timedelta(seconds=1)))
    elif seconds:
        try:
            delay = email.utils.parsedate_to_datetime(seconds) - now()
        except (ValueError, TypeError):  # no date, or one without a time zone
            delay = RATE_LIMIT_DEFAULT
    return min(max(delay, timedelta()), RATE_LIMIT_MAX)
