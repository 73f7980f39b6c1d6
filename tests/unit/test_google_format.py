"""Markdown as the plain text of comments on documents, within Google's limit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tools.google_format import BYTES_MAX, PARTS_MAX, parts, same, split, to_plain


@pytest.mark.parametrize(
    ("markdown", "plain"),
    [
        ("plain words", "plain words"),
        ("# Title #", "Title"),
        ("[S46] **so** and *so*, ~~not~~", "[S46] so and so, not"),
        ("__so__ _too_, but snake_case_name stays", "so too, but snake_case_name stays"),
        ("2 * 3 * 4", "2 * 3 * 4"),
        ("- one\n  * two", "• one\n  • two"),
        ("see [the code](https://x.example/a_b_c)", "see the code (https://x.example/a_b_c)"),
        ("[https://x.example](https://x.example)", "https://x.example"),
        ("**[i](https://x.example/__init__.py)**", "i (https://x.example/__init__.py)"),
        (
            "_see https://x.example/_next_/1_ or *https://x.example/2*",
            "see https://x.example/_next_/1 or https://x.example/2",
        ),
        ("`a **b**` and ``", "`a **b**` and ``"),
        ("```python\nx = **y**\n# no title\n```\nend", "x = **y**\n# no title\nend"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "| a | b |\n| 1 | 2 |"),
        ("first\r\nsecond", "first\nsecond"),
    ],
)
def test_markdown_reads_as_plain_text(markdown, plain):
    assert plain == to_plain(markdown)


@pytest.mark.parametrize("told", ["ask @ada@acme.example", "+ada.l+x@acme.example", "`@ada@acme.example`"])
def test_nobody_is_notified_by_what_a_model_writes(told):
    shown = to_plain(told)

    assert "@ada@" not in shown
    assert "+ada" not in shown
    assert same(told, shown)


def test_a_long_text_is_cut_into_numbered_comments_that_are_it_again():
    text = "\n\n".join(f"Paragraph {number}: " + "words " * 100 for number in range(12))
    found = parts(text)

    assert len(found) > 1
    assert all(len(each.encode()) <= BYTES_MAX for each in found)
    assert [f"({place}/{len(found)}) " for place in range(2, len(found) + 1)] == [
        each[: each.index(" ") + 1] for each in found[1:]
    ]
    unnumbered = [found[0], *(each.partition(") ")[2] for each in found[1:])]
    assert text.split() == " ".join(unnumbered).split()


def test_what_no_number_of_comments_can_hold_is_cut_and_says_so():
    found = parts("word " * 60_000)

    assert PARTS_MAX == len(found)
    assert found[-1].endswith("the whole of it is on record.)")
    assert all(len(each.encode()) <= BYTES_MAX for each in found)


def test_equal_passages_of_a_text_become_different_comments():
    found = parts("\n\n".join(["x" * 2_000] * 5))

    assert len(found) == len(set(found))


@given(st.text(max_size=3_000), st.integers(8, 600))
def test_cut_pieces_are_the_text_again_and_within_the_limit(text, bytes_max):
    clean = text.encode("utf-8", "ignore").decode()
    pieces = split(clean, bytes_max)

    assert clean == "".join(pieces)
    assert all(len(each.encode()) <= bytes_max for each in pieces)


@given(st.text(max_size=2_000))
def test_any_text_is_formatted_and_recognised(text):
    found = parts(text.encode("utf-8", "ignore").decode())

    assert all(same(each, f"  {each}\n") for each in found)
