"""Sealing: what opens, what does not, and what VAULT_KEY may look like."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from services.astra.envelope import CannotUnseal, KeyRing, read_keys

PLACE = ["tenant", "github", "atlas"]
KEY = base64.b64encode(b"k" * 32).decode()
URL_SAFE = base64.urlsafe_b64encode(b"\xff" * 32).decode()


def ring(*ids: str) -> KeyRing:
    return KeyRing({key_id: key_id.encode().ljust(32) for key_id in ids})


def flipped(value: bytes, at: int = -1) -> bytes:
    changed = bytearray(value)
    changed[at] ^= 1
    return bytes(changed)


def test_a_sealed_value_opens_where_it_was_sealed_and_looks_like_nothing() -> None:
    keys = ring("new", "old")
    sealed, again = keys.seal(b"xoxb-1", PLACE), keys.seal(b"xoxb-1", PLACE)
    assert (b"xoxb-1", "new") == (keys.open(sealed, PLACE), sealed.key_id)
    assert b"xoxb" not in sealed.wrapped_key + sealed.ciphertext
    assert not {sealed.wrapped_key, sealed.ciphertext} & {again.wrapped_key, again.ciphertext}


def test_an_older_key_of_the_ring_still_opens() -> None:
    sealed = ring("old").seal(b"xoxb-1", PLACE)
    assert b"xoxb-1" == ring("new", "old").open(sealed, PLACE)


@pytest.mark.parametrize(
    "place",
    [
        ["other tenant", "github", "atlas"],
        ["tenant", "slack", "atlas"],
        ["tenant", "github", "other"],
        ["tenant", "githubatlas"],
        [*PLACE, ""],
    ],
)
def test_a_value_does_not_open_in_another_place(place: list[str]) -> None:
    keys = ring("a")
    with pytest.raises(CannotUnseal) as caught:
        keys.open(keys.seal(b"xoxb-1", PLACE), place)
    assert ("a", True) == (caught.value.key_id, caught.value.key_known)


@pytest.mark.parametrize(
    "damage",
    ["ciphertext", "nonce", "wrapped key", "other key", "nothing"],
)
def test_a_value_that_was_touched_does_not_open(damage: str) -> None:
    keys = ring("a", "b")
    sealed = keys.seal(b"xoxb-1", PLACE)
    touched = {
        "ciphertext": replace(sealed, ciphertext=flipped(sealed.ciphertext)),
        "nonce": replace(sealed, ciphertext=flipped(sealed.ciphertext, 0)),
        "wrapped key": replace(sealed, wrapped_key=flipped(sealed.wrapped_key)),
        "other key": replace(sealed, key_id="b"),
        "nothing": replace(sealed, ciphertext=b""),
    }
    with pytest.raises(CannotUnseal):
        keys.open(touched[damage], PLACE)


def test_a_key_that_is_not_at_hand_is_named() -> None:
    with pytest.raises(CannotUnseal) as caught:
        ring("new").open(ring("lost").seal(b"xoxb-1", PLACE), PLACE)
    assert ("lost", False) == (caught.value.key_id, caught.value.key_known)


@pytest.mark.parametrize(
    ("setting", "ids"),
    [
        (f"k1:{KEY}", ["k1"]),
        (f" 2026-11:{URL_SAFE} , k1:{KEY},", ["2026-11", "k1"]),
    ],
)
def test_the_first_key_seals(setting: str, ids: list[str]) -> None:
    keys = read_keys(setting)
    assert keys
    assert (ids, ids[0]) == (list(keys.ids), keys.current)


def test_no_key_is_no_vault() -> None:
    assert [None, None] == [read_keys(""), read_keys(" , ")]


@pytest.mark.parametrize(
    "setting",
    [
        KEY,
        f":{KEY}",
        "k1:",
        "k1:c2hvcnQ=",
        f"k1:{KEY}x",
        f"k 1:{KEY}",
        f"k1:{KEY},k1:{URL_SAFE}",
        "k1:ключ",
        ",".join(f"k{number}:{KEY}" for number in range(21)),
    ],
)
def test_an_odd_setting_is_refused_without_being_repeated(setting: str) -> None:
    with pytest.raises(ValueError, match=r"is <id>:<key>|same id|more than") as caught:
        read_keys(setting)
    assert not any(part and part in str(caught.value) for part in setting.replace(":", ",").split(","))
