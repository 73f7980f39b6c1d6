"""A Google Doc as a model reads it, and the arithmetic of changing one: UTF-16 places, whole batches."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sandbox.google_discovery import check
from services.sandbox.google_docs import DocsMethods
from services.sandbox.google_document import Body, body_of
from services.sandbox.google_document_wire import document_tab
from services.sandbox.google_domain import RefusedError
from services.sandbox.google_methods import Call
from services.sandbox.google_world import GoogleWorld
from services.sandbox.settings import GoogleSettings
from services.tools.docs_document import FILLER, Document, document_of
from services.tools.docs_editing import Edit, count_marked, insertion, replacement, tab_of

WORDS = st.text(st.sampled_from("ab 😀é"), min_size=1, max_size=8)


def run(content: str, **more: object) -> dict[str, Any]:
    return {"textRun": {"content": content, "textStyle": {}, **more}}


def paragraph(*elements: dict[str, Any], style: str = "NORMAL_TEXT", **more: object) -> dict[str, Any]:
    told = {"elements": list(elements), "paragraphStyle": {"namedStyleType": style}, **more}
    return {"startIndex": 1, "paragraph": told}


def lines(*content: dict[str, Any], **more: object) -> list[str]:
    tab = {"tabProperties": {"tabId": "t.0", "title": "One"}, "documentTab": {"body": {"content": content}}}
    tab["documentTab"] |= more
    return document_of({"documentId": "1", "title": "T", "tabs": [tab]}).lines()


@pytest.mark.parametrize(
    ("shown", "element"),
    [
        ("plain", paragraph(run("plain\n"))),
        ("# Title", paragraph(run("Title\n"), style="TITLE")),
        ("### Deep", paragraph(run("Deep\n"), style="HEADING_3")),
        (
            "see [the law](https://a.example)",
            paragraph(
                run("see "), run("the law", textStyle={"link": {"url": "https://a.example"}}), run("\n")
            ),
        ),
        (
            "{-old-}{+new+} end",
            paragraph(
                run("old", suggestedDeletionIds=["s1"]),
                run("new", suggestedInsertionIds=["s1"]),
                run(" end\n"),
            ),
        ),
        ("by Ada", paragraph(run("by "), {"person": {"personProperties": {"name": "Ada"}}}, run("\n"))),
        (
            "[Plan](https://d.example)",
            paragraph({"richLink": {"richLinkProperties": {"title": "Plan", "uri": "https://d.example"}}}),
        ),
        ("[image][equation]", paragraph({"inlineObjectElement": {}}, {"equation": {}}, run("\n"))),
        ("- one", paragraph(run("one\n"), bullet={"listId": "gone"})),
        ("  1. two", paragraph(run("two\n"), bullet={"listId": "l", "nestingLevel": 1})),
        ("(table of contents)", {"tableOfContents": {"content": []}}),
    ],
)
def test_an_element_shows_as_markdown(shown: str, element: dict[str, Any]):
    levels = {"nestingLevels": [{"glyphSymbol": "●"}, {"glyphType": "ALPHA"}]}
    assert [f"> {shown}"] == lines(element, lists={"l": {"listProperties": levels}})


def test_footnotes_stand_at_the_end_and_empty_paragraphs_nowhere():
    note = {"footnoteReference": {"footnoteId": "kix.1", "footnoteNumber": "1"}}
    told = lines(
        paragraph(run("said"), note, run("\n")),
        paragraph(run("\n")),
        paragraph(run("end\n")),
        footnotes={"kix.1": {"content": [paragraph(run(" By whom?\n"))]}},
    )
    assert ["> said[^1]", "> end", "> [^1]: By whom?"] == told


def test_tabs_within_tabs_are_named_where_there_are_several():
    def tab(tab_id: str, *children: dict[str, Any]) -> dict[str, Any]:
        content = [paragraph(run(f"in {tab_id}\n"))]
        return {
            "tabProperties": {"tabId": tab_id, "title": f"T\n{tab_id}"},
            "documentTab": {"body": {"content": content}, "namedRanges": {f"name of {tab_id}": {}}},
            "childTabs": list(children),
        }

    told = document_of({"documentId": "1", "title": "T", "tabs": [tab("a", tab("b")), tab("c")]})
    assert ["Tab 'T a', tab_id a:", "> in a", "Tab 'T b', tab_id b:", "> in b"] == told.lines()[:4]
    assert ["name of a", "name of b", "name of c"] == list(told.marks)


def document(body: Body) -> Document:
    tab = {"tabProperties": {"tabId": "t.0"}, "documentTab": document_tab(body)}
    return document_of({"documentId": "1", "title": "T", "tabs": [tab]})


def applied(body: Body, edit: Edit) -> Body:
    """A document after a change, as Google's description and the stand-in take it."""
    world = GoogleWorld(GoogleSettings())
    file = world.state.add_file("T")
    world.state.set_document(file, body)
    sent = {"requests": edit.marked("e1")}
    check("docs.documents.batchUpdate", {"documentId": file.id}, sent)
    DocsMethods(world).batch_update(Call({"documentId": file.id}, sent, world.wire("")))
    return world.state.document(file.id)


