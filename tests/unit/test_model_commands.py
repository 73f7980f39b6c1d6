"""How models and what they write read on a terminal."""

import io

import pytest

from aucert.astra.v1.task_event_pb2 import TaskEvent, Turn
from aucert.astra.v1.task_run_service_pb2 import StreamedText
from aucert.models.v1.generation_pb2 import PassedOver
from aucert.models.v1.model_pb2 import Model, Pricing
from services.cli.live_text import LiveText
from services.cli.model_commands import model_row
from services.cli.show import event_line


def test_a_model_is_shown_with_its_prices_in_dollars():
    pricing = Pricing(input_usd_micros=950_000, output_usd_micros=4_000_000)
    model = Model(alias="kimi", label="K26", provider="foundry", pricing=pricing, tags=["kimi", "k26"])
    assert model_row(model) == ("kimi", "[K26]", "foundry", "0.95", "4", "kimi k26", "")


def test_a_turn_says_whom_it_stands_in_for_and_that_it_was_cut():
    away = PassedOver(model_alias="sonnet", reason="MODEL_UNAVAILABLE")
    turn = Turn(model_alias="kimi", tokens_input=7, tokens_output=3, cut="length", passed_over=[away])
    expected = "  2  kimi answered (7 + 3 tokens), cut: length, in place of sonnet: MODEL_UNAVAILABLE"
    assert event_line(TaskEvent(seq=2, turn=turn)) == expected


@pytest.mark.parametrize(
    ("pieces", "printed"),
    [
        ([(1, 0, "Once"), (1, 4, " upon")], "Once upon"),
        ([(1, 0, "Once"), (1, 0, "Once upon")], "Once upon"),
        ([(1, 0, "Once"), (1, 9, "a time")], "Once…a time"),
        ([(1, 0, "Once"), (3, 0, "Then")], "Once\nThen"),
        ([(1, 0, "\x1b]0;gone\x07\n\tOnce\x9b2J"), (1, 18, " é")], "]0;gone\n\tOnce2J é"),
    ],
)
def test_each_character_is_printed_once(pieces: list[tuple[int, int, str]], printed: str):
    out = io.StringIO()
    live = LiveText(out)
    for position, offset, text in pieces:
        live.add(StreamedText(fence=1, position=position, offset=offset, text=text))
    live.end_line()
    live.end_line()
    assert out.getvalue() == printed + "\n"
