"""What readers of a run are sent while a model writes."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from aucert.astra.v1.task_run_service_pb2 import PublishTextRequest, PublishTextResponse
from aucert.models.v1.model_service_pb2 import GenerateResponse, ReasoningMark, ToolCallDelta
from services.worker import reading_along
from services.worker.reading_along import PIECE_CHARS_MAX, TAIL_CHARS_MAX, LiveText, Readers, words_of

RUN = "run-1"


class Published:
    """Stands for Astra: keeps what it was sent."""

    def __init__(self) -> None:
        self.pieces: list[tuple[int, str]] = []

    async def PublishText(self, request: PublishTextRequest, **_options: float) -> PublishTextResponse:
        self.pieces.append((request.text.offset, request.text.text))
        return PublishTextResponse()

    def read(self) -> str:
        """The text as a reader puts it together."""
        text = ""
        for offset, piece in self.pieces:
            text = text[:offset].ljust(offset, "…") + piece
        return text


@pytest.fixture
def astra(monkeypatch: pytest.MonkeyPatch) -> Published:
    monkeypatch.setattr(reading_along, "SEND_SECONDS", 0.0)
    return Published()


def live_text(readers: Readers, astra: Published) -> LiveText:
    return LiveText(readers, cast("Any", astra), RUN, fence=1, position=1)


async def write(live: LiveText, *words: str) -> None:
    for word in words:
        live.add(GenerateResponse(text_delta=word))
        for _ in range(20):
            await asyncio.sleep(0)


async def test_nothing_is_sent_while_nobody_reads(astra: Published) -> None:
    await write(live_text(Readers(), astra), "Once", " upon")
    assert astra.pieces == []


async def test_a_reader_who_comes_late_has_all_of_the_text_and_then_what_is_added(astra: Published) -> None:
    readers = Readers()
    live = live_text(readers, astra)
    await write(live, "Once", " upon")
    readers.told_of(RUN)
    await write(live, " a", " time")
    assert astra.pieces == [(0, "Once upon a"), (11, " time")]
    readers.told_of(RUN)
    await write(live, "!")
    assert astra.pieces[2:] == [(0, "Once upon a time!")]


async def test_a_long_text_goes_in_bounded_pieces_and_only_its_end_is_kept(astra: Published) -> None:
    readers = Readers()
    readers.told_of(RUN)
    text = "".join(f"{number} " for number in range(3_000))
    await write(live_text(readers, astra), text)
    assert max(len(piece) for _, piece in astra.pieces) <= PIECE_CHARS_MAX
    assert astra.read()[-TAIL_CHARS_MAX:] == text[-TAIL_CHARS_MAX:]
    assert astra.pieces[0][0] == len(text) - TAIL_CHARS_MAX


async def test_sending_ends_with_its_last_reader(astra: Published) -> None:
    readers = Readers()
    readers.told_of(RUN)
    live = live_text(readers, astra)
    live.add(GenerateResponse(text_delta="Once"))
    while not astra.pieces:  # from here on the model never pauses
        await asyncio.sleep(0)
    readers.forget(RUN)
    for _ in range(10):
        live.add(GenerateResponse(text_delta=" upon"))
        await asyncio.sleep(0)
    assert astra.pieces == [(0, "Once")]


async def test_sending_ends_with_the_call(astra: Published) -> None:
    readers = Readers()
    readers.told_of(RUN)
    live = live_text(readers, astra)
    with live.following():
        live.add(GenerateResponse(text_delta="Once"))
    await asyncio.sleep(0)
    assert astra.pieces == []


def test_a_reader_is_forgotten_after_a_while_and_with_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    readers = Readers()
    readers.told_of(RUN)
    readers.told_of(RUN)
    assert readers.times_told(RUN) == 2
    readers.forget(RUN)
    assert readers.times_told(RUN) == 0
    monkeypatch.setattr(reading_along, "READER_SECONDS", 0.0)
    readers.told_of(RUN)
    assert readers.times_told(RUN) == 0


def test_calls_and_reasoning_are_told_in_words():
    call = ToolCallDelta(index=0, tool_name="repo_read_file", arguments_delta="{")
    assert "repo_read_file" in words_of(GenerateResponse(tool_call_delta=call))
    assert words_of(GenerateResponse(tool_call_delta=ToolCallDelta(arguments_delta="}"))) == ""
    assert words_of(GenerateResponse(reasoning_mark=ReasoningMark())) == "(reasons)\n"


async def test_a_reader_who_comes_while_the_model_is_silent_need_not_wait_for_its_next_word(
    astra: Published,
) -> None:
    readers = Readers()
    live = live_text(readers, astra)
    with live.following():
        await write(live, "Once")
        readers.told_of(RUN)
        for _ in range(20):
            await asyncio.sleep(0)
    readers.told_of(RUN)
    await asyncio.sleep(0)
    assert astra.pieces == [(0, "Once")]
