"""How many tokens a text can have at most: what money is set aside by, before anybody counts."""

from __future__ import annotations

BYTES_PER_TOKEN_MIN = 2
"""No tokenizer in use makes more tokens of prose or code than one for every two bytes of UTF-8."""


def tokens_at_most(size_bytes: int) -> int:
    """The bound, rounded up."""
    return -(-size_bytes // BYTES_PER_TOKEN_MIN)
