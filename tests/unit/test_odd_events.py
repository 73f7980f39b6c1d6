"""What Anthropic and Bedrock should not send, and a server in their place may."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic.types import (
    RawContentBlockDeltaEvent,
    RawMessageDeltaEvent,
    RawMessageStartEvent,
    RawMessageStreamEvent,
)

from aucert.models.v1.message_pb2 import ROLE_USER, Message, Part
from aucert.models.v1.model_service_pb2 import GenerateRequest
from services.models import anthropic_adapter, bedrock_adapter
from services.models.domain import ModelEntry, Price, TokenCount
from services.models.errors import ModelUnavailable

ENTRY = ModelEntry("local", "L0", "anthropic", "claude", 32_768, 4_096, Price(0, 0, 0, 0))
REQUEST = GenerateRequest(messages=[Message(role=ROLE_USER, parts=[Part(text="Why?")])])
ESTIMATED = TokenCount(input=1, output=2)


def anthropic_fold(*events: RawMessageStreamEvent) -> anthropic_adapter.EventFold:
    folding = anthropic_adapter.EventFold(REQUEST, ENTRY)
    for each in events:
        folding.add(each)
    return folding


def bedrock_fold(*events: dict[str, Any]) -> bedrock_adapter.EventFold:
    folding = bedrock_adapter.EventFold(REQUEST, ENTRY)
    for each in events:
        folding.add(each)
    return folding


def piece(**fields: Any) -> RawContentBlockDeltaEvent:
    return RawContentBlockDeltaEvent.construct(None, type="content_block_delta", **fields)


def test_usage_anthropic_leaves_out_is_estimated():
    generation = anthropic_fold(
        RawMessageStartEvent.construct(type="message_start", message={}),
        piece(index=0, delta={"type": "text_delta", "text": "12345"}),
        RawMessageDeltaEvent.construct(type="message_delta", delta={"stop_reason": "end_turn"}, usage={}),
    ).finish(waited_seconds=0)
    assert generation.tokens == ESTIMATED


@pytest.mark.parametrize(
    "fields",
    [
        {"delta": {"type": "text_delta", "text": "x"}},
        {"index": 0, "delta": {"type": "text_delta", "text": ["x"]}},
    ],
)
def test_an_event_of_anthropic_that_makes_no_sense_makes_the_model_unavailable(fields: dict[str, object]):
    with pytest.raises(ModelUnavailable, match="makes no sense"):
        anthropic_fold(piece(**fields))


@pytest.mark.parametrize("metadata", [{}, {"usage": {}}, {"usage": {"inputTokens": 3}}])
def test_usage_bedrock_leaves_out_is_estimated(metadata: dict[str, object]):
    generation = bedrock_fold(
        {"contentBlockStart": {"contentBlockIndex": 0}},
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "12345"}}},
        {"messageStop": {"stopReason": "end_turn"}},
        {"metadata": metadata},
    ).finish(waited_seconds=0)
    assert generation.tokens == ESTIMATED


@pytest.mark.parametrize(
    "event",
    [
        {"contentBlockDelta": {"delta": {"text": "x"}}},
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": ["x"]}}},
        {"contentBlockStart": {"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "x"}}}},
        {"metadata": None},
    ],
)
def test_an_event_of_bedrock_that_makes_no_sense_makes_the_model_unavailable(event: dict[str, object]):
    with pytest.raises(ModelUnavailable, match="makes no sense"):
        bedrock_fold(event)
