"""The most a model call can cost, worked out before it is made, and what a cap leaves too little of it.

What it did cost, ModelService says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aucert.models.v1.message_pb2 import Message
from aucert.models.v1.model_pb2 import Model
from services.common.token_bound import tokens_at_most

PRICED_TOKENS = 1_000_000


def worst_case_usd_micros(model: Model, *, framing_bytes: int, messages: Iterable[Message]) -> int:
    """Price a call as if all of it were read at the dearest rate and the answer filled the output limit.

    `framing_bytes` is the size of the system prompt and the tool definitions.
    """
    size = framing_bytes + sum(message.ByteSize() for message in messages)
    tokens_input = min(tokens_at_most(size), model.context_tokens_max)
    pricing = model.pricing
    input_price = max(pricing.input_usd_micros, pricing.cache_write_usd_micros)
    total = tokens_input * input_price + model.output_tokens_max * pricing.output_usd_micros
    return -(-total // PRICED_TOKENS)


@dataclass(frozen=True, slots=True)
class Shortage:
    """What is in the way of a call: the cap ("run", "agent_day", "tenant_month"), and amounts of it.

    Amounts are in millionths of a US dollar; `reserved` is set aside for other calls.
    """

    cap: str
    limit: int
    spent: int
    reserved: int
    needed: int

    @classmethod
    def of(cls, metadata: Mapping[str, str]) -> Shortage:
        """As BUDGET_EXHAUSTED tells it."""
        return cls(
            metadata["cap"],
            *(int(metadata[f"{name}_usd_micros"]) for name in ("limit", "spent", "reserved", "needed")),
        )
