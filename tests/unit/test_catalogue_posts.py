"""How a long answer is split for a vendor."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.tools.threads import SPLIT_CHARS_MIN, split_markdown

SHORT = ["", "```python", "```", "~~~~", "~~~", "    indented", "````text and `tick`", "# Title"]
LINES = st.sampled_from([*SHORT, "word " * 20, "x" * 700])
TEXTS = st.lists(LINES | st.text(max_size=60), max_size=60).map("\n".join)


@settings(max_examples=300)
@given(TEXTS, st.integers(SPLIT_CHARS_MIN, 1_200))
def test_no_text_is_lost_and_no_part_is_too_long(text: str, chars_max: int):
    parts = split_markdown(text, chars_max)
    assert "".join(part.body for part in parts) == text
    assert all(len(part.text) <= chars_max for part in parts)


def test_a_short_text_is_one_part_as_it_is():
    assert [part.text for part in split_markdown("Because.\n\nReally.", 500)] == ["Because.\n\nReally."]


def test_an_empty_text_is_one_empty_part():
    assert [part.text for part in split_markdown("", 500)] == [""]


def test_a_long_text_is_cut_between_paragraphs():
    text = "\n\n".join(["word " * 40] * 5)
    parts = [part.text for part in split_markdown(text, 800)]
    assert len(parts) == 2
    assert parts[0].endswith(" \n\n")


def test_a_code_block_that_must_be_cut_is_closed_and_reopened():
    text = "```python\n" + "x = 1\n" * 200 + "```\n"
    first, *_, last = [part.text for part in split_markdown(text, 500)]
    assert first.startswith("```python\nx = 1\n")
    assert first.endswith("x = 1\n```")
    assert last.startswith("```python\nx = 1\n")
    assert last.endswith("x = 1\n```\n")


def test_a_code_block_that_fits_is_not_cut():
    block = "```\n" + "x = 1\n" * 40 + "```\n"
    first, second = [part.text for part in split_markdown("word " * 60 + "\n\n" + block, 500)]
    assert first == "word " * 60 + "\n\n"
    assert second == block


def test_a_block_that_is_never_closed_is_closed():
    assert split_markdown("```\nx = 1", 500)[0].text == "```\nx = 1\n```"


def test_a_limit_without_room_is_refused():
    with pytest.raises(ValueError, match="at least"):
        split_markdown("x", SPLIT_CHARS_MIN - 1)
