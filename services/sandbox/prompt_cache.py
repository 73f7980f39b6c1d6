"""A model of a provider's prompt cache, as Anthropic documents it: prefixes, cache points, a look back.

A prompt is a row of blocks. Up to each cache point the prefix is kept; a later prompt reads the longest kept
prefix that ends at one of its cache points or up to LOOK_BACK_BLOCKS before one. Tokens are bytes by four.
Not modelled: expiry after minutes, and that a prefix is usable only once its answer began.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

BYTES_PER_TOKEN = 4
TOKENS_MIN = 1_024
"""A shorter prefix is not kept."""
LOOK_BACK_BLOCKS = 20
PREFIXES_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Block:
    """A block of a prompt, without its mark. `point`: a cache point stands behind it."""

    content: Any
    point: bool = False


@dataclass(frozen=True, slots=True)
class PromptUsage:
    """Tokens of a prompt; each is counted once."""

    read: int
    written: int
    fresh: int


class PromptCache:
    """The prefixes kept so far, the least used going first when there are PREFIXES_MAX."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, None] = OrderedDict()

    def use(self, model: str, prompt: Sequence[Block]) -> PromptUsage:
        """Read what is kept of this prompt, keep what is marked, and count."""
        prefixes, tokens = _prefixes(model, prompt)
        total = tokens[-1] if tokens else 0
        points = [place for place, block in enumerate(prompt) if block.point and tokens[place] >= TOKENS_MIN]
        if not points:
            return PromptUsage(0, 0, total)
        read = max((tokens[place] for place in self._found(prefixes, points)), default=0)
        for place in points:
            self._keep(prefixes[place])
        return PromptUsage(read, max(0, tokens[points[-1]] - read), total - max(read, tokens[points[-1]]))

    def _found(self, prefixes: Sequence[bytes], points: Sequence[int]) -> list[int]:
        looked_at = {
            place for point in points for place in range(max(0, point - LOOK_BACK_BLOCKS), point + 1)
        }
        return [place for place in looked_at if prefixes[place] in self._kept]

    def _keep(self, prefix: bytes) -> None:
        self._kept[prefix] = None
        self._kept.move_to_end(prefix)
        while len(self._kept) > PREFIXES_MAX:
            self._kept.popitem(last=False)


def _prefixes(model: str, prompt: Sequence[Block]) -> tuple[list[bytes], list[int]]:
    """For each block, the digest of all up to it, and their tokens."""
    digest, size = hashlib.sha256(model.encode()), 0
    prefixes: list[bytes] = []
    tokens: list[int] = []
    for block in prompt:
        written = json.dumps(block.content, ensure_ascii=False).encode()
        digest.update(written)
        size += len(written)
        prefixes.append(digest.digest())
        tokens.append(-(-size // BYTES_PER_TOKEN))
    return prefixes, tokens
