"""The tool that searches the text of all files at a run's pinned commit.

Patterns are POSIX extended regular expressions (`git grep -E`): every git has them and their cost does not
explode. What reads differently there than a model expects is refused with the way to write it, since a
pattern that silently means something else looks like "no match".
"""

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from services.tools.errors import PatternInvalid
from services.tools.git import GitError, GitTimeoutError, split_records, stream_git
from services.tools.repo_pages import LINE_CHARS_MAX, Page, Place, clip, cut_note
from services.tools.repo_paths import parse_glob, pathspecs, show_path
from services.tools.repo_snapshot import Snapshot

PATTERN_CHARS_MAX = 1024
CONTEXT_LINES_MAX = 10
HITS_COUNTED_MAX = 10_000
"""A search stops counting here and says "more than"."""
SEARCH_SECONDS_MAX = 20.0

NOT_POSIX = {
    "d": "[0-9]", "D": "[^0-9]", "t": "[[:blank:]]", "n": "$", "r": "[[:space:]]$",
    "x": "the character itself", "u": "the character itself", "p": "a class such as [[:alpha:]]",
    "A": "^", "Z": "$", "z": "$", "K": "plain text before it", "Q": "fixed", "E": "fixed",
}  # fmt: skip
"""Letters after a backslash that POSIX takes as plain letters, and what to write instead."""


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A line that matches; `text` is its visible part, at most about `LINE_CHARS_MAX` characters."""

    path: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Hits in the order of paths and lines, without their context lines."""

    hits: tuple[SearchHit, ...]
    text: str
    continuation: str


async def search_text(
    snapshot: Snapshot,
    pattern: str,
    *,
    fixed: bool = False,
    ignore_case: bool = False,
    glob: str = "",
    context_lines: int = 0,
    continuation: str = "",
) -> SearchResult:
    """Find the lines that match, as `git grep -n` does; binary files are left out.

    Raises PatternInvalid with the way to mend the pattern, also when the search takes too long.
    """
    check_pattern(pattern, fixed=fixed)
    context_lines = min(max(context_lines, 0), CONTEXT_LINES_MAX)
    place = Place(snapshot.commit, "search_text", (pattern, fixed, ignore_case, glob, context_lines))
    args: list[str] = [
        "grep", "-z", "-n", "--column", "-I", "--full-name", "--no-color", "-F" if fixed else "-E",
        *(["-i"] if ignore_case else []), f"-C{context_lines}", "-e", pattern, snapshot.commit, "--",
        *(pathspecs(parse_glob(glob)) if glob else []),
    ]  # fmt: skip
    try:
        return await _page(snapshot, args, place, continuation, glob)
    except GitError as error:
        if "-e option" not in error.stderr:
            raise
        said = error.stderr.rsplit(": ", 1)[-1]
        raise PatternInvalid(
            f"{pattern!r} is no POSIX extended regular expression: {said}. Put a backslash before "
            "( ) [ {{ . * + ? | that are meant as text, or set fixed to search for plain text."
        ) from None
    except GitTimeoutError:
        raise PatternInvalid(
            f"The search took longer than {SEARCH_SECONDS_MAX:g} s. Narrow it with glob, or simplify it."
        ) from None


def check_pattern(pattern: str, *, fixed: bool) -> None:
    """Refuse a pattern that git would read otherwise than it was meant. Raises PatternInvalid."""
    if not pattern or len(pattern) > PATTERN_CHARS_MAX:
        raise PatternInvalid(f"A pattern has 1 to {PATTERN_CHARS_MAX} characters.")
    if any(character in pattern for character in "\0\n\r"):
        raise PatternInvalid("A search is within one line: search for one line of it, without a line break.")
    if fixed:
        return
    for mistake in _mistakes(pattern):
        raise PatternInvalid(
            f"{pattern!r}: {mistake} Patterns are POSIX extended; or set fixed for plain text."
        )


