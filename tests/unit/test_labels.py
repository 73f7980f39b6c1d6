"""An answer opens with exactly one label, the true one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.labels import bare, labelled

WRITTEN_LABELS = [
    "[R0]",
    "[S46] ",
    "**[R0]** ",
    "__[O47]__: ",
    "*[K26]*\n\n",
    "`[R0]` ",
    "[r0]: ",
    "[K2.6] ",
    "\n [R0] ",
]


@pytest.mark.parametrize(
    ("written", "posted"),
    [
        ("The answer.", "[R0] The answer."),
        ("[R0] The answer.", "[R0] The answer."),
        ("[S46] The answer.", "[R0] The answer."),
        ("**[R0]** The answer.", "[R0] The answer."),
        ("**[R0]:** The answer.", "[R0] The answer."),
        ("**[R0] Title** and more", "[R0] **Title** and more"),
        ("# [K26] Heading", "[R0] # Heading"),
        ("  [R0]\n\n[R0] The answer.\n", "[R0] The answer."),
        ("[R0] **[S46]** [R0] The answer.", "[R0] The answer."),
    ],
)
def test_a_label_the_model_wrote_is_replaced_by_the_true_one(written: str, posted: str) -> None:
    assert posted == labelled(written, "R0")


@pytest.mark.parametrize(
    "text",
    [
        "[R0](https://example.com) is a link",
        "[R0][1] is a link too",
        "[R0]: https://example.com",
        "[1] is a footnote",
        "[note] is a word",
        "An answer about [R0] in its middle",
        "[R0",
    ],
)
def test_what_is_no_label_at_the_start_stays(text: str) -> None:
    assert f"[S46] {text}" == labelled(text, "S46")


@pytest.mark.parametrize("text", ["", " \n", "[R0]", "**[R0]** ", "[R0] [S46]"])
def test_a_text_of_labels_alone_is_empty(text: str) -> None:
    assert bare(text) == ""


def test_a_text_of_nothing_but_labels_is_read_once() -> None:
    assert bare("[R0] " * 100_000) == bare("[R0]:" * 100_000) == ""


@given(
    st.lists(st.sampled_from(WRITTEN_LABELS), max_size=5),
    st.from_regex(r"[a-z][a-z .\[\]*R0-9]{0,40}", fullmatch=True),
)
def test_any_pile_of_labels_becomes_one(labels: list[str], text: str) -> None:
    assert f"[S46] {text.strip()}" == labelled("".join(labels) + text, "S46")


@given(st.text(max_size=60))
def test_labelling_twice_is_labelling_once(text: str) -> None:
    once = labelled(text, "R0")
    assert once == labelled(once, "R0")
