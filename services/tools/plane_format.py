"""Between Markdown and the HTML of Plane's editor, both ways; pure, in time in proportion to the length.

What we write holds no tag that a model chose: HTML in its Markdown arrives as typed characters, so nobody is
mentioned by it, and pictures become links, so that none is loaded from elsewhere. What people wrote is shown
in plain words, with quotes, code and lists marked as in Markdown and mentions by name.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

NESTING_MAX = 20
LINKED = frozenset({"http", "https", "mailto"})
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9-]{0,40})([^<>]{0,4000})>")
_ATTRIBUTE = re.compile(r'([a-z_-]{1,40})="([^"]{0,2000})"')
_MENTION = re.compile(r"<mention-component([^<>]{0,4000})>")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_BLOCKS = frozenset(
    {"p", "div", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "table", "tr", "blockquote", "pre"}
    | {"hr", "br"}
)
_IN_ROWS = frozenset({"p", "div"})
"""What a table's cells hold does not end their row's line."""
_SKIPPED = frozenset({"script", "style"})


class _Renderer(RendererHTML):
    """Links only where they lead somewhere from Plane; a picture is a link to itself."""

    def link_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        if _leads(str(tokens[idx].attrGet("href"))):
            return self.renderToken(tokens, idx, options, env)
        return ""

    def link_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        opened = next(each for each in reversed(tokens[:idx]) if each.type == "link_open")
        target = str(opened.attrGet("href"))
        return "</a>" if _leads(target) else f" ({html.escape(target)})"

    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        target = str(tokens[idx].attrGet("src"))
        label = self.renderInlineAsText(tokens[idx].children, options, env) or target
        shown = html.escape(label)
        return f'<a href="{html.escape(target)}">{shown}</a>' if _leads(target) else shown


def to_html(markdown: str) -> str:
    """Markdown as Plane's editor holds it."""
    return str(_MARKDOWN.render(markdown)).strip() or "<p></p>"


def plain(markup: str, names: Mapping[str, str]) -> str:
    """What a person wrote, in plain text. `names`: their names by user id; others stay ids."""
    return _Reader(names).read(_without_comments(markup))


def mentions(markup: str) -> list[str]:
    """The ids of the users a text names, also in quotes."""
    told = [dict(_ATTRIBUTE.findall(each)) for each in _MENTION.findall(markup)]
    ids = [each.get("entity_identifier", "") for each in told if each.get("entity_name") == "user_mention"]
    return [each for each in ids if _UUID.fullmatch(each)]


class _Reader:
    """Turns markup into lines; quotes are prefixed and code is fenced, so that they are known as such."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names
        self._lines: list[str] = []
        self._line: list[str] = []
        self._quotes = 0
        self._fenced = False
        self._in_row = False
        self._bullet = ""
        self._skipping = ""
        self._targets: list[str] = []

    def read(self, markup: str) -> str:
        place = 0
        for found in _TAG.finditer(markup):
            self._text(markup[place : found.start()])
            place = found.end()
            self._tag(found.group(2).lower(), found.group(3), closes=bool(found.group(1)))
        self._text(markup[place:])
        self._end_line()
        return "\n".join(self._lines).strip()

    def _text(self, raw: str) -> None:
        if self._skipping:
            return
        words = html.unescape(raw).replace("\xa0", " ")
        if not self._fenced:
            self._line.append(re.sub(r"\s+", " ", words))
            return
        first, *rest = words.split("\n")
        self._line.append(first)
        for each in rest:
            self._end_line(keep_empty=True)
            self._line.append(each)

    def _tag(self, name: str, attributes: str, *, closes: bool) -> None:
        if self._skipping or name in _SKIPPED:
            self._skipping = "" if closes and name == self._skipping else self._skipping or name
            return
        if name in _BLOCKS and not (self._in_row and name in _IN_ROWS):
            self._end_line()
        if name == "tr":
            self._in_row = not closes
        elif name == "li":
            self._bullet = "" if closes else "- "
        elif name == "blockquote":
            self._quotes = max(0, min(NESTING_MAX, self._quotes + (-1 if closes else 1)))
        elif name == "pre":
            self._fence(closes=closes)
        elif name == "code" and not self._fenced:
            self._line.append("`")
        elif name == "a":
            self._link(attributes, closes=closes)
        elif not closes and name in _OPENING:
            self._line.append(_OPENING[name](self, dict(_ATTRIBUTE.findall(attributes))))

    def _fence(self, *, closes: bool) -> None:
        if closes == self._fenced:
            self._line.append("```")
            self._end_line()
            self._fenced = not closes

    def _link(self, attributes: str, *, closes: bool) -> None:
        if not closes:
            self._targets.append(html.unescape(dict(_ATTRIBUTE.findall(attributes)).get("href", "")))
        elif self._targets and (target := self._targets.pop()) and target != "".join(self._line[-1:]):
            self._line.append(f" ({target})")

    def mention(self, told: Mapping[str, str]) -> str:
        """Somebody, or something, by name."""
        named = told.get("entity_identifier", "")
        return f"@{self._names.get(named, named)}" if told.get("entity_name") == "user_mention" else named

    def _end_line(self, *, keep_empty: bool = False) -> None:
        line = "".join(self._line)
        self._line = []
        shown = line if self._fenced else line.strip()
        if shown or keep_empty:
            self._lines.append("> " * self._quotes + self._bullet + shown)
            self._bullet = ""


_OPENING: Mapping[str, Callable[[_Reader, Mapping[str, str]], str]] = {
    "td": lambda reader, told: " | ",
    "th": lambda reader, told: " | ",
    "img": lambda reader, told: f"[image {told.get('alt', '')}".rstrip() + "]",
    "image-component": lambda reader, told: "[image]",
    "mention-component": _Reader.mention,
}


def _without_comments(markup: str) -> str:
    first, *rest = markup.split("<!--")
    return first + "".join(each.partition("-->")[2] for each in rest)


def _leads(target: str) -> bool:
    try:
        return urlsplit(target).scheme.lower() in LINKED
    except ValueError:
        return False


def _markdown() -> MarkdownIt:
    options: Any = {"html": False, "breaks": True, "xhtmlOut": False, "maxNesting": NESTING_MAX}
    known = MarkdownIt("commonmark", options, renderer_cls=_Renderer)
    return known.enable(["table", "strikethrough"])


_MARKDOWN = _markdown()
