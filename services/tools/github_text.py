"""Texts on their way to and from GitHub: nobody is pinged by accident, nobody speaks for somebody else.

What people wrote is shown to the model behind "> ", line by line, so that no comment can pass for another or
for a tool's own words. What a model writes mentions nobody but the person who asked: other mentions keep
their look and lose their effect. Code stays as it is in both directions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from services.tools.threads import LINE, next_fence

LINE_CHARS_MAX = 1_000
"""A longer line is shown as several."""
INVISIBLE = "\N{ZERO WIDTH SPACE}"
_OURS = re.compile(r"<!--\s*astra:.*?-->", re.DOTALL)
_OPENED = re.compile(r"(<!--\s*astra)(?=:)")
_CODE = re.compile(r"(?P<ticks>`+).+?(?P=ticks)")
_MENTION = re.compile(r"(?<![A-Za-z0-9_])@(?=[A-Za-z0-9])(?P<name>[A-Za-z0-9-]{1,39}(?:/[A-Za-z0-9._-]+)?)")


def effect_marker(effect_id: str) -> str:
    """The hidden words by which what an effect made is found again."""
    return f"<!-- astra:effect {effect_id} -->"


def with_marker(text: str, effect_id: str) -> str:
    """A body as it is sent."""
    return f"{text}\n\n{effect_marker(effect_id)}" if text else effect_marker(effect_id)


def harmless(text: str, *, may_mention: str = "") -> str:
    """A model's Markdown without effects it should not have. `may_mention`: the one login that is pinged."""
    text = _OPENED.sub(rf"\1{INVISIBLE}", text)
    return "".join(
        line if in_code else _outside_code(line, may_mention.lower()) for line, in_code in _lines(text)
    )


def quoted(text: str | None) -> list[str]:
    """What a person wrote, as lines a reader cannot mistake for anything else; our own marks left out."""
    shown = _OURS.sub("", text or "").strip("\r\n")
    return [f"> {piece}" for line in shown.splitlines() for piece in _pieces(line)] or ["> (no text)"]


def one_line(text: str | None) -> str:
    """A title or a name, whatever it holds, on one line."""
    return " ".join((text or "").split())[:LINE_CHARS_MAX]


def _pieces(line: str) -> Iterator[str]:
    yield line[:LINE_CHARS_MAX]
    for start in range(LINE_CHARS_MAX, len(line), LINE_CHARS_MAX):
        yield line[start : start + LINE_CHARS_MAX]


def _lines(text: str) -> Iterator[tuple[str, bool]]:
    """Each line with its ending, and whether a fence makes it code."""
    fence = ""
    for line in LINE.findall(text):
        was_open, fence = bool(fence), next_fence(line, fence)
        yield line, was_open or bool(fence)


def _outside_code(line: str, may_mention: str) -> str:
    parts: list[str] = []
    end = 0
    for code in _CODE.finditer(line):
        parts += [_quiet(line[end : code.start()], may_mention), code[0]]
        end = code.end()
    return "".join([*parts, _quiet(line[end:], may_mention)])


def _quiet(text: str, may_mention: str) -> str:
    def silenced(found: re.Match[str]) -> str:
        return found[0] if found["name"].lower() == may_mention else f"@{INVISIBLE}{found['name']}"

    return _MENTION.sub(silenced, text)
