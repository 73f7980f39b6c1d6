"""The tool that shows a file's shape: headings of a document, definitions of code, with lines to read next.

Python is parsed; other languages are recognised line by line by conservative patterns, which rather miss an
unusual definition than invent one. Names across files are the search tool's.
"""

import ast
import asyncio
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from services.tools.repo_languages import patterns
from services.tools.repo_pages import Page, clip
from services.tools.repo_paths import parse_path
from services.tools.repo_snapshot import Snapshot, is_binary, read_blob, require_file, split_lines

OUTLINE_BYTES_MAX = 1024 * 1024
"""Of a larger file only this beginning is outlined."""
OUTLINE_ENTRIES_MAX = 400
TITLE_CHARS_MAX = 160
DEFINITION_CHARS_MAX = 300
"""Of a line, what patterns look at."""
DEPTH_MAX = 20

DOCUMENTS = (".md", ".mdx", ".markdown")
FRONT_MATTER = "---"
ATX = re.compile(r" {0,3}(#{1,6})[ \t]+(\S.*)")
UNDERLINE = re.compile(r" {0,3}(?:=+|-{3,})[ \t]*")
PARAGRAPH = re.compile(r" {0,3}[^\s>|*+#-]")


@dataclass(frozen=True, slots=True)
class OutlineEntry:
    """A heading or definition; `line` counts from 1, `depth` from 0."""

    line: int
    depth: int
    title: str


@dataclass(frozen=True, slots=True)
class Outline:
    """A file's headings or definitions in order, at most `OUTLINE_ENTRIES_MAX`."""

    path: str
    entries: tuple[OutlineEntry, ...]
    text: str


async def outline_file(snapshot: Snapshot, path: str) -> Outline:
    """Outline a file. A file of an unknown or binary kind has no entries, and the text says so."""
    entry = await require_file(snapshot, parse_path(path))
    blob = await read_blob(snapshot, entry, bytes_max=OUTLINE_BYTES_MAX, cut=True)
    shown = entry.shown
    if is_binary(blob.content):
        return Outline(shown, (), f"{shown} is binary, {blob.size_bytes:,} bytes; it has no outline.")
    lines = split_lines(blob.content)
    found = await asyncio.to_thread(outline, shown, lines)  # parsing a large file would hold up the others
    page = Page(OUTLINE_ENTRIES_MAX)
    kept = tuple(one for one in found if page.add(f"{one.line}\t{'  ' * one.depth}{one.title}"))
    if not kept:
        return Outline(
            shown, (), f"{shown} has {len(lines):,} lines and no outline; read it with repo_read_file."
        )
    cut = [f"The outline is cut after line {kept[-1].line:,}; {len(found) - len(kept):,} entries follow."]
    cut = cut if len(kept) < len(found) else []
    if blob.size_bytes > OUTLINE_BYTES_MAX:
        cut.append(f"Only the first {OUTLINE_BYTES_MAX:,} of {blob.size_bytes:,} bytes are outlined.")
    foot = f"[{' '.join(cut)} Read on with repo_read_file or repo_search_text.]" if cut else ""
    return Outline(shown, kept, page.text(f"{shown}, {len(lines):,} lines:", foot))


def outline(name: str, lines: Sequence[str]) -> list[OutlineEntry]:
    """The headings or definitions of a file by its name's ending."""
    path = PurePosixPath(name.lower())
    if path.suffix in DOCUMENTS:
        return list(headings(lines))
    if path.suffix in (".py", ".pyi"):
        return _python(lines)
    known = patterns(path)
    return list(_definitions(lines, known)) if known else []


def headings(lines: Iterable[str]) -> Iterator[OutlineEntry]:
    """ATX and underlined headings of Markdown, outside fenced code and front matter."""
    fence, previous = "", ""
    for number, line in enumerate(lines, 1):
        mark = re.match(r" {0,3}(`{3,}|~{3,})", line)
        if number == 1 and line.strip() == FRONT_MATTER:
            fence = FRONT_MATTER
        elif fence:
            closes = line.strip() == fence if fence == FRONT_MATTER else line.strip().startswith(fence)
            fence = "" if closes else fence
        elif mark:
            fence = mark[1]
        elif found := ATX.match(line[:DEFINITION_CHARS_MAX]):
            title = found[2].rstrip("# \t") or found[2]
            yield OutlineEntry(number, len(found[1]) - 1, clip(title, TITLE_CHARS_MAX))
        elif UNDERLINE.fullmatch(line[:DEFINITION_CHARS_MAX]) and PARAGRAPH.match(previous):
            depth = 0 if "=" in line else 1
            yield OutlineEntry(number - 1, depth, clip(previous.strip(), TITLE_CHARS_MAX))
        previous = "" if fence else line


def _python(lines: Sequence[str]) -> list[OutlineEntry]:
    try:
        return list(_python_body(ast.parse("\n".join(lines)).body, 0, lines))
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # another Python's syntax, or cut by size
        return list(_definitions(lines, (r"(?:async\s+def|def|class)\s+\w+",)))


def _python_body(body: Iterable[ast.AST], depth: int, lines: Sequence[str]) -> Iterator[OutlineEntry]:
    """Definitions also below `if` and `try`, and within functions only classes and functions of theirs."""
    for node in body:
        inner = depth
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield OutlineEntry(node.lineno, depth, _signature(node, lines))
            inner = depth + 1
        if inner < DEPTH_MAX and isinstance(node, ast.stmt | ast.ExceptHandler):
            yield from _python_body(ast.iter_child_nodes(node), inner, lines)


def _signature(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, lines: Sequence[str]) -> str:
    """What stands before the body, on one line, and where the body ends."""
    first = node.body[0]
    decorators = first.decorator_list if isinstance(first, type(node)) else []
    body_line = min([first.lineno, *(decorator.lineno for decorator in decorators)])
    above = lines[node.lineno - 1 : max(body_line - 1, node.lineno)]
    signature = " ".join(line.strip() for line in above).removesuffix(":")
    span = f"  [to line {node.end_lineno}]" if node.end_lineno != node.lineno else ""
    return clip(signature, TITLE_CHARS_MAX) + span


def _definitions(lines: Iterable[str], known: Sequence[str]) -> Iterator[OutlineEntry]:
    """Lines that look like definitions; the deeper their indentation, the deeper they are."""
    defining = re.compile("|".join(f"(?:{pattern})" for pattern in known))
    indents: list[int] = []
    for number, line in enumerate(lines, 1):
        code = line.lstrip()
        if not defining.match(code[:DEFINITION_CHARS_MAX]):
            continue
        indent = len(line) - len(code)
        while indents and indents[-1] >= indent:
            indents.pop()
        yield OutlineEntry(number, min(len(indents), DEPTH_MAX), clip(code.rstrip(" {"), TITLE_CHARS_MAX))
        indents.append(indent)
