"""The label an answer opens with, naming the model that wrote it: exactly one, and the true one.

The prompt asks the model not to write it. Models do so all the same, having read labelled answers in the
thread, so what looks like a label at the very start is taken off before the true one is put on.
"""

from __future__ import annotations

import re

REOPENED_MAX = 100
"""Labels taken out of a heading or emphasis that is kept; each time, the text is put together anew."""
_BRACKETED = r"\[[A-Za-z]{1,4}\d{1,3}(?:\.\d{1,2})?\]"
_LABEL = (
    rf"{_BRACKETED}(?!\()(?!\[)(?!:\s*\S{{0,99}}//)|{_BRACKETED}(?={_BRACKETED})"  # a Markdown link is none
)
_EMPHASIS = r"\*{1,3}|_{1,3}|`"
_WRITTEN = re.compile(
    rf"\s*(?:(?P<mark>{_EMPHASIS})(?:{_LABEL}):?(?P=mark)|(?P<kept>(?:#{{1,6}}\s+)?(?:{_EMPHASIS})?)(?:{_LABEL})):?\s*"
)
"""A label in emphasis of its own, or one that opens a heading or emphasis, which is kept."""


def labelled(text: str, label: str) -> str:
    """Open a text with the label, given without brackets, in place of any the model wrote."""
    return f"[{label}] {bare(text)}"


def bare(text: str) -> str:
    """Take off every label at the start, emphasised or repeated, and the white space around the text."""
    start = reopened = 0
    while reopened < REOPENED_MAX and (found := _WRITTEN.match(text, start)):  # takes a label off
        start = found.end()
        if kept := found["kept"]:
            text, start, reopened = kept + text[start:], 0, reopened + 1
    return text[start:].strip()


def continuing(text: str, label: str) -> str:
    """A text that goes on where another stopped, without its own label if it opens with that once more."""
    begun = text.lstrip()
    return begun.removeprefix(f"[{label}]") if begun.startswith(f"[{label}]") else text
