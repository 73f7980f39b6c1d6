"""What people read when a run pauses, or ends without an answer: what happened, which run, what to do."""

from __future__ import annotations

from datetime import timedelta

from aucert.astra.v1.task_run_pb2 import TaskRun
from services.worker.costs import Shortage

_ASK_AGAIN = "Write again here to start a new run."
_SMALLER = "Ask for less at once, or in parts."
_OPERATOR = "An operator can see more under that id."
_OPERATOR_RAISES = "Ask an operator to raise it, then write again here."
_FAILURES: dict[str, tuple[str, str]] = {
    "TURNS_EXCEEDED": ("it needed more steps than one run may take", _SMALLER),
    "TOKENS_EXCEEDED": ("it needed to read and write more than one run may", _SMALLER),
    "DEADLINE_EXCEEDED": ("it was not done in the time a run may take", _SMALLER),
    "MODEL_MISTAKES": ("the model kept calling tools wrongly or wrote nothing", "Say it in other words."),
    "MODEL_OUTPUT_EXCEEDED": ("the answer became longer than the model may write", _SMALLER),
    "MODEL_CONTEXT_EXCEEDED": ("the conversation became too long for the model", _SMALLER),
    "MODEL_UNAVAILABLE": ("the model's provider did not answer", _ASK_AGAIN),
    "MODEL_REFUSED": ("the model's provider refused the request", _OPERATOR),
    "MODEL_FILTERED": ("the model's provider filters what this conversation holds", "Say it in other words."),
    "MODEL_OFF": ("the model is not configured here", "Name another model, or ask an operator."),
    "MODEL_NOT_FOUND": ("there is no model of that name here", "Name another model."),
    "REPOSITORY_UNREACHABLE": ("the repository could not be cloned or refreshed", _ASK_AGAIN),
    "REPOSITORY_TOO_LARGE": ("the repository is larger than is kept of one here", _OPERATOR),
    "COMMIT_NOT_FOUND": ("the repository has not the branch or commit it should be read at", _OPERATOR),
    "BUDGET": ("it may spend no more, and nobody raised its cap in time", _OPERATOR_RAISES),
    "VENDOR_UNAVAILABLE": ("the service this thread is in did not answer", _ASK_AGAIN),
    "VENDOR_REFUSED": ("the service this thread is in refused us", _OPERATOR),
}
_CAPS = {
    "run": ("one run may spend", "astra budget set run {dollars} --run {run}", ""),
    "agent_day": (
        "this agent may spend in a day",
        "astra budget set agent-day {dollars} --agent {agent}",
        " or a new day begins (UTC)",
    ),
    "tenant_month": (
        "may be spent in a month",
        "astra budget set tenant-month {dollars}",
        " or a new month begins (UTC)",
    ),
}
"""What each cap limits, how an operator sets it, and what else ends the wait."""
_RAISES = {
    "github": "answers `/{agent} raise ${dollars}` here, or raises the cap as with",
    "slack": "answers `@{agent} raise ${dollars}` here, or raises the cap as with",
}
"""What an operator can do in threads whose source vouches for who writes there."""
_MICROS = 1_000_000
_UNFORESEEN = ("something went wrong on our side", f"{_ASK_AGAIN} {_OPERATOR}")


def failed_text(task_run_id: str, reason: str) -> str:
    """The notice of a failed run."""
    what, advice = _FAILURES.get(reason, _UNFORESEEN)
    return f"This could not be finished: {what} (`{reason}`, run `{task_run_id}`). {advice}"


def cancelled_text(task_run_id: str) -> str:
    """The notice of a run that was stopped."""
    return f"Stopped, as asked (run `{task_run_id}`). {_ASK_AGAIN}"


def paused_text(run: TaskRun, shortage: Shortage, wait: timedelta) -> str:
    """The notice of a run that waits for money, with what lets it go on."""
    what, command, otherwise = _CAPS[shortage.cap]
    enough = _whole_dollars(shortage.spent + shortage.reserved + shortage.needed)
    command = command.format(dollars=enough, run=run.task_run_id, agent=run.agent_slug)
    answer = _RAISES.get(run.address.WhichOneof("address") or "", "raises the cap, as with")
    answer = answer.format(agent=run.agent_slug, dollars=_whole_dollars(shortage.needed))
    limit, spent, needed = (_dollars(each) for each in (shortage.limit, shortage.spent, shortage.needed))
    return (
        f"Paused: of the {limit} that {what}, {spent} is spent, and the next step may cost up to {needed} "
        f"(run `{run.task_run_id}`). It goes on when an operator {answer} `{command}`{otherwise}, "
        f"and is given up after {_duration(wait)}."
    )


def _whole_dollars(micros: int) -> int:
    return -(-micros // _MICROS)


def _dollars(micros: int) -> str:
    """For people: cents, and as many more places as a small amount needs."""
    return f"${micros / _MICROS:.2f}" if micros >= _MICROS else f"${micros / _MICROS:.4f}"


def _duration(wait: timedelta) -> str:
    hours = wait / timedelta(hours=1)
    return f"{hours:g} hours" if hours >= 1 else f"{wait / timedelta(minutes=1):.0f} minutes"
