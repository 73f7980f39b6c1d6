"""Bedrock's InvokeModel for embedding models, as much of it as we call: Titan v2, Cohere v3 and v4.

What a request must hold is the vendor's documentation; its frame is checked by Bedrock's service model. The
vectors mean nothing: numbers made of the text, the same for the same text.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from botocore.validate import ParamValidator

from services.sandbox.bedrock_rules import BedrockRefusal, input_shape

Json = dict[str, Any]
TITAN_DIMENSIONS, TITAN_CHARS_MAX = (256, 512, 1024), 50_000
COHERE_TEXTS_MAX, COHERE_V3_CHARS_MAX = 96, 2_048
COHERE_V4_DIMENSIONS = (256, 512, 1024, 1536)
INPUT_TYPES = ("search_document", "search_query", "classification", "clustering", "image")
_CHARS_PER_TOKEN = 4


def invoke(model_id: str, body: bytes) -> tuple[Json, Mapping[str, str]]:
    """What Bedrock answers, and with which headers. Raises BedrockRefusal."""
    _check_frame(model_id, body)
    try:
        asked = json.loads(body)
    except ValueError:
        raise BedrockRefusal("Malformed input request, please reformat your input and try again.") from None
    if re.search(r"\bamazon\.titan-embed-text-v2", model_id):
        return _titan(asked)
    if found := re.search(r"\bcohere\.embed-(?:[a-z]+-)?v([34])", model_id):
        return _cohere(asked, version=int(found[1]))
    raise BedrockRefusal("The provided model identifier is invalid.")


def _check_frame(model_id: str, body: bytes) -> None:
    shape = input_shape("InvokeModel")
    report = ParamValidator().validate({"modelId": model_id, "body": body}, shape)
    if report.has_errors():
        raise BedrockRefusal(report.generate_report())
    if not re.fullmatch(shape.members["modelId"].metadata["pattern"], model_id):
        raise BedrockRefusal("Value at 'modelId' failed to satisfy constraint.")


def _titan(asked: Json) -> tuple[Json, Mapping[str, str]]:
    _only(asked, {"inputText", "dimensions", "normalize", "embeddingTypes"})
    text, dimensions = asked.get("inputText"), asked.get("dimensions", 1024)
    if not isinstance(text, str) or not 1 <= len(text) <= TITAN_CHARS_MAX:
        raise BedrockRefusal(f"#/inputText: expected minLength: 1, maxLength: {TITAN_CHARS_MAX}")
    if dimensions not in TITAN_DIMENSIONS:
        raise BedrockRefusal(f"#/dimensions: {dimensions} is not a valid enum value")
    vector = _vector(text, dimensions)
    count = _tokens([text])
    told = {
        "embedding": vector,
        "inputTextTokenCount": count,
        "embeddingsByType": {"float": vector},
    }
    return told, _counted(count)


def _cohere(asked: Json, *, version: int) -> tuple[Json, Mapping[str, str]]:
    _only(
        asked,
        {"texts", "input_type", "truncate", "embedding_types"}
        | ({"output_dimension", "images", "inputs", "max_tokens"} if version == 4 else {"images"}),
    )
    texts = asked.get("texts")
    if not isinstance(texts, list) or not 1 <= len(texts) <= COHERE_TEXTS_MAX:
        raise BedrockRefusal(f"#/texts: expected minItems: 1, maxItems: {COHERE_TEXTS_MAX}")
    if asked.get("input_type") not in INPUT_TYPES:
        raise BedrockRefusal("#: required key [input_type] not found")
    if version == 3 and any(len(text) > COHERE_V3_CHARS_MAX for text in texts):
        raise BedrockRefusal(f"#/texts/0: expected maxLength: {COHERE_V3_CHARS_MAX}")
    dimensions = asked.get("output_dimension", 1536) if version == 4 else 1024
    if version == 4 and dimensions not in COHERE_V4_DIMENSIONS:
        raise BedrockRefusal("#/output_dimension: not a valid enum value")
    vectors = [_vector(f"{asked['input_type']}: {text}", dimensions) for text in texts]
    by_type = bool(asked.get("embedding_types"))
    told = {
        "id": "embedding",
        "texts": texts,
        "embeddings": {"float": vectors} if by_type else vectors,
        "response_type": "embeddings_by_type" if by_type else "embeddings_floats",
    }
    return told, _counted(_tokens(texts))


def _only(asked: Json, known: set[str]) -> None:
    if extra := sorted(asked.keys() - known):
        raise BedrockRefusal(f"#: extraneous key [{extra[0]}] is not permitted")


def _vector(text: str, dimensions: int) -> list[float]:
    """Numbers from -1 to 1, made of the text."""
    numbers = hashlib.shake_256(text.encode()).digest(dimensions)
    return [(number - 127.5) / 127.5 for number in numbers]


def _tokens(texts: Sequence[str]) -> int:
    return sum(-(-len(text) // _CHARS_PER_TOKEN) for text in texts)


def _counted(tokens: int) -> Mapping[str, str]:
    return {"X-Amzn-Bedrock-Input-Token-Count": str(tokens)}
