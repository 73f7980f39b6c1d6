"""Markdown as Plane's HTML, and people's HTML as plain words."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tools.plane_format import mentions, plain, to_html
from tests.pace import quickest

ATLAS = "0d9e1c6e-0000-4000-8000-000000000001"
MENTION = (
    f'<mention-component id="x" entity_identifier="{ATLAS}" entity_name="user_mention"></mention-component>'
)
WRITTEN = frozenset(
    {"p", "br", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "pre", "code", "hr"}
    | {"strong", "em", "s", "a", "table", "thead", "tbody", "tr", "th", "td"}
)


@pytest.mark.parametrize(
    ("markdown", "markup"),
    [
        ("[R0] Because **so**.", "<p>[R0] Because <strong>so</strong>.</p>"),
        ("one\ntwo", "<p>one<br>\ntwo</p>"),
        ("a < b & c", "<p>a &lt; b &amp; c</p>"),
        ("~~no~~ *yes*", "<p><s>no</s> <em>yes</em></p>"),
        ("## Title", "<h2>Title</h2>"),
        ("- a\n- b", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>"),
        ("> said", "<blockquote>\n<p>said</p>\n</blockquote>"),
        ("```py\nif a < b:\n```", '<pre><code class="language-py">if a &lt; b:\n</code></pre>'),
        ("[docs](https://a.example/?a=1&b=2)", '<p><a href="https://a.example/?a=1&amp;b=2">docs</a></p>'),
        ("see [here](src/cart.py)", "<p>see here (src/cart.py)</p>"),
        ("![logo](https://a.example/l.png)", '<p><a href="https://a.example/l.png">logo</a></p>'),
        ("![logo](l.png)", "<p>logo</p>"),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>"),
        ("[x](data:text/html,x)", "<p>[x](data:text/html,x)</p>"),
        ("<b>raw</b>", "<p>&lt;b&gt;raw&lt;/b&gt;</p>"),
        ("@maria", "<p>@maria</p>"),
        ("", "<p></p>"),
    ],
)
def test_markdown_is_shown_planes_way(markdown, markup):
    assert markup == to_html(markdown)


def test_a_table_is_one():
    assert "<td>1</td>" in to_html("| a |\n|---|\n| 1 |")


@given(st.text(alphabet="<>!@&|`*_~[]()#-\"'=\n/mention-component:x ", max_size=200))
def test_no_text_becomes_a_tag_of_its_own_choosing(text):
    markup = to_html(text)

    assert {found.lower() for found in re.findall(r"<\s*/?\s*([A-Za-z][\w-]*)", markup)} <= WRITTEN
    assert all(
        target.startswith(("https:", "http:", "mailto:")) for target in re.findall(r'href="([^"]*)"', markup)
    )


@pytest.mark.parametrize("text", [MENTION, f"**{MENTION}**", f"# {MENTION}", f"- {MENTION}", f"`{MENTION}`"])
def test_nobody_is_called_by_what_a_model_writes(text):
    assert "<mention" not in to_html(text)
    assert [] == mentions(to_html(text))


@pytest.mark.parametrize(
    ("markup", "words"),
    [
        (f'<p class="editor-paragraph-block">{MENTION} why?</p>', "@atlas why?"),
        (MENTION.replace(ATLAS, ATLAS.replace("1", "2")), "@0d9e2c6e-0000-4000-8000-000000000002"),
        (MENTION.replace("user_mention", "issue_mention"), ATLAS),
        ("<p>one</p><p>two<br>three</p>", "one\ntwo\nthree"),
        ("<p>a &lt; b &amp;amp; c&nbsp;d</p>", "a < b &amp; c d"),
        ("<p>  much\n  space </p><p></p>", "much space"),
        ("<blockquote><p>said</p><p>more</p></blockquote><p>so</p>", "> said\n> more\nso"),
        ("<p><code>x &lt; y</code></p>", "`x < y`"),
        ("<pre><code>a\n\n  b</code></pre><p>c</p>", "```\na\n\n  b\n```\nc"),
        ("<ul><li><p>one</p></li><li>two</li></ul>", "- one\n- two"),
        ("<table><tr><th><p>a</p></th><td><p>b</p></td></tr></table>", "| a | b"),
        ('<p><a href="https://a.example">docs</a></p>', "docs (https://a.example)"),
        ('<p><a href="https://a.example">https://a.example</a></p>', "https://a.example"),
        (
            '<p>see <img src="x" alt="logo"> <image-component src="y"></image-component></p>',
            "see [image logo] [image]",
        ),
        ("<p>a</p><script>alert(1)</script><style>p{}</style><p>b</p>", "a\nb"),
        ("<p>a<!-- hidden --></p><!-- open", "a"),
        ("no tags < at > all", "no tags < at > all"),
        ("", ""),
        ("<p></p>", ""),
    ],
)
def test_what_people_write_is_read_in_plain_words(markup, words):
    assert words == plain(markup, {ATLAS: "atlas"})


def test_people_are_found_and_what_is_no_id_is_not():
    odd = MENTION.replace(ATLAS, 'x"><script>')
    other = MENTION.replace("user_mention", "issue_mention")

    assert [ATLAS, ATLAS] == mentions(f"<p>{MENTION}{odd}{other}</p><blockquote>{MENTION}</blockquote>")


@given(st.text(alphabet='<>/!-&;"= pcodeblqutrahiml\n', max_size=300))
def test_any_markup_is_read(markup):
    assert isinstance(plain(markup, {}), str)


PIECES = ["`", "[", "[a](", "*", "**a", "_", "<", "~~a", "| a\n", "```\n", "![a](b ", "- ", "&", "[a]: b\n"]


@pytest.mark.parametrize("piece", PIECES)
def test_long_answers_take_no_longer_for_each_character(piece):
    def convert(length: int) -> None:
        to_html(piece * (length // len(piece)))

    assert quickest(lambda: convert(16_000)) < 0.2 + 25 * quickest(lambda: convert(2_000))


@pytest.mark.parametrize(
    "piece", ["<", "<a ", "<!--", "&", "<pre>", "<blockquote>", "</p>", '<a href="', "<script>"]
)
def test_long_comments_take_no_longer_for_each_character(piece):
    def read(length: int) -> None:
        text = piece * (length // len(piece))
        plain(text, {})
        mentions(text)

    assert quickest(lambda: read(256_000)) < 0.2 + 200 * quickest(lambda: read(4_000))