def _mistakes(pattern: str) -> Iterator[str]:
    """Walk over escapes, bracket expressions and quantifiers."""
    token = re.compile(r"\\(.)|\[\^?\]?(?:\[:\w+:\]|[^\]])*\]|\(\?|[*+?}]\?|.")
    for found in token.finditer(pattern):
        part = found[0]
        if found[1] in NOT_POSIX:
            yield f"\\{found[1]} does not mean a class or place here; use {NOT_POSIX[found[1]]}."
        elif part.startswith("[") and "\\" in part.replace("\\\\", ""):
            yield f"in {part} a backslash is plain text; use [[:alnum:]_] and such, and put ] first, - last."
        elif part == "(?":
            yield "groups with (? are not known; use plain ( ), and ignore_case instead of (?i)."
        elif len(part) == 2 and part[1] == "?" and part[0] in "*+?}":
            yield f"lazy quantifiers are not known; leave out the second mark of {part}."


@dataclass(frozen=True, slots=True)
class _Line:
    path: bytes
    number: int
    column: int
    """Of the match, in bytes from 1. 0: a context line."""
    content: bytes


async def _page(
    snapshot: Snapshot, args: list[str], place: Place, continuation: str, glob: str
) -> SearchResult:
    start, seen, hits_total, page = place.position(continuation), 0, 0, Page()
    shown: list[SearchHit] = []
    files: set[bytes] = set()
    previous: _Line | None = None
    async with stream_git(
        args, git_dir=snapshot.git_dir, seconds_max=SEARCH_SECONDS_MAX, exit_codes=(0, 1)
    ) as chunks:
        async for line in _lines(chunks, len(snapshot.commit) + 1):
            if seen == start + len(page.lines) and page.add(*_render(line, previous)):
                shown += [_hit(line)] if line.column else []
                previous = line
            seen += 1
            hits_total += 1 if line.column else 0
            files.add(line.path)
            if hits_total > HITS_COUNTED_MAX and seen > start + len(page.lines):
                break
    end = start + len(page.lines)
    token = place.token(end) if end < seen else ""
    foot = cut_note(f"{len(shown):,} hits shown; or narrow the search with glob", token) if token else ""
    return SearchResult(tuple(shown), page.text(_head(hits_total, len(files), glob), foot), token)


def _head(hits: int, files: int, glob: str) -> str:
    if hits > HITS_COUNTED_MAX:
        return f"More than {HITS_COUNTED_MAX:,} hits:"
    if hits:
        return f"{hits:,} {'hit' if hits == 1 else 'hits'} in {files:,} {'file' if files == 1 else 'files'}:"
    where = f" in files that match {glob}" if glob else ""
    return f"No line matches{where}. Binary files are not searched."


def _hit(line: _Line) -> SearchHit:
    return SearchHit(show_path(line.path), line.number, _visible(line))


def _render(line: _Line, previous: _Line | None) -> tuple[str, ...]:
    """`path:line: text` for a hit, `path-line- text` for context, as git grep does."""
    mark = ":" if line.column else "-"
    text = f"{show_path(line.path)}{mark}{line.number}{mark} {_visible(line)}"
    continues = previous and previous.path == line.path and previous.number + 1 == line.number
    return (text,) if continues or previous is None or (previous.column and line.column) else ("--", text)


def _visible(line: _Line) -> str:
    """The line, or of a long one the part around the match."""
    around = LINE_CHARS_MAX < len(line.content) > line.column
    start = max(line.column - LINE_CHARS_MAX // 2, 0) if around else 0
    text = clip(line.content[start:].decode(errors="replace"))
    return f"[… {start:,} bytes] {text}" if start else text


async def _lines(chunks: AsyncIterator[bytes], commit_bytes: int) -> AsyncIterator[_Line]:
    """Parse `<commit>:<path> NUL <number> NUL [<column> NUL] <text>`; only hits have a column."""
    waiting = b""
    async for piece in split_records(chunks, b"\n"):
        record = waiting + piece
        if record == b"--":  # between groups of context
            continue
        if record.count(b"\0") < 2:  # a path may hold a line break
            waiting = record + b"\n"
            continue
        waiting = b""
        path, number, text = record.split(b"\0", 2)
        column, found, rest = text.partition(b"\0")
        is_hit = bool(found) and column.isdigit()
        yield _Line(path[commit_bytes:], int(number), int(column) if is_hit else 0, rest if is_hit else text)
