"""Between the catalogue's values, the providers' pieces and the contract's messages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from aucert.models.v1.generation_pb2 import PassedOver
from aucert.models.v1.message_pb2 import Usage
from aucert.models.v1.model_pb2 import (
    MODEL_CAPABILITY_CACHE_POINTS,
    MODEL_CAPABILITY_FORCED_TOOLS,
    MODEL_CAPABILITY_TOKEN_COUNT,
    MODEL_CAPABILITY_TOOL_ERRORS,
    MODEL_CAPABILITY_TOOLS,
    Model,
    Pricing,
)
from aucert.models.v1.model_service_pb2 import (
    GenerateResponse,
    GenerationFinished,
    ReasoningMark,
    ToolCallDelta,
)
from services.models import provider
from services.models.cost import cost_usd_micros
from services.models.domain import Capability, ModelEntry, TokenCount
from services.models.provider import Delta, Generation

CAPABILITIES = {
    Capability.TOOLS: MODEL_CAPABILITY_TOOLS,
    Capability.FORCED_TOOLS: MODEL_CAPABILITY_FORCED_TOOLS,
    Capability.TOOL_ERRORS: MODEL_CAPABILITY_TOOL_ERRORS,
    Capability.CACHE_POINTS: MODEL_CAPABILITY_CACHE_POINTS,
    Capability.TOKEN_COUNT: MODEL_CAPABILITY_TOKEN_COUNT,
}


def model_to_proto(entry: ModelEntry) -> Model:
    """A model as callers see it."""
    call_timeout = Duration()
    call_timeout.FromTimedelta(timedelta(seconds=entry.timeouts.call_seconds))
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
        capabilities=[number for each, number in CAPABILITIES.items() if entry.can(each)],
        fallbacks=entry.fallbacks,
        call_timeout=call_timeout,
    )


def delta_to_proto(delta: Delta) -> GenerateResponse:
    """A piece of a stream."""
    if isinstance(delta, str):
        return GenerateResponse(text_delta=delta)
    if isinstance(delta, provider.ToolCallDelta):
        return GenerateResponse(
            tool_call_delta=ToolCallDelta(
                index=delta.index, tool_name=delta.tool_name, arguments_delta=delta.arguments
            )
        )
    return GenerateResponse(reasoning_mark=ReasoningMark())


def finished_to_proto(
    generation: Generation, entry: ModelEntry, passed_over: Sequence[PassedOver], *, overhead_us: int
) -> GenerateResponse:
    """The end of a stream, with its cost."""
    return GenerateResponse(
        finished=GenerationFinished(
            message=generation.message,
            finish_reason=generation.finish_reason,
            usage=usage_to_proto(generation.tokens),
            cost_usd_micros=cost_usd_micros(generation.tokens, entry.price),
            model_alias=entry.alias,
            model_label=entry.label,
            overhead_us=overhead_us,
            passed_over=passed_over,
        )
    )


def usage_to_proto(tokens: TokenCount) -> Usage:
    """Counted tokens."""
    return Usage(
        tokens_input=tokens.input,
        tokens_output=tokens.output,
        tokens_cache_read=tokens.cache_read,
        tokens_cache_write=tokens.cache_write,
    )
