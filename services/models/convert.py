"""Between the catalogue's values and the contract's messages."""

from __future__ import annotations

from aucert.models.v1.message_pb2 import Usage
from aucert.models.v1.model_pb2 import Model, Pricing
from aucert.models.v1.model_service_pb2 import GenerationFinished
from services.models.cost import cost_usd_micros
from services.models.domain import ModelEntry, TokenCount
from services.models.provider import Generation


def model_to_proto(entry: ModelEntry) -> Model:
    """A model as callers see it."""
    return Model(
        alias=entry.alias,
        label=entry.label,
        provider=entry.provider,
        provider_model_id=entry.provider_model_id,
        context_tokens_max=entry.context_tokens_max,
        output_tokens_max=entry.output_tokens_max,
        pricing=Pricing(
            input_usd_micros=entry.price.input_usd_micros,
            output_usd_micros=entry.price.output_usd_micros,
            cache_read_usd_micros=entry.price.cache_read_usd_micros,
            cache_write_usd_micros=entry.price.cache_write_usd_micros,
        ),
        tags=entry.tags,
        available=not entry.off_reason,
        off_reason=entry.off_reason,
    )


def finished_to_proto(generation: Generation, entry: ModelEntry, *, overhead_us: int) -> GenerationFinished:
    """The end of a stream, with its cost."""
    return GenerationFinished(
        message=generation.message,
        finish_reason=generation.finish_reason,
        usage=usage_to_proto(generation.tokens),
        cost_usd_micros=cost_usd_micros(generation.tokens, entry.price),
        model_alias=entry.alias,
        model_label=entry.label,
        overhead_us=overhead_us,
    )


def usage_to_proto(tokens: TokenCount) -> Usage:
    """Counted tokens."""
    return Usage(
        tokens_input=tokens.input,
        tokens_output=tokens.output,
        tokens_cache_read=tokens.cache_read,
        tokens_cache_write=tokens.cache_write,
    )
