"""How the rehearsal model reads a conversation: which words tell most, which lines are worth quoting.

It reads the tools' plain text as any model does: `path:line: text` for hits, a number before each line of
a file, a path at the start of each line of a list.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from aucert.models.v1.message_pb2 import ROLE_TOOL, ROLE_USER, Message

WORDS_MAX = 3
EXTRACTS_A_FILE_MAX = 2
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]{3,63}")
_URL = re.compile(r"https?://\S+")
_MENTION = re.compile(r"(?<!\w)@[\w-]+")
# How a described event ends: the person's own words, fenced.
_REQUEST = re.compile(
    r"^The request[^\n]*:\n(?P<fence>`{3,})\n(?P<text>.*?)\n(?P=fence)$", re.DOTALL | re.MULTILINE
)
_HIT = re.compile(r"^(?P<path>[^\s:][^:]*):(?P<line>\d+): ?(?P<text>.*\S.*)$")
_NUMBERED = re.compile(r"^\s*(?P<line>\d+)[\t:|│ ]\s?(?P<text>.*\w.*)$")
_PATH = re.compile(r"(?:[\w.@+-]+/)*[\w@+-][\w.@+-]*\.[A-Za-z0-9]{1,8}")
_COMMON_WORDS = """
about after again also answer asked atlas because been before being between both cannot comment could does
doing done each every explain find first from github give have here into issue itself just know like look
make mean more most much need only opened other over please pull question read repository request said
same says should show some such tell than that their them then there these they thing think this those
through under until used user using very want well were what when where which while will with without work
would write wrote your
"""
_COMMON = frozenset(_COMMON_WORDS.split())


@dataclass(frozen=True, slots=True)
class Exchange:
    """A tool call and what came back."""

    tool_name: str
    path: str
    text: str
    failed: bool


@dataclass(frozen=True, slots=True)
class Extract:
    """A line of a file, as a tool returned it."""

    path: str
    line: int
    text: str


def asks(messages: Sequence[Message]) -> list[str]:
    """What people asked, in order: the request itself where a message describes a whole event."""
    users = [message for message in messages if message.role == ROLE_USER]
    texts = ["\n\n".join(part.text for part in message.parts if part.text) for message in users]
    requests = [list(_REQUEST.finditer(text)) for text in texts]
    return [found[-1]["text"] if found else text for text, found in zip(texts, requests, strict=True)]


def exchanges(messages: Sequence[Message]) -> list[Exchange]:
    """Every answered tool call, in the order of the answers."""
    parts = [part for message in messages for part in message.parts]
    calls = {part.tool_call.call_id: part.tool_call for part in parts if part.HasField("tool_call")}
    found: list[Exchange] = []
    for result in (
        part.tool_result for message in messages if message.role == ROLE_TOOL for part in message.parts
    ):
        call = calls.get(result.call_id)
        if call is not None:
            found.append(
                Exchange(call.tool_name, _path_argument(call.arguments_json), result.text, result.failed)
            )
    return found


def telling_words(texts: Sequence[str]) -> list[str]:
    """The words most likely to occur where the answer is: names of code first, then the longest."""
    words: dict[str, str] = {}
    for text in reversed(texts):  # what was asked last matters most
        for match in _WORD.finditer(_MENTION.sub(" ", _URL.sub(" ", text))):
            word = match[0].strip("./-")
            if len(word) >= 4 and word.lower() not in _COMMON:
                words.setdefault(word.lower(), word)
    return sorted(words.values(), key=lambda word: (not _looks_like_code(word), -len(word), word))[:WORDS_MAX]


def escaped(word: str) -> str:
    """A word as a POSIX extended regular expression of itself."""
    return re.sub(r"([.^$*+?()\[\]{}|\\])", r"\\\1", word)


def best_paths(found: Sequence[Exchange]) -> list[str]:
    """Files to read next, best first: most hits, then decision records, then the README."""
    hits = Counter(extract.path for each in found if not each.failed for extract in _hits(each))
    ranked = [path for path, _ in sorted(hits.items(), key=lambda item: (-item[1], item[0]))]
    listed = [
        path
        for name in ("repo_list_adrs", "repo_list_files")
        for each in found
        if each.tool_name == name and not each.failed
        for path in _PATH.findall(each.text)
    ]
    records = [path for path in listed if "/" in path and path.endswith(".md")]
    readme = [path for path in listed if path.lower().startswith("readme")]
    return list(dict.fromkeys([*ranked[:1], *records[:1], *readme[:1], *ranked]))


def extracts(found: Sequence[Exchange]) -> list[Extract]:
    """Lines worth citing: those of files that were read first, then search hits, a few from each file."""
    usable = [each for each in found if not each.failed]
    lines = [extract for each in usable if each.tool_name == "repo_read_file" for extract in _numbered(each)]
    lines += [extract for each in usable for extract in _hits(each)]
    kept: list[Extract] = []
    taken = Counter[str]()
    for line in lines:
        if taken[line.path] < EXTRACTS_A_FILE_MAX and all(
            (line.path, line.line) != (k.path, k.line) for k in kept
        ):
            taken[line.path] += 1
            kept.append(line)
    return kept


def backticks(text: str) -> list[str]:
    """The runs of backticks in a text."""
    return re.findall(r"`+", text)


def _hits(each: Exchange) -> list[Extract]:
    if each.tool_name != "repo_search_text":
        return []
    matches = (_HIT.match(line) for line in each.text.splitlines())
    return [Extract(match["path"], int(match["line"]), match["text"]) for match in matches if match]


def _numbered(each: Exchange) -> list[Extract]:
    matches = (_NUMBERED.match(line) for line in each.text.splitlines())
    return [Extract(each.path, int(match["line"]), match["text"]) for match in matches if match]


def _path_argument(arguments_json: str) -> str:
    try:
        arguments = json.loads(arguments_json)
    except ValueError:
        return ""
    path = arguments.get("path", "") if isinstance(arguments, dict) else ""
    return path if isinstance(path, str) else ""


def _looks_like_code(word: str) -> bool:
    return bool(re.search(r"[_/.]|[a-z][A-Z]", word))
