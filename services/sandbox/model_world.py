"""What the stand-ins of model providers share: replies told ahead, requests kept, a prompt cache, tokens.

A stand-in understands nothing. It checks that it was asked the way its vendor wants to be asked, and answers
with the next of the replies it was given.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from services.sandbox.prompt_cache import PromptCache

Json = dict[str, Any]
REQUESTS_MAX = 1_000
PIECE_CHARS = 12
"""Text and arguments are streamed in pieces of this size: a word or two, as models do."""


class Trouble(StrEnum):
    """What goes wrong within a stream, after the first piece."""

    CUT = "cut"
    """The connection is closed."""
    STALL = "stall"
    """Nothing more comes, and nothing ends."""


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A call the model makes; `arguments` as text, so that they may be broken."""

    name: str
    arguments: str = "{}"


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model answers next. `stop_reason` empty: the one that fits."""

    text: str = ""
    tool_uses: tuple[ToolUse, ...] = ()
    reasoning: str = ""
    signature: str = ""
    redacted: bytes = b""
    stop_reason: str = ""
    trouble: Trouble | None = None
    error: str = ""
    """Name of an error of the vendor's that is sent within the stream, after the first piece."""
    refused: str = ""
    """Name of an error of the vendor's that is the whole answer."""
    retry_after_seconds: int | None = None


@dataclass(slots=True)
class ModelWorld:
    """One provider's state. Without a reply to give it says so in a text of its own."""

    replies: deque[Reply] = field(default_factory=deque[Reply])
    requests: deque[Json] = field(default_factory=lambda: deque[Json](maxlen=REQUESTS_MAX))
    cache: PromptCache = field(default_factory=PromptCache)
    calls_ended_early: int = 0

    def clear(self) -> None:
        """Forget everything."""
        self.replies.clear()
        self.requests.clear()
        self.cache, self.calls_ended_early = PromptCache(), 0

    def next_reply(self, request: Json) -> Reply:
        """Keep the request and take the next reply."""
        self.requests.append(request)
        return self.replies.popleft() if self.replies else Reply(text="The stand-in has no reply left.")


def pieces(text: str) -> Iterator[str]:
    """A text as it is streamed."""
    return (text[start : start + PIECE_CHARS] for start in range(0, len(text), PIECE_CHARS))
