"""Reasoning on its way through the transcript: kept whole for the model that wrote it, for nobody else.

A provider signs what its model thought and refuses a signature of another's, so what is kept carries its
owner, and a conversation that changes its model leaves the old one's reasoning behind.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from aucert.models.v1.message_pb2 import OpaqueReasoning, Part
from services.models.domain import ModelEntry


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A block of reasoning: its text with a signature, if it has one, or an encrypted whole in base64."""

    text: str = ""
    signature: str = ""
    redacted: str = ""


def owner(entry: ModelEntry) -> str:
    """Who can read the reasoning of this model back."""
    return f"{entry.provider}/{entry.label}"


def to_part(reasoning: Reasoning, entry: ModelEntry) -> Part:
    """A block as it goes into the transcript."""
    data = json.dumps(asdict(reasoning), ensure_ascii=False, sort_keys=True).encode()
    return Part(reasoning=OpaqueReasoning(provider=owner(entry), data=data))


def from_part(part: Part, entry: ModelEntry) -> Reasoning | None:
    """A block of the transcript; None if another model wrote it."""
    if part.reasoning.provider != owner(entry):
        return None
    return Reasoning(**json.loads(part.reasoning.data))
