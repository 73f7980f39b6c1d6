"""How the record reads on a page: words, amounts, times, links. What people and models wrote stays text."""

from __future__ import annotations

import re
from datetime import UTC
from urllib.parse import urlsplit

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

from aucert.astra.v1.task_event_pb2 import TaskEvent
from aucert.astra.v1.task_run_pb2 import (
    TASK_RUN_STATUS_COMPLETED,
    TaskRun,
    TaskRunOutcome,
    TaskRunStatus,
    WaitReason,
)
from aucert.common.v1.thread_pb2 import Source

# Characters that reorder or hide what is around them, and control characters that text has no use for.
_UNSEEN = re.compile(
    "[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
)


_CUTS = {
    "length": "cut at its output limit",
    "content_filter": "cut by the provider's filter",
    "malformed": "could not be read whole",
}


def visible(value: object) -> object:
    """What a page prints: characters that deceive the eye are spelled out, as in `U+202E`."""
    if type(value) is not str:  # markup of our own templates is a subclass
        return value
    return _UNSEEN.sub(lambda found: f"U+{ord(found.group()):04X}", value)


def web_link(url: str) -> str:
    """The link, if it leads to a web page; empty for any other scheme."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return url if parts.scheme in ("http", "https") and parts.hostname else ""


def words_of(enum: EnumDescriptor, prefix: str) -> dict[str, int]:
    """The values of an enum by their words in the record; the unspecified one is left out."""
    return {each.name.removeprefix(prefix).lower(): each.number for each in enum.values if each.number}


STATUSES = words_of(TaskRunStatus.DESCRIPTOR, "TASK_RUN_STATUS_")
OUTCOMES = words_of(TaskRunOutcome.DESCRIPTOR, "TASK_RUN_OUTCOME_")
SOURCES = words_of(Source.DESCRIPTOR, "SOURCE_")
WAITS = words_of(WaitReason.DESCRIPTOR, "WAIT_REASON_")


def _word(words: dict[str, int], number: int) -> str:
    return next((word for word, each in words.items() if each == number), "unknown")


def spoken(word: str) -> str:
    """A word of the record for people: `in_progress` becomes `in progress`."""
    return word.replace("_", " ")


def state(run: TaskRun) -> str:
    """The outcome once there is one, else the status, as the record writes it."""
    if run.status == TASK_RUN_STATUS_COMPLETED:
        return _word(OUTCOMES, run.outcome)
    return _word(STATUSES, run.status)


def source(run: TaskRun) -> str:
    """Where the event came from."""
    return spoken(_word(SOURCES, run.source))


def place(run: TaskRun) -> str:
    """The thread, as people name it."""
    if run.address.HasField("github"):
        return f"{run.address.github.repository}#{run.address.github.number}"
    return run.workflow_id


def waiting_for(run: TaskRun) -> str:
    """What a waiting run waits for; empty when it does not wait."""
    return spoken(_word(WAITS, run.waiting_for)) if run.waiting_for else ""


def money(usd_micros: int) -> str:
    """Millionths of a US dollar."""
    return f"${usd_micros / 1_000_000:,.4f}"


def count(number: int) -> str:
    """A number with its thousands apart."""
    return f"{number:,}"


def span(milliseconds: int) -> str:
    """A length of time, short."""
    if milliseconds < 1_000:
        return f"{milliseconds} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1_000:.1f} s"
    minutes, rest = divmod(milliseconds // 1_000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def cut(word: str) -> str:
    """Why a model stopped before its end, for people."""
    return _CUTS.get(word, spoken(word))


def moment(time: Timestamp) -> str:
    """A time for people, in UTC."""
    return time.ToDatetime(tzinfo=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def tokens(run: TaskRun) -> str:
    """What a run read and wrote, cached tokens apart."""
    cached = run.tokens_cache_read + run.tokens_cache_write
    apart = f" + {count(cached)} cached ({run.cache_hit_rate:.0%} from the cache)" if cached else ""
    return f"{count(run.tokens_input)} in{apart}, {count(run.tokens_output)} out"


def happening(event: TaskEvent) -> str:  # noqa: PLR0911 - one line a kind of event, read as a table
    """What an event says that is neither a turn nor a tool call."""
    match event.WhichOneof("detail"):
        case "agent_started":
            return f"Started with {event.agent_started.model_alias}"
        case "attempt_restarted":
            return f"Taken up again; model calls abandoned: {event.attempt_restarted.abandoned_calls}"
        case "follow_up":
            return "A later message of the thread was taken in"
        case "stop_requested":
            return f"Stop asked by {event.stop_requested.requester or 'somebody'}"
        case "waiting":
            return f"Waits for {spoken(event.waiting.waiting_for)}"
        case "budget_resumed":
            return f"Goes on: {event.budget_resumed.set_by or 'a new day'} {spoken(event.budget_resumed.cap)}"
        case "notice":
            return f"Notice posted: {spoken(event.notice.kind)}"
        case "notice_undelivered":
            return f"Notice not delivered: {event.notice_undelivered.reason}"
        case "agent_completed":
            done = event.agent_completed
            return f"Ended: {done.outcome} {done.outcome_reason}".rstrip()
        case _:
            return "Something this release does not know"
