"""Which words let a run spend more, and by whom they count as said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dispatcher.raising import identity, raised_usd_micros


@pytest.mark.parametrize(
    ("words", "usd_micros"),
    [
        ("/atlas raise $2", 2_000_000),
        ("@atlas raise 2.5", 2_500_000),
        ("@Atlas, RAISE by $0.05.\n", 50_000),
        ("raise $1", 1_000_000),
        ("/atlas raise 3$!", 3_000_000),
        ("/atlas raise $0", 0),
        ("/atlas raise $-2", 0),
        ("/atlas raise $99999", 0),
        ("/atlas raise $2 or maybe $200", 0),
        ("/atlas raise the question of money, $2", 0),
        ("please /atlas raise $2", 0),
        ("/atlas raise", 0),
        ("/atlas raise $" + "2" * 300, 0),
    ],
)
def test_only_a_plain_amount_standing_alone_is_a_raise(words: str, usd_micros: int) -> None:
    assert usd_micros == raised_usd_micros(words)


@given(st.text(alphabet="@/atlas raise$0.2, \n", max_size=300))
def test_any_words_are_read_without_failing(words: str) -> None:
    assert 0 <= raised_usd_micros(words) < 10_000_000_000


def test_people_are_known_by_their_sources_ids() -> None:
    slack = {"slack": {"team_id": "T1", "channel_id": "C1"}}
    assert "slack:T1/U1" == identity("slack", "U1", slack)
    assert "github:7" == identity("github", "7", {"github": {}})
    assert "" == identity("manual", "", {"manual": {}})
