"""What a catalogue holds, as plain values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Price:
    """Millionths of a US dollar per million tokens."""

    input_usd_micros: int
    output_usd_micros: int
    cache_read_usd_micros: int
    cache_write_usd_micros: int


@dataclass(frozen=True, slots=True)
class TokenCount:
    """Tokens of one call; cached ones are not counted again as input."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model of the catalogue. `off_reason` empty: it can be called."""

    alias: str
    label: str
    provider: str
    provider_model_id: str
    context_tokens_max: int
    output_tokens_max: int
    price: Price
    tags: tuple[str, ...] = ()
    off_reason: str = ""
