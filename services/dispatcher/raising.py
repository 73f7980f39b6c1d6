"""A comment that lets a waiting run spend more, as in `/atlas raise $2`.

Whether its author may decide so is Astra's to say. Sources that cannot vouch for who wrote a comment leave
this alone.
"""

from __future__ import annotations

import re
from dataclasses import replace

from services.dispatcher.domain import Event, EventKind, SourceName

RAISE_CHARS_MAX = 200
_MICROS = 1_000_000
_RAISE = re.compile(
    r"(?:[@/]\S{1,64}[,:]?\s+)?raise(?:\s+by)?\s+\$?(\d{1,4})(?:\.(\d{1,6}))?\s*\$?[\s.!]*", re.IGNORECASE
)


def raised_usd_micros(words: str) -> int:
    """The amount the words ask for and nothing else, in millionths of a US dollar; 0: they do not."""
    said = words.strip()
    found = _RAISE.fullmatch(said) if len(said) <= RAISE_CHARS_MAX else None
    return int(found[1]) * _MICROS + int((found[2] or "").ljust(6, "0")) if found else 0


def or_raise(event: Event, words: str) -> Event:
    """The event, as a raise if that is what its author's words ask for."""
    amount = raised_usd_micros(words) if event.kind is EventKind.MESSAGE else 0
    return replace(event, kind=EventKind.RAISE, raise_usd_micros=amount) if amount else event


def identity(source: str, author_id: str, address: object) -> str:
    """Who wrote it, as operators are known: `github:<user id>`, `slack:<team>/<user>`. Empty: not known."""
    if source == SourceName.SLACK and isinstance(address, dict):
        return f"slack:{address['slack']['team_id']}/{author_id}"
    return f"{source}:{author_id}" if author_id else ""
