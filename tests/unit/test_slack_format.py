"""Markdown as Slack shows it, and what people write in Slack as plain words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tools.slack_format import file_lines, plain, to_mrkdwn
from tests.pace import quickest


@pytest.mark.parametrize(
    ("markdown", "mrkdwn"),
    [
        ("plain words", "plain words"),
        ("**bold** and __bold__", "*bold* and *bold*"),
        ("*italic* and _italic_", "_italic_ and _italic_"),
        ("***both***", "*_both_*"),
        ("~~gone~~", "~gone~"),
        ("2 * 3 * 4 and a_b_c", "2 * 3 * 4 and a_b_c"),
        ("# A **title** #", "*A title*"),
        ("- one\n  * two\n+ three", "• one\n  • two\n• three"),
        ("1. one", "1. one"),
        ("> said <b>", "> said &lt;b&gt;"),
        ("---", "───"),
        ("[docs](https://a.example/x?b=1&c=2)", "<https://a.example/x?b=1&amp;c=2|docs>"),
        ("![logo](https://a.example/l.png)", "<https://a.example/l.png|logo>"),
        ("[here](src/cart.py)", "here (src/cart.py)"),
        ("<https://a.example>", "<https://a.example>"),
        ("**[i](https://a.example/__init__.py)**", "*<https://a.example/%5F%5Finit%5F%5F.py|i>*"),
        ("<https://a.example/*a*~~b~~>", "<https://a.example/%2Aa%2A%7E%7Eb%7E%7E>"),
        ("`a < b` & **c**", "`a &lt; b` &amp; *c*"),
        ("`**not bold**`", "`**not bold**`"),
        ("```python\nif a < b:\n    **kw\n```", "```\nif a &lt; b:\n    **kw\n```"),
        ("~~~\ncode\n~~~", "```\ncode\n```"),
        ("```\nnever closed", "```\nnever closed\n```"),
        ("| a | b |\n|---|---|\n| 1 | 2 |\nafter", "```\n| a | b |\n|---|---|\n| 1 | 2 |\n```\nafter"),
    ],
)
def test_markdown_is_shown_slacks_way(markdown, mrkdwn):
    assert mrkdwn == to_mrkdwn(markdown)


@pytest.mark.parametrize(
    "text", ["<!channel>", "<!here|here>", "<@U012ABC>", "<!subteam^S1>", "@channel", "@Here", "@everyone"]
)
@pytest.mark.parametrize("around", ["{}", "**{}**", "# {}", "> {}", "- {}", "[{}](https://a.example)"])
def test_nobody_is_called_by_what_a_model_writes(text, around):
    shown = to_mrkdwn(around.format(text)).lower()

    assert "<!" not in shown
    assert "<@" not in shown
    assert not any(f"@{word}" in shown for word in ("channel", "here", "everyone"))


@given(st.text(alphabet="<>!@&|`*_~[]()#-\nUhere:/ ", max_size=200))
def test_no_text_becomes_a_mention(text):
    shown = to_mrkdwn(text)

    assert not any(mark in shown for mark in ("<!", "<@", "<#"))


@pytest.mark.parametrize(
    "piece", ["`", "[", "[a](", "*", "**a", "_", "<", "~~a", "| a\n", "```\n", "![a](b "]
)
def test_long_texts_take_no_longer_for_each_character(piece):
    def convert(length: int) -> None:
        to_mrkdwn(piece * (length // len(piece)))

    assert quickest(lambda: convert(64_000)) < 0.2 + 100 * quickest(lambda: convert(4_000))


@pytest.mark.parametrize(
    ("mrkdwn", "words"),
    [
        ("<@U1> why?", "@maria why?"),
        ("<@U2|ada> <@U3>", "@ada @U3"),
        ("see <#C1|shop>", "see #shop"),
        ("<!channel> <!subteam^S1|@team>", "@channel @team"),
        ("<https://a.example/x|docs> <https://a.example>", "docs (https://a.example/x) https://a.example"),
        ("a &lt; b &amp;amp; c", "a < b &amp; c"),
    ],
)
def test_what_people_write_is_read_in_plain_words(mrkdwn, words):
    assert words == plain(mrkdwn, {"U1": "maria"})


PICTURE = {
    "name": "cart.png",
    "mimetype": "image/png",
    "permalink": "https://acme.slack.com/files/U0/F0/cart.png",
}


@pytest.mark.parametrize(
    ("files", "lines"),
    [
        (None, []),
        ("odd", []),
        ([PICTURE], ["[file cart.png, image/png: https://acme.slack.com/files/U0/F0/cart.png]"]),
        ([{"name": "a\nb"}, {}, "odd"], ["[file a b]", "[file without a name]"]),
        ([{**PICTURE, "mode": "tombstone"}, {"mode": "hidden_by_limit"}], []),
        ([{"name": str(each)} for each in range(40)], [f"[file {each}]" for each in range(10)]),
    ],
)
def test_files_are_told_as_references(files, lines):
    assert lines == file_lines(files)
