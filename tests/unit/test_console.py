"""The console's pure parts: filters, stories, contents, words, frames."""

from __future__ import annotations

from datetime import UTC, datetime

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aucert.astra.v1.task_event_pb2 import AgentStarted, TaskEvent, ToolCallFinished, Turn
from aucert.astra.v1.task_run_pb2 import TASK_RUN_OUTCOME_FAILURE
from aucert.astra.v1.task_run_service_pb2 import StreamedText
from aucert.astra.v1.transcript_pb2 import TranscriptTurn
from aucert.models.v1.message_pb2 import ROLE_ASSISTANT, ROLE_USER, Message, OpaqueReasoning, Part, ToolCall
from gateway.console.contents import content_of
from gateway.console.filters import Filters, filters_of
from gateway.console.gathering import batches
from gateway.console.live import Frame
from gateway.console.story import Bar, NoteStep, Story, TurnStep
from gateway.console.words import OUTCOMES, SOURCES, STATUSES, span, visible, web_link
from gateway.console.writing import TEXT_CHARS_MAX as WRITING_CHARS_MAX
from gateway.console.writing import Writing
from services.common.errors import FieldInvalid

STARTED = datetime(2026, 11, 23, 12, tzinfo=UTC)


def choice(words):
    return st.sampled_from(["", *words])


@given(
    st.builds(
        Filters,
        status=choice(STATUSES),
        outcome=choice(OUTCOMES),
        source=choice(SOURCES),
        model=st.text(max_size=20).map(str.strip),
        page=st.text(max_size=20).map(str.strip),
    )
)
def test_filters_come_back_from_their_address(filters):
    from urllib.parse import parse_qsl

    assert filters == filters_of(dict(parse_qsl(filters.query)))


def test_a_filter_asks_for_what_its_words_say():
    asked = filters_of({"outcome": "failure", "model": " kimi ", "else": "x"}).request()
    assert (TASK_RUN_OUTCOME_FAILURE, "kimi", 0) == (asked.outcome, asked.model_alias, asked.status)


def test_unknown_words_of_a_filter_are_named():
    with pytest.raises(FieldInvalid) as wrong:
        filters_of({"status": "asleep", "source": "fax"})
    assert ["status", "source"] == [name for name, _ in wrong.value.violations]


def event(seq: int, at_ms: int, **detail) -> TaskEvent:
    found = TaskEvent(seq=seq, **detail)
    found.created_time.FromMilliseconds(int(STARTED.timestamp() * 1000) + at_ms)
    return found


EVENTS = [
    event(1, 100, agent_started=AgentStarted(model_alias="kimi")),
    event(2, 600, turn=Turn(position=1, duration_ms=400, tools_called=["a", "b"])),
    event(3, 900, tool_call=ToolCallFinished(tool_name="a", duration_ms=250)),
    event(4, 900, tool_call=ToolCallFinished(tool_name="b", duration_ms=50, failed=True, reason="LOST")),
    event(5, 1_500, turn=Turn(position=3, duration_ms=500)),
]


def test_a_story_places_turns_before_their_record_and_calls_after_their_turn():
    story = Story(STARTED)
    story.take(EVENTS)
    note, first, second = story.steps
    assert isinstance(note, NoteStep)
    assert isinstance(first, TurnStep)
    assert isinstance(second, TurnStep)
    assert [Bar(200, 400), Bar(1_000, 500)] == [first.bar, second.bar]
    assert [("a", Bar(600, 250), ""), ("b", Bar(600, 50), "LOST")] == [
        (call.tool_name, call.bar, call.reason) for call in first.calls
    ]
    assert [(0, 1), (2, 3)] == [(turn.sent_from, turn.position) for turn in (first, second)]
    assert (1_500, 5) == (story.span_ms, story.last_seq)


@given(st.integers(0, len(EVENTS)))
def test_a_story_told_in_parts_is_the_same_story(cut):
    whole, parts = Story(STARTED), Story(STARTED)
    whole.take(EVENTS)
    parts.take(EVENTS[:cut])
    parts.take(EVENTS[cut:])
    assert whole == parts


def test_a_story_says_which_turns_an_event_changed():
    story = Story(STARTED)
    story.take(EVENTS)
    assert [[1, 3], [1, 3], [3], []] == [
        [turn.position for turn in story.turns(after)] for after in (0, 3, 4, 5)
    ]


def turn(position: int, role, *parts: Part) -> TranscriptTurn:
    return TranscriptTurn(position=position, message=Message(role=role, parts=parts))


def content(*parts: Part, chars_max: int = 100):
    story = Story(STARTED)
    story.take(EVENTS)
    asked = turn(0, ROLE_USER, Part(text="Please."))
    return content_of(story.turns()[0], [asked, turn(1, ROLE_ASSISTANT, *parts)], chars_max=chars_max)


