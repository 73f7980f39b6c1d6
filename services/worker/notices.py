"""What people read when a run ends without an answer: what happened, which run, what they can do."""

from __future__ import annotations

_ASK_AGAIN = "Write again here to start a new run."
_SMALLER = "Ask for less at once, or in parts."
_OPERATOR = "An operator can see more under that id."
_FAILURES: dict[str, tuple[str, str]] = {
    "TURNS_EXCEEDED": ("it needed more steps than one run may take", _SMALLER),
    "TOKENS_EXCEEDED": ("it needed to read and write more than one run may", _SMALLER),
    "DEADLINE_EXCEEDED": ("it was not done in the time a run may take", _SMALLER),
    "MODEL_MISTAKES": ("the model kept calling tools wrongly or wrote nothing", "Say it in other words."),
    "MODEL_CONTEXT_EXCEEDED": ("the conversation became too long for the model", _SMALLER),
    "MODEL_UNAVAILABLE": ("the model's provider did not answer", _ASK_AGAIN),
    "MODEL_REFUSED": ("the model's provider refused the request", _OPERATOR),
    "MODEL_OFF": ("the model is not configured here", "Name another model, or ask an operator."),
    "MODEL_NOT_FOUND": ("there is no model of that name here", "Name another model."),
    "REPOSITORY_UNREACHABLE": ("the repository could not be cloned or refreshed", _ASK_AGAIN),
    "REPOSITORY_TOO_LARGE": ("the repository is larger than is kept of one here", _OPERATOR),
    "COMMIT_NOT_FOUND": ("the repository has not the branch or commit it should be read at", _OPERATOR),
    "VENDOR_UNAVAILABLE": ("the service this thread is in did not answer", _ASK_AGAIN),
    "VENDOR_REFUSED": ("the service this thread is in refused us", _OPERATOR),
}
_UNFORESEEN = ("something went wrong on our side", f"{_ASK_AGAIN} {_OPERATOR}")


def failed_text(task_run_id: str, reason: str) -> str:
    """The notice of a failed run."""
    what, advice = _FAILURES.get(reason, _UNFORESEEN)
    return f"This could not be finished: {what} (`{reason}`, run `{task_run_id}`). {advice}"


def cancelled_text(task_run_id: str) -> str:
    """The notice of a run that was stopped."""
    return f"Stopped, as asked (run `{task_run_id}`). {_ASK_AGAIN}"
