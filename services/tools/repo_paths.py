"""Paths and globs as callers write them, against the byte strings that git stores.

A path is refused before git sees it when it could mean anything but an entry of the tree. A name that is not
plain UTF-8 is shown, and taken back, in git's own quoted form: `"caf\\351.txt"`.
Whether an entry exists or is a symlink is left to the snapshot.
"""

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass

from services.tools.errors import PathOutsideRepository, PatternInvalid

PATH_CHARS_MAX = 4096
GLOB_CHARS_MAX = 512
BRACE_WORDS_MAX = 32
"""Globs that one glob with braces may stand for."""

QUOTED_CHARACTERS = {ord("\t"): "t", ord("\n"): "n", ord("\r"): "r", ord('"'): '"', ord("\\"): "\\"}
UNQUOTED_CHARACTERS = {letter: byte for byte, letter in QUOTED_CHARACTERS.items()}
BRACES = re.compile(r"\{([^{},]*(?:,[^{},]*)+)\}")


def parse_path(text: str) -> bytes:
    """The entry's path as git stores it; empty for the root. Raises PathOutsideRepository."""
    if len(text) > PATH_CHARS_MAX:
        raise _outside(text[:100] + "…", f"it is longer than {PATH_CHARS_MAX} characters")
    quoted = len(text) > 1 and text.startswith('"') and text.endswith('"')
    if not quoted and "\\" in text:
        raise _outside(text, "it holds a backslash; folders are separated by '/'")
    try:
        path = _unquote(text[1:-1]) if quoted else text.encode()
    except UnicodeEncodeError:
        raise _outside(text, "it is not text") from None
    if b"\0" in path:
        raise _outside(text, "it holds a NUL")
    if path.startswith(b"/") or re.match(rb"[A-Za-z]:[/\\]", path):
        raise _outside(text, "it is absolute; paths start at the root of the repository, without '/'")
    kept = [name for name in path.split(b"/") if name not in (b"", b".")]
    for name in path.replace(b"\\", b"/").split(b"/"):
        if name == b"..":
            raise _outside(text, "'..' is not allowed; name the path from the root of the repository")
        if name.rstrip(b" .").lower() in (b".git", b"git~1"):
            raise _outside(text, "'.git' is no part of it; use repo_git_log and repo_git_show for history")
    return b"/".join(kept)


def show_path(path: bytes) -> str:
    """The path as text: as it is if it is plain UTF-8, else quoted as git quotes it."""
    try:
        text = path.decode()
    except UnicodeDecodeError:
        text = "\0"
    if text.isprintable() and "\\" not in text and not text.startswith('"'):
        return text
    return '"' + "".join(_quote(byte) for byte in path) + '"'


@dataclass(frozen=True, slots=True)
class Glob:
    """A glob over whole paths, as git's `:(glob)` reads it, plus `{a,b}`. Matching takes linear time."""

    text: str
    words: tuple[str, ...]
    patterns: tuple[tuple[re.Pattern[str] | None, ...], ...]

    def matches(self, path: bytes) -> bool:
        """Whether the whole path matches."""
        names = path.decode(errors="surrogateescape").split("/")
        return any(_matches(pattern, names) for pattern in self.patterns)


def parse_glob(text: str) -> Glob:
    """Read a glob: `*` and `?` stay within a name, a name `**` crosses folders. Raises PatternInvalid."""
    if not text or len(text) > GLOB_CHARS_MAX:
        raise PatternInvalid(f"A glob has 1 to {GLOB_CHARS_MAX} characters.")
    if "\\" in text or "\0" in text:
        raise PatternInvalid("A glob holds no backslash: write a special character in brackets, as in [*].")
    words = tuple(word.removeprefix("./").removeprefix("/") for word in _expand_braces(text))
    if any(".." in word.split("/") for word in words):
        raise PathOutsideRepository(f"{text!r} leaves the repository: globs start at its root, without '..'.")
    return Glob(text, words, tuple(_compile(word) for word in words))


def pathspecs(glob: Glob) -> Sequence[str]:
    """The glob as arguments for git."""
    return [f":(top,glob){word}" for word in glob.words]


def _compile(word: str) -> tuple[re.Pattern[str] | None, ...]:
    """One pattern a name; None stands for `**`."""
    names = word.split("/")
    return tuple(
        None if name == "**" else re.compile(fnmatch.translate(name.replace("[^", "[!"))) for name in names
    )


def _matches(pattern: tuple[re.Pattern[str] | None, ...], names: Sequence[str]) -> bool:
    """Walk the names with the set of places in the pattern that may come next."""
    last = len(pattern) - 1
    places = _skip_folders(pattern, {0})
    for name in names:
        after: set[int] = set()
        for place in places:
            if place > last:
                continue
            part = pattern[place]
            if part is None:
                after |= {place, place + 1} if place == last else {place}
            elif part.match(name):
                after.add(place + 1)
        places = _skip_folders(pattern, after)
        if not places:
            return False
    return last + 1 in places


def _skip_folders(pattern: tuple[re.Pattern[str] | None, ...], places: set[int]) -> set[int]:
    """Add what follows a `**`, which may stand for no folder; at the end it stands for at least one name."""
    reached = set(places)
    for place in range(len(pattern) - 1):
        if place in reached and pattern[place] is None:
            reached.add(place + 1)
    return reached


def _expand_braces(text: str) -> list[str]:
    words = [text]
    while any(BRACES.search(word) for word in words):
        words = [other for word in words for other in _expand_first(word)]
        if len(words) > BRACE_WORDS_MAX:
            raise PatternInvalid(
                f"The braces stand for more than {BRACE_WORDS_MAX} globs; use several calls."
            )
    return words


def _expand_first(word: str) -> list[str]:
    found = BRACES.search(word)
    if not found:
        return [word]
    return [word[: found.start()] + choice + word[found.end() :] for choice in found[1].split(",")]


def _quote(byte: int) -> str:
    if byte in QUOTED_CHARACTERS:
        return "\\" + QUOTED_CHARACTERS[byte]
    return chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03o}"


def _unquote(text: str) -> bytes:
    def byte(found: re.Match[str]) -> str:
        escape = found[1]
        value = int(escape, 8) if escape.isdigit() else UNQUOTED_CHARACTERS[escape]
        return chr(0xDC00 + value) if value > 0x7F else chr(value)

    plain = re.sub(r'\\([0-3][0-7]{2}|[tnr"\\])', byte, text)
    return plain.encode(errors="surrogateescape")


def _outside(text: str, why: str) -> PathOutsideRepository:
    return PathOutsideRepository(f"{text!r} is refused: {why}.")
