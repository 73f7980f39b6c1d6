"""A model's Markdown on its way to GitHub: nobody is pinged by accident, no mark of ours is forged.

It mentions nobody but the person who asked: other mentions keep their look and lose their effect. Code stays
as it is; what might not be code to GitHub is taken for none.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator

from services.tools.quoting import INVISIBLE
from services.tools.threads import LINE, next_fence

_OPENED = re.compile(r"(<!--\s*astra)(?=:)")
_BACKTICKS = re.compile(r"`+")
_ESCAPED_OR_BACKTICKS = re.compile(r"\\.|`+")
_TAG = re.compile(r"<[A-Za-z/!?]")
_AT = re.compile(r"&(?:#0*64|#[xX]0*40|commat);")
_MENTION = re.compile(
    r"(?<![A-Za-z0-9])@(?=[A-Za-z0-9&])(?P<name>[A-Za-z0-9_-]*(?:/[A-Za-z0-9._-]+)?)(?P<more>[&\\]?)"
)


def effect_marker(effect_id: str) -> str:
    """The hidden words by which what an effect made is found again."""
    return f"<!-- astra:effect {effect_id} -->"


def with_marker(text: str, effect_id: str) -> str:
    """A body as it is sent."""
    return f"{text}\n\n{effect_marker(effect_id)}" if text else effect_marker(effect_id)


def harmless(text: str, *, may_mention: str = "") -> str:
    """A model's Markdown without effects it should not have. `may_mention`: the one login that is pinged."""
    text = _OPENED.sub(rf"\1{INVISIBLE}", text)
    kept: list[str] = []
    certain = True
    for line, in_code in _lines(text):
        certain = certain or not line.strip()
        if in_code and certain:
            kept.append(line)
            continue
        codes, closed = _inline_code(line) if certain else ([], False)
        kept.append(_outside_code(line, codes, may_mention.lower()))
        certain = closed or not line.strip()
    return "".join(kept)


def _lines(text: str) -> Iterator[tuple[str, bool]]:
    """Each line with its ending, and whether a fence makes it code."""
    fence = ""
    for line in LINE.findall(text):
        was_open, fence = bool(fence), next_fence(line, fence)
        yield line, was_open or bool(fence)


def _inline_code(line: str) -> tuple[list[tuple[int, int]], bool]:
    """Where a line is code, and whether nothing in it reaches into the next lines of its paragraph.

    Inline code ends at the next run of as many backticks as it began with; without one it is none. Behind a
    tag nothing is certain, and a bar may end the cell of a table.
    """
    runs: defaultdict[int, list[int]] = defaultdict(list)
    for run in _BACKTICKS.finditer(line):
        runs[len(run[0])].append(run.start())
    codes: list[tuple[int, int]] = []
    closed, read_to = True, 0
    while found := _ESCAPED_OR_BACKTICKS.search(line, read_to):
        begin, read_to = found.start(), found.end()
        if found[0][0] == "\\":
            continue
        same = runs[read_to - begin]
        place = bisect_left(same, read_to)
        if place == len(same):
            closed = False
            continue
        end = same[place] + read_to - begin
        codes.append((begin, end))
        read_to = end
    tag = next((each.start() for each in _TAG.finditer(line) if not _within(each.start(), codes)), None)
    if tag is not None:
        codes, closed = [each for each in codes if each[1] <= tag], False
    return [(begin, end) for begin, end in codes if "|" not in line[begin:end]], closed


def _within(place: int, spans: list[tuple[int, int]]) -> bool:
    before = bisect_left(spans, (place,)) - 1
    return before >= 0 and place < spans[before][1]


def _outside_code(line: str, codes: list[tuple[int, int]], may_mention: str) -> str:
    parts: list[str] = []
    read_to = 0
    for begin, end in codes:
        parts += [_quiet(line[read_to:begin], may_mention), line[begin:end]]
        read_to = end
    return "".join([*parts, _quiet(line[read_to:], may_mention)])


def _quiet(text: str, may_mention: str) -> str:
    def silenced(found: re.Match[str]) -> str:
        allowed = found["name"].lower() == may_mention and not found["more"]
        return found[0] if allowed else f"@{INVISIBLE}{found[0][1:]}"

    return _MENTION.sub(silenced, _AT.sub(f"@{INVISIBLE}", text))
