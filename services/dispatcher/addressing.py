"""Whom a Markdown comment speaks to and what it asks for: mentions, commands, stop, model tags.

Only what a reader sees as the author's own words counts: not code, not quotes, not HTML comments.
Anybody can send 64 KiB of anything here, so everything takes time in proportion to the text's length.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from services.dispatcher.domain import TEXT_CHARS_MAX, Command

TAGS_MAX = 32
STOP_CHARS_MAX = 200

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_QUOTE = re.compile(r" {0,3}>")
_HTML_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_BACKTICKS = re.compile(r"`+")
_TAG = re.compile(r"(?<!\])\[([A-Za-z0-9][\w.-]{0,63})\](?![(\[:])")


def own_words(markdown: str) -> str:
    """The text without fenced and inline code, quoted lines and HTML comments."""
    kept: list[str] = []
    fence = ""
    for line in markdown[:TEXT_CHARS_MAX].splitlines():
        found = _FENCE.match(line)
        mark = found.group(1) if found else ""
        if fence:
            if mark.startswith(fence) and not line.strip().strip(mark[0]):
                fence = ""
        elif mark and not (mark[0] == "`" and "`" in line.strip()[len(mark) :]):
            fence = mark
        elif not _QUOTE.match(line):
            kept.append(line)
    return _without_inline_code(_HTML_COMMENT.sub(" ", "\n".join(kept)))


def _without_inline_code(text: str) -> str:
    """Inline code ends at the next run of as many backticks as it began with; without one it is none."""
    runs = [found.span() for found in _BACKTICKS.finditer(text)]
    nearest: dict[int, int] = {}
    closing: dict[int, int] = {}
    for begin, end in reversed(runs):
        if end - begin in nearest:
            closing[begin] = nearest[end - begin]
        nearest[end - begin] = end
    kept: list[str] = []
    read_to = 0
    for begin, _ in runs:
        if begin >= read_to and begin in closing:
            kept.append(text[read_to:begin])
            read_to = closing[begin]
    return " ".join([*kept, text[read_to:]])


def addressed_agent(words: str, handles: Mapping[str, str]) -> str | None:
    """Slug of the agent the words speak to: a leading `/handle`, else the first `@handle`.

    `handles` maps lower-case handles to slugs. A handle inside an e-mail address, a path or a longer
    name is none.
    """
    if not handles:
        return None
    names = "|".join(re.escape(name) for name in sorted(handles, key=len, reverse=True))
    command = re.match(rf"\s*/({names})(?=\s+\S)", words, re.IGNORECASE)
    mention = re.search(rf"(?<![\w@/.+-])@({names})(?:\[bot\])?(?![\w/@]|[-.]\w)", words, re.IGNORECASE)
    found = command or mention
    return _agent_called(found.group(1), handles) if found else None


def _agent_called(said: str, handles: Mapping[str, str]) -> str | None:
    """By the pattern's own idea of case: it takes a long s for an s, which `str.lower` does not."""
    fits = (slug for name, slug in handles.items() if re.fullmatch(re.escape(name), said, re.IGNORECASE))
    return next(fits, None)


def command(words: str, handles: Mapping[str, str], *, spoken_to: bool = False) -> Command | None:
    """The command the words are: `/handle command` with anything behind it, or `@handle command` alone.

    A stop is always alone. `spoken_to`: the words are for the agent anyway, so a lone `stop` is one too.
    """
    said = words.strip()
    names = "|".join(re.escape(name) for name in handles) or r"(?!)"
    known = f"(?ai:{'|'.join(Command)})"  # a: no letter beyond ASCII is the same but for its case
    alone = re.fullmatch(rf"[@/](?:{names})[,:]?\s+({known})[\s.!]*", said[:STOP_CHARS_MAX], re.IGNORECASE)
    if alone and len(said) <= STOP_CHARS_MAX:
        return Command(alone.group(1).lower())
    if spoken_to and re.fullmatch(r"stop[\s.!]*", said[:STOP_CHARS_MAX], re.IGNORECASE):
        return Command.STOP
    begun = re.match(rf"/(?:{names})\s+({known})(?=\s)", said, re.IGNORECASE)
    found = Command(begun.group(1).lower()) if begun else None
    return None if found is Command.STOP else found


def model_tags(words: str) -> tuple[str, ...]:
    """The words in single brackets, lower-case, in order, at most TAGS_MAX; links are none."""
    found = dict.fromkeys(match.group(1).lower() for match in _TAG.finditer(words))
    return tuple(found)[:TAGS_MAX]
