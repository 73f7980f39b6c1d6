"""One order out of several."""

from __future__ import annotations

import pytest

from services.astra.rank_fusion import DAMPING, fuse


def order(*lists: str) -> str:
    return "".join(each.key for each in fuse(*lists))


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        (("abc",), "abc"),
        (("abc", ""), "abc"),
        (("", ""), ""),
        (("abc", "cab"), "acb"),
        (("ab", "cd"), "acbd"),
        (("abcde", "e"), "eabcd"),
    ],
)
def test_what_several_lists_hold_goes_before_what_one_holds(lists: tuple[str, ...], expected: str):
    assert expected == order(*lists)


def test_each_item_says_its_place_in_every_list():
    (first, *_, last) = fuse("ab", "ca")
    assert ("a", (1, 2)) == (first.key, first.ranks)
    assert pytest.approx(1 / (DAMPING + 1) + 1 / (DAMPING + 2)) == first.score
    assert ("b", (2, 0)) == (last.key, last.ranks)
