"""Bytes a vendor would never send and anybody with its secret could: its own payloads, mutated.

Everything is derived from a seed that never changes, so a run that fails fails again.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

MUTATIONS_MAX = 3
DEEP = "lists in lists"
"""Stands for them until the payload is written out: near a thousand of them, a parser gives up."""
DETERMINED = settings(derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))


ODD: Sequence[Any] = (
    *(None, True, False, 0, -1, 7.5, 2**31, 2**63, 10**400, float("inf"), float("nan"), {}, [], [None]),
    *(
        "",
        " ",
        "\0",
        "a\0b",
        "\ud800",
        "\udfff x",
        "None",
        "../x",
        "\N{RIGHT-TO-LEFT OVERRIDE}@atlas",
        "e\u0301",
    ),
    *(
        "\N{ZERO WIDTH JOINER}",
        "👩\N{ZERO WIDTH JOINER}💻",
        "١٢٣",
        "²",
        "1763850060.\N{ARABIC-INDIC DIGIT ZERO}",
        "@" * 70_000,
    ),
    *({"id": None}, {"type": ["Bot"]}, [{"is_bot": True}], {"": {"": ""}}, DEEP),
)
_GONE = object()
RAW: Sequence[Callable[[bytes], bytes]] = (
    lambda _: b"",
    lambda _: b"null",
    lambda _: b"[" * 100_000,
    lambda _: b"9" * 5_000,
    lambda body: body[: len(body) // 2],
    lambda body: b"\xef\xbb\xbf" + body,
    lambda body: body.replace(b'"', b"\xff", 1),
    lambda body: body.replace(b'": "', b'": "\xed\xa0\x80', 3),
    lambda body: body + b"\0",
    lambda body: b"payload=" + body,
)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where a value sits, for everything inside."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, each in inside for found in [(*path, key), *_paths(each, (*path, key))]]


def _change(told: Any, path: tuple[Any, ...], value: Any) -> None:
    """Put a value where the path leads, unless an earlier change took that place away."""
    *parents, last = path
    holder = told
    with suppress(LookupError, TypeError):
        for each in parents:
            holder = holder[each]
        if value is _GONE:
            del holder[last]
        else:
            holder[last] = copy.deepcopy(value)


@st.composite
def mutated(draw: DrawFn, payloads: Sequence[Any]) -> bytes:
    """One of the payloads with parts replaced or taken out; sometimes its bytes are spoilt too."""
    told = copy.deepcopy(draw(st.sampled_from(payloads)))
    for path in draw(st.lists(st.sampled_from(_paths(told)), max_size=MUTATIONS_MAX)):
        _change(told, path, draw(st.sampled_from([_GONE, *ODD])))
    as_ascii = draw(st.booleans())
    depth = draw(st.integers(0, 1_100))
    text = json.dumps(told, ensure_ascii=as_ascii).replace(f'"{DEEP}"', "[" * depth + "0" + "]" * depth)
    body = text.encode("utf-8", "surrogatepass")
    spoil = draw(st.none() | st.sampled_from(RAW))
    return spoil(body) if spoil and draw(st.booleans()) else body


def drawn(strategy: SearchStrategy[Any], count: int) -> list[Any]:
    """So many examples, always the same, for a test that cannot be one of hypothesis's own."""
    found: list[Any] = []

    @settings(DETERMINED, max_examples=count, phases=[Phase.generate])
    @given(strategy)
    def collect(example: Any) -> None:
        found.append(example)

    collect()
    return found
