"""What every provider of embeddings offers: one call for some texts, with all their vectors at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from aucert.models.v1.embedding_pb2 import EmbeddingPurpose
from services.models.domain import EmbeddingEntry


@dataclass(frozen=True, slots=True)
class Embedded:
    """The vectors of a call's texts, in order. `tokens` is None where the provider counts none.

    `cut` is how many of the texts the model read the beginning of only, as far as the provider says.
    """

    vectors: Sequence[Sequence[float]]
    tokens: int | None
    cut: int = 0


class Embedder(Protocol):
    """Embeds at most `entry.texts_a_call` texts. Raises the errors of `errors.py`; repeats nothing."""

    async def embed(
        self, texts: Sequence[str], entry: EmbeddingEntry, purpose: EmbeddingPurpose.ValueType
    ) -> Embedded:
        """Make one call."""
        ...

    async def aclose(self) -> None:
        """Give back what it holds."""
        ...
