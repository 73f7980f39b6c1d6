"""Between Markdown and Slack's mrkdwn, both ways; pure, in time in proportion to the text's length.

What we write is escaped, so no text of a model can notify people: `<!channel>` and `<@U…>` arrive as typed
characters. What people wrote is shown in plain words, mentions by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

FILES_MAX, FILE_WORD_CHARS_MAX = 10, 500
FENCE = "```"
RULE = "───"
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(.*?)[ \t#]*")
_BULLET = re.compile(r"([ \t]*)[-*+][ \t]+(.*)")
_QUOTE = re.compile(r" {0,3}>[ \t]?(.*)")
_RULE = re.compile(r" {0,3}(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,}")
_TABLE_RULE = re.compile(r"[ \t]*\|?[ \t:|-]*-[ \t:|-]*\|?[ \t]*")
_CODE = re.compile(r"(`[^`]+`)")
_LINK = re.compile(r"!?\[([^\[\]]{1,1000})\]\(([^\s()<>]{1,2000})(?:[ \t]+\"[^\"]{0,500}\")?\)")
_AUTOLINK = re.compile(r"&lt;(https?://[^\s<>]{1,2000}?)&gt;")
_BOLD_ITALIC = re.compile(r"\*\*\*(?=\S)([^*]+?)(?<=\S)\*\*\*")
_BOLD = re.compile(r"(?:\*\*(?=\S)([^*]+?)(?<=\S)\*\*|(?<!\w)__(?=\S)([^_]+?)(?<=\S)__(?!\w))")
_ITALIC = re.compile(r"(?<![\w*])\*(?=\S)([^*]+?)(?<=\S)\*(?![\w*])")
_STRIKE = re.compile(r"~~(?=\S)([^~]+?)(?<=\S)~~")
_MASS_MENTION = re.compile(r"@(?=(?:channel|here|everyone)\b)", re.IGNORECASE)
_CONTROL = re.compile(r"<([^<>\n]{1,3000})>")
_MENTION = re.compile(r"<@([A-Z0-9]{1,32})[|>]")
_WORD_JOINER = "\N{WORD JOINER}"
_MARK = "\0"
"""Stands for Slack's `*` until single stars have been read as Markdown's."""


def to_mrkdwn(markdown: str) -> str:
    """Markdown as Slack shows it: headings bold, bullets drawn, tables and code in fences, links its way."""
    return "\n".join(_formatted(markdown.replace(_MARK, "").split("\n")))


def plain(mrkdwn: str, names: Mapping[str, str]) -> str:
    """What a person wrote, in plain text. `names`: their names by user id; others stay ids."""

    def shown(found: re.Match[str]) -> str:
        target, _, label = found.group(1).partition("|")
        if target[:1] == "@":
            return f"@{names.get(target[1:]) or label or target[1:]}"
        if target[:1] == "#":
            return f"#{label or target[1:]}"
        if target[:1] == "!":
            return f"@{(label or target[1:]).lstrip('@')}"
        return f"{label} ({target})" if label and label != target else target

    words = _CONTROL.sub(shown, mrkdwn)
    return words.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def file_lines(files: object) -> list[str]:
    """The files of a message, one reference a line, FILES_MAX at most; those that were deleted are none."""
    told = [each for each in files if isinstance(each, dict)] if isinstance(files, list) else []
    kept = [each for each in told if each.get("mode") not in ("tombstone", "hidden_by_limit")]
    lines: list[str] = []
    for each in kept[:FILES_MAX]:
        name, kind, link = (_word(each.get(key)) for key in ("name", "mimetype", "permalink"))
        lines.append(f"[file {name or 'without a name'}{kind and f', {kind}'}{link and f': {link}'}]")
    return lines


def _word(value: object) -> str:
    return " ".join(str(value or "").split())[:FILE_WORD_CHARS_MAX]


def mentions(mrkdwn: str) -> list[str]:
    """The ids of the users a text names."""
    return _MENTION.findall(mrkdwn)


def escaped(text: str) -> str:
    """The three characters that mean something to Slack, as typed ones."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _formatted(lines: list[str]) -> Iterator[str]:
    fence, table = "", False
    for place, line in enumerate(lines):
        found = _FENCE.match(line)
        mark = found.group(1) if found else ""
        if fence:
            closes = mark.startswith(fence) and not line.strip().strip(mark[0])
            fence = "" if closes else fence
            yield FENCE if closes else _in_fence(line)
            continue
        following = lines[place + 1] if place + 1 < len(lines) else ""
        begins = not table and "|" in line and "|" in following and bool(_TABLE_RULE.fullmatch(following))
        if begins:
            table = True
            yield FENCE
        if table and "|" not in line:
            table = False
            yield FENCE
        if table:
            yield _in_fence(line)
        elif mark:
            fence = mark
            yield FENCE
        else:
            yield _line(line)
    if fence or table:
        yield FENCE


def _in_fence(line: str) -> str:
    """Code as it is, except that it must not close the fence."""
    return escaped(line).replace(FENCE, f"`{_WORD_JOINER}``")


def _line(line: str) -> str:
    if found := _HEADING.fullmatch(line):
        words = found.group(1).replace("**", "").replace("__", "")
        return f"*{_inline(words)}*" if words else ""
    if _RULE.fullmatch(line):
        return RULE
    if found := _QUOTE.fullmatch(line):
        return f"> {_inline(found.group(1))}"
    if found := _BULLET.fullmatch(line):
        return f"{found.group(1)}• {_inline(found.group(2))}"
    return _inline(line)


def _inline(words: str) -> str:
    """Everything but inline code, which only is escaped."""
    pieces = _CODE.split(words)
    return "".join(escaped(each) if place % 2 else _emphasised(each) for place, each in enumerate(pieces))


def _emphasised(words: str) -> str:
    text = _MASS_MENTION.sub(f"@{_WORD_JOINER}", escaped(words))
    text = _LINK.sub(_link, text)
    text = _AUTOLINK.sub(lambda found: f"<{_target(found.group(1))}>", text)
    text = _BOLD_ITALIC.sub(rf"{_MARK}_\1_{_MARK}", text)
    text = _BOLD.sub(lambda found: f"{_MARK}{found.group(1) or found.group(2)}{_MARK}", text)
    text = _ITALIC.sub(r"_\1_", text)
    text = _STRIKE.sub(r"~\1~", text)
    return text.replace(_MARK, "*")


def _link(found: re.Match[str]) -> str:
    label, target = found.groups()
    if target.startswith(("https://", "http://", "mailto:")):
        return f"<{_target(target.replace('|', '%7C'))}|{label}>"
    return f"{label} ({target})"


def _target(address: str) -> str:
    """The same address without what would be read as emphasis, as in …/__init__.py."""
    return address.replace("__", "%5F%5F").replace("*", "%2A").replace("~~", "%7E%7E")