def test_arguments_are_laid_out_and_broken_ones_shown_as_they_are():
    deep = "[" * 100_000
    found = content(
        Part(tool_call=ToolCall(call_id="1", arguments_json='{"a":"é"}')),
        Part(tool_call=ToolCall(call_id="2", arguments_json="{broken")),
        Part(tool_call=ToolCall(call_id="3", arguments_json=deep)),
    )
    assert ['{\n  "a": "é"\n}', "{broken", "[" * 100] == [each.arguments.text for each in found.calls]
    assert len(deep) - 100 == found.left_out
    assert [None] * 3 == [each.result for each in found.calls]


def test_arguments_that_would_grow_when_laid_out_are_shown_as_they_are():
    nested = "[" * 900 + ",".join(["1"] * 4_000) + "]" * 900
    (call,) = content(
        Part(tool_call=ToolCall(call_id="1", arguments_json=nested)), chars_max=len(nested)
    ).calls
    assert (nested, 0) == (call.arguments.text, call.arguments.left_out)


def test_a_turn_shows_what_was_new_and_names_reasoning_nobody_can_read():
    found = content(Part(reasoning=OpaqueReasoning(provider="acme", data=b"x")), Part(text="Yes."))
    assert ["Please."] == [each.text for each in found.sent]
    assert ["(reasoning that only acme can read)\n\nYes."] == [each.text for each in found.said]


def test_only_links_to_web_pages_are_links():
    good = ["https://github.com/acme/shop/pull/1", "http://127.0.0.1:8090/x"]
    bad = [
        "javascript:alert(1)",
        " javascript:x",
        "data:text/html,x",
        "//evil.example",
        "https:",
        "http://[",
        "",
    ]
    assert [*good, *[""] * len(bad)] == [web_link(each) for each in (*good, *bad)]


def test_characters_that_deceive_the_eye_are_spelled_out():
    assert "exeU+202Efdp" == visible("exe\u202efdp")
    assert "a\n\tb é 漢" == visible("a\n\tb é 漢")


def test_lengths_of_time_read_short():
    assert ["999 ms", "1.5 s", "1 min 05 s", "2 h 03 min"] == [
        span(each) for each in (999, 1_500, 65_000, 7_380_000)
    ]


def test_a_frame_with_any_line_end_is_one_message():
    assert b"id: 7\ndata: a\ndata: b\ndata: c\n\n" == Frame("a\r\nb\rc", id="7").encoded()
    assert b"event: end\ndata: \n\n" == Frame(event="end").encoded()
    assert b":\n\n" == Frame().encoded()


async def test_what_arrives_together_comes_together_and_an_error_after_it():
    async def messages():
        for number in range(1_000):
            yield number
        raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata())

    found: list[int] = []

    async def read():
        async for batch in batches(messages()):
            found.extend(batch)

    with pytest.raises(grpc.aio.AioRpcError):
        await read()
    assert found
    assert list(range(len(found))) == found


async def test_a_silence_is_an_empty_batch(monkeypatch):
    import asyncio

    monkeypatch.setattr("gateway.console.gathering.SILENCE_SECONDS", 0.01)

    async def messages():
        yield "first"
        await asyncio.Event().wait()

    coming = batches(messages())
    assert [["first"], [], []] == [await anext(coming) for _ in range(3)]
    await coming.aclose()


def piece(offset: int, text: str, *, position: int = 3, fence: int = 1) -> StreamedText:
    return StreamedText(offset=offset, text=text, position=position, fence=fence)


def written(*pieces: StreamedText, recorded: int = 2) -> tuple[str, bool]:
    writing = Writing()
    for each in pieces:
        writing.take(each, recorded)
    return writing.text, writing.is_cut


def test_text_is_put_together_from_pieces_that_may_repeat_or_be_missing():
    assert written(piece(0, "Once"), piece(4, " upon")) == ("Once upon", False)
    assert written(piece(0, "Once upon"), piece(0, "Once"), piece(4, " upon a")) == ("Once upon a", False)
    assert written(piece(40, "a time")) == ("a time", True)
    assert written(piece(0, "Once"), piece(40, "a time")) == ("a time", True)
    assert written(piece(40, "a time"), piece(0, "Once")) == ("Once", False)


def test_only_the_end_of_a_long_text_is_kept():
    text, is_cut = written(*(piece(place, "x" * 1_000) for place in range(0, 9_000, 1_000)))
    assert (len(text), is_cut) == (WRITING_CHARS_MAX, True)


def test_a_new_turn_or_attempt_begins_anew_and_a_recorded_turn_is_left_out():
    assert written(piece(0, "Once"), piece(0, "Then", position=5)) == ("Then", False)
    assert written(piece(0, "Once"), piece(0, "Anew", fence=2)) == ("Anew", False)
    assert written(piece(0, "Once"), recorded=3) == ("", False)