@given(st.lists(WORDS, max_size=4), WORDS, st.text(st.sampled_from("ab 😀\n"), max_size=4))
def test_replacing_changes_the_words_and_nothing_around_them(others: list[str], find: str, replace: str):
    if find == replace:
        return
    before = body_of("")
    text = "\n".join([*others, f"{find}-{find}", *others])
    before.insert(1, text)
    edit = replacement(document(before).tabs[0], find, replace, everywhere=True)
    after = applied(before, edit)
    assert (f"{text}\n").replace(find, replace) == after.text()
    assert edit.count == count_marked(document(after), "e1")


@given(st.lists(WORDS.map(str.strip).filter(bool), min_size=1, max_size=4), st.booleans())
def test_inserted_lines_stand_in_their_place_under_their_mark(new: list[str], named: bool):
    before = body_of("# 😀 Head\n- item\n| a | b |\nlast")
    edit = insertion(document(before).tabs[0], "\n\n".join(new), "😀 Head" if named else "")
    after = applied(before, edit)
    old = ["😀 Head", "item", "a", "b", "last"]
    place = 1 if named else len(old)
    assert "\n".join([*old[:place], *new, *old[place:], ""]) == after.text()
    assert {"NORMAL_TEXT"} == {unit.style for words, unit in after.paragraphs() if words in new}
    assert len(new) == count_marked(document(after), "e1")


def test_an_empty_document_is_written_into_from_its_beginning():
    body = Body()
    assert "one\ntwo\n" == applied(body, insertion(document(body).tabs[0], "one\ntwo", "")).text()


def test_what_is_no_text_is_never_matched():
    image = {"startIndex": 1, "endIndex": 2, "inlineObjectElement": {}}
    tab = {"documentTab": {"body": {"content": [paragraph(image, run("x\n"))]}}}
    told = document_of({"documentId": "1", "tabs": [tab]})
    assert f"{FILLER}x\n" == tab_of(told, "").paragraphs[0].text


TABLE = "one 😀\n| a | b |\nlast"
"""Places: 1 o, 5 and 6 the smile, 7 its line break, 8 the table, 11 a, 12 its line break, 17 the end."""


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("insertText", {"location": {"index": 0}, "text": "x"}),
        ("insertText", {"location": {"index": 6}, "text": "x"}),
        ("insertText", {"location": {"index": 8}, "text": "x"}),
        ("insertText", {"location": {"index": 99}, "text": "x"}),
        ("insertText", {"location": {"index": 1, "tabId": "t.9"}, "text": "x"}),
        ("deleteContentRange", {"range": {"startIndex": 1, "endIndex": 6}}),
        ("deleteContentRange", {"range": {"startIndex": 7, "endIndex": 8}}),
        ("deleteContentRange", {"range": {"startIndex": 11, "endIndex": 13}}),
        ("deleteContentRange", {"range": {"startIndex": 5, "endIndex": 99}}),
        ("createNamedRange", {"name": "x", "range": {"startIndex": 3, "endIndex": 3}}),
        ("updateParagraphStyle", {"range": {"startIndex": 1, "endIndex": 2}, "paragraphStyle": {}}),
    ],
)
def test_the_stand_in_refuses_what_google_refuses_and_changes_nothing(kind: str, told: dict[str, Any]):
    first = {"insertText": {"location": {"index": 1}, "text": "before "}}
    body = body_of(TABLE)
    shifted = {"insertText": {"endOfSegmentLocation": {}, "text": "!"}}
    world = GoogleWorld(GoogleSettings())
    file = world.state.add_file("T")
    world.state.set_document(file, body)
    methods = DocsMethods(world)

    def send(*requests: dict[str, Any]) -> None:
        methods.batch_update(Call({"documentId": file.id}, {"requests": list(requests)}, world.wire("")))

    with pytest.raises(RefusedError):
        send(shifted, {kind: told}, first)
    assert body_of(TABLE).text() == world.state.document(file.id).text()
    send(shifted, first)
    assert "before one 😀\na\nb\nlast!\n" == world.state.document(file.id).text()
