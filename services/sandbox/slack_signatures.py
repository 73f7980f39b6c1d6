"""Which arguments a method of Slack's Web API takes, read from the methods of Slack's own SDK.

So a call with a misspelt or a missing argument fails here as it would at Slack, and nobody had to write the
lists down.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from functools import cache

from slack_sdk.web import WebClient

from services.sandbox.slack_domain import RefusedError

ALWAYS = frozenset({"token"})
TIMESTAMPS = ("ts", "thread_ts", "timestamp", "oldest", "latest")


class ArgumentsError(RefusedError):
    """`invalid_arguments`, with what is wrong."""

    def __init__(self, problem: str) -> None:
        super().__init__("invalid_arguments")
        self.problem = f"[ERROR] {problem}"


@cache
def signature(method: str) -> tuple[frozenset[str], frozenset[str]]:
    """All arguments of a method, as in "chat.postMessage", and those it cannot do without."""
    function = getattr(WebClient, method.replace(".", "_"))
    named = [
        each
        for each in inspect.signature(function).parameters.values()
        if each.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    required = frozenset(each.name for each in named if each.default is inspect.Parameter.empty)
    return frozenset(each.name for each in named), required


def check(method: str, arguments: Mapping[str, object]) -> None:
    """Raise ArgumentsError unless the SDK could have made this call."""
    known, required = signature(method)
    if unknown := arguments.keys() - known - ALWAYS:
        raise ArgumentsError(f"unknown argument: {', '.join(sorted(unknown))}")
    if missing := required - arguments.keys():
        raise ArgumentsError(f"missing required field: {', '.join(sorted(missing))}")
    for name in TIMESTAMPS:
        if not re.fullmatch(r"\d{1,15}(\.\d{1,9})?", str(arguments.get(name, "0"))):
            raise ArgumentsError(f"{name} is no timestamp")
