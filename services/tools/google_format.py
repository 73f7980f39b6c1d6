"""From Markdown to the plain text of a comment on a document; pure, in time in proportion to its length.

A comment shows no formatting, so what only looks like some is taken away. People are not notified by what a
model writes: an address behind `@` or `+` gets an invisible mark in between.
"""

from __future__ import annotations

import re
import unicodedata

BYTES_MAX = 2_048
"""Google's limit of a comment on a document, in UTF-8 code units."""
PARTS_MAX = 64
"""What the ledger takes of one post."""
NUMBER_BYTES_MAX = 16
CUT_NOTE = "\n(The answer is longer than comments can hold; the whole of it is on record.)"
_WORD_JOINER = "\N{WORD JOINER}"
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})[^`]*")
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(.*?)[ \t#]*")
_BULLET = re.compile(r"([ \t]*)[-*+][ \t]+(.*)")
_TABLE_RULE = re.compile(r"[ \t]*\|?[ \t:|-]*-[ \t:|-]*\|[ \t:|-]*")
_CODE = re.compile(r"(`[^`]+`)")
_LINK = re.compile(r"!?\[([^\[\]]{1,1000})\]\(([^\s()<>]{1,2000})(?:[ \t]+\"[^\"]{0,500}\")?\)")
_STRONG = re.compile(r"(\*{1,3}|~~)(?=\S)([^*~]+?)(?<=\S)\1")
_UNDERLINED = re.compile(r"(?<!\w)(_{1,2})(?=\S)([^_]+?)(?<=\S)\1(?!\w)")
_ADDRESS = re.compile(r"https?://[^\s<>()*~\0]*[^\s<>()*~\0_]")
_KEPT = re.compile(r"\0([0-9]+)\0")
_ADDRESSED = re.compile(r"([@+])(?=[\w.%+-]{1,64}@)")


def parts(markdown: str) -> list[str]:
    """The texts of one or more comments, at most PARTS_MAX, each within BYTES_MAX; later ones are numbered.

    Numbers also make sure that no two parts of an answer have the same words, for that is all a part is
    recognised by.
    """
    found = split(to_plain(markdown), BYTES_MAX - NUMBER_BYTES_MAX)
    if len(found) > PARTS_MAX:
        kept = found[PARTS_MAX - 1].encode()[: BYTES_MAX - NUMBER_BYTES_MAX - len(CUT_NOTE.encode())]
        found = [*found[: PARTS_MAX - 1], kept.decode(errors="ignore") + CUT_NOTE]
    numbered = [f"({place}/{len(found)}) {text.lstrip()}" for place, text in enumerate(found[1:], start=2)]
    return [found[0], *numbered]


def split(text: str, bytes_max: int) -> list[str]:
    """Cut a text between paragraphs, lines or words, where a part stays half full; joined they are it."""
    found: list[str] = []
    rest = text
    while len(rest.encode()) > bytes_max:
        window = rest[:bytes_max].encode()[:bytes_max].decode(errors="ignore")
        place = len(window)
        for mark in ("\n\n", "\n", " "):
            if (last := window.rfind(mark)) >= len(window) // 2:
                place = last + len(mark)
                break
        found.append(rest[:place])
        rest = rest[place:]
    return [*found, rest] if rest or not found else found


def same(ours: str, theirs: str) -> bool:
    """Whether a comment holds what we sent; what Google may have tidied up does not count."""
    return _tidied(ours) == _tidied(theirs)


def to_plain(markdown: str) -> str:
    """Markdown as it reads without formatting."""
    lines: list[str] = []
    in_code = False
    for line in markdown.replace("\r\n", "\n").split("\n"):
        if _FENCE.fullmatch(line):
            in_code = not in_code
        elif in_code:
            lines.append(line)
        elif not _TABLE_RULE.fullmatch(line):
            lines.append(_line(line))
    return _ADDRESSED.sub(rf"\1{_WORD_JOINER}", "\n".join(lines))


def _line(line: str) -> str:
    if heading := _HEADING.fullmatch(line):
        return _inline(heading.group(1))
    if bullet := _BULLET.fullmatch(line):
        return f"{bullet.group(1)}• {_inline(bullet.group(2))}"
    return _inline(line)


def _inline(text: str) -> str:
    """Code stays as it is, in its ticks."""
    return "".join(
        piece if piece.startswith("`") and len(piece) > 2 else _unmarked(piece) for piece in _CODE.split(text)
    )


def _unmarked(text: str) -> str:
    """Addresses are set aside meanwhile: in …/__init__.py nothing is emphasis."""
    addresses: list[str] = []

    def kept(address: str) -> str:
        addresses.append(address)
        return f"\0{len(addresses) - 1}\0"

    def link(found: re.Match[str]) -> str:
        label, target = found.group(1), found.group(2)
        return kept(target) if label == target else f"{label} ({kept(target)})"

    linked = _LINK.sub(link, text.replace("\0", ""))
    named = _ADDRESS.sub(lambda found: kept(found[0]), linked)
    unmarked = _UNDERLINED.sub(r"\2", _STRONG.sub(r"\2", named))
    return _KEPT.sub(lambda found: addresses[int(found[1])], unmarked)


def _tidied(text: str) -> str:
    plain = unicodedata.normalize("NFC", text.replace(_WORD_JOINER, ""))
    return " ".join(plain.split())
