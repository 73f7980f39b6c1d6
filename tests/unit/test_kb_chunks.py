"""How documents are cut into the chunks of the knowledge base."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies

from services.tools.kb_chunks import CHUNK_CHARS_MAX, CODE_CHARS_MAX, chunks, first_heading

GUIDE = """# Orders

An order is a promise.

## Refunds

Money goes back.

```sh
# not a heading
refund --all

```

### Limits

Two people.

## Empty

## Last
Here.
"""


def test_a_chunk_stands_below_its_headings_and_knows_its_lines():
    found = [(each.heading, each.first_line, each.last_line) for each in chunks(GUIDE, markdown=True)]
    assert [
        ("Orders", 1, 3),
        ("Orders > Refunds", 5, 13),
        ("Orders > Refunds > Limits", 15, 17),
        ("Orders > Last", 21, 22),
    ] == found


def test_text_without_headings_is_cut_between_paragraphs():
    paragraphs = [f"Paragraph {number} " + "says something. " * 20 for number in range(10)]
    found = chunks("\n\n".join(paragraphs), markdown=False)
    assert paragraphs == [line for each in found for line in each.text.split("\n\n")]
    assert all(len(each.text) <= CHUNK_CHARS_MAX for each in found)


def test_fenced_code_is_kept_whole_until_it_is_very_long():
    short, long = (["```", *["some code", ""] * count, "```"] for count in (100, 400))
    assert 1 == len(chunks("\n".join(short), markdown=True))
    cut = chunks("\n".join(long), markdown=True)
    assert 1 < len(cut)
    assert all(len(each.text) <= CODE_CHARS_MAX for each in cut)


def test_marks_of_markdown_mean_nothing_in_plain_text():
    (found,) = chunks("# a comment\nvalue = 1\n", markdown=False)
    assert ("", "# a comment\nvalue = 1") == (found.heading, found.text)


@pytest.mark.parametrize("text", ["", "\n\n \n", "# Only a heading\n", "# One\n\n## Two\n", "Title\n=====\n"])
def test_what_says_nothing_has_no_chunks(text: str):
    assert [] == chunks(text, markdown=True)


def test_the_first_heading_is_a_documents_title():
    assert ("Orders", "") == (first_heading(GUIDE), first_heading("No heading."))


LINES = strategies.sampled_from(["", "# One", "## Two", "```", "words and words", "x" * 700, "  indented"])


@hypothesis.given(lines=strategies.lists(LINES, max_size=40), markdown=strategies.booleans())
def test_every_line_of_text_is_in_one_chunk_and_chunks_are_whole_lines(lines: list[str], markdown: bool):
    found = chunks("\n".join(lines), markdown=markdown)
    numbers = [number for each in found for number in range(each.first_line, each.last_line + 1)]
    assert sorted(set(numbers)) == numbers
    assert all("\n".join(lines[each.first_line - 1 : each.last_line]) == each.text for each in found)
    said = {number for number, line in enumerate(lines, 1) if line in ("words and words", "x" * 700)}
    assert said <= set(numbers)
