"""What a model writes for GitHub mentions nobody, and its code stays code."""

from __future__ import annotations

import pytest

from services.tools.github_text import harmless
from services.tools.quoting import INVISIBLE
from tests.pace import quickest

QUIET = f"@{INVISIBLE}ada"


@pytest.mark.parametrize(
    "code",
    [
        "`@ada`",
        "``a ` @ada``",
        "`@ada \\` b",
        "\\\\`@ada`",
        "\\``@ada`",
        "` one ``@ada`` two",
        "```\n@ada &#64;ada\n```\n",
        "`&#64;ada`",
        "a@ada",
    ],
)
def test_code_and_addresses_stay_as_they_are(code: str):
    assert code == harmless(code)


@pytest.mark.parametrize(
    "text",
    [
        "`a `` b` @ada `` c",
        "\\`@ada`",
        "\\\\\\`@ada`",
        "`x\n` @ada `",
        "`x\n\n@ada `",
        "| ` | @ada ` |",
        '<a title="`">@ada</a>`',
        "<div>\n```\n@ada\n```\n",
        "~~~ `x\ncode\n~~~\n@ada",
        "_@ada_",
        "\\@ada",
    ],
)
def test_what_only_looks_like_code_mentions_nobody(text: str):
    assert QUIET in harmless(text)
    assert "@ada" not in harmless(text)


@pytest.mark.parametrize("at", ["&#64;", "&#064;", "&#x40;", "&#X0040;", "&commat;"])
def test_an_entity_for_the_sign_mentions_nobody(at: str):
    assert QUIET == harmless(f"{at}ada", may_mention="ada")


@pytest.mark.parametrize("name", ["ada&#45;b", "ada\\-b", "ada_b", "ada/all", "&#97;da"])
def test_a_longer_name_is_not_taken_for_the_person_who_asked(name: str):
    assert f"@{INVISIBLE}{name}" == harmless(f"@{name}", may_mention="ada")
    assert "@Ada, @ada." == harmless("@Ada, @ada.", may_mention="ada")


@pytest.mark.parametrize("piece", ["`", "``` ` ", "\\`", "<a`", "@a", "`a` "])
def test_time_grows_no_faster_than_the_text(piece: str):
    long, short = (quickest(lambda n=n: harmless(piece * n)) for n in (20_000, 1_000))
    assert long < 0.2 + 100 * short
