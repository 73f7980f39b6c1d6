"""What a call costs, in whole millionths of a US dollar."""

from __future__ import annotations

from services.models.domain import Price, TokenCount

TOKENS_PER_PRICE = 1_000_000


def cost_usd_micros(tokens: TokenCount, price: Price) -> int:
    """The cost of a call by the catalogue's prices, rounded up: a reservation must never be too small."""
    total = (
        tokens.input * price.input_usd_micros
        + tokens.output * price.output_usd_micros
        + tokens.cache_read * price.cache_read_usd_micros
        + tokens.cache_write * price.cache_write_usd_micros
    )
    return -(-total // TOKENS_PER_PRICE)
