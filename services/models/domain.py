"""What a catalogue holds, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol


class Capability(StrEnum):
    """What a model can be asked for beyond text."""

    TOOLS = "tools"
    """It calls tools. Without this it is offered none."""
    FORCED_TOOLS = "forced_tools"
    """It can be made to call one."""
    TOOL_ERRORS = "tool_errors"
    """Its provider takes a mark on the result of a tool call that failed."""
    CACHE_POINTS = "cache_points"
    """Its provider caches a prompt up to the points we set."""
    TOKEN_COUNT = "token_count"  # noqa: S105 - tokens of text, no secret
    """Its provider counts the tokens of a call before it is made."""


@dataclass(frozen=True, slots=True)
class Price:
    """Millionths of a US dollar per million tokens."""

    input_usd_micros: int
    output_usd_micros: int
    cache_read_usd_micros: int
    cache_write_usd_micros: int


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds of patience with a model: until it says something, between two pieces, for a whole call."""

    first_token_seconds: float = 120.0
    between_tokens_seconds: float = 60.0
    call_seconds: float = 900.0


@dataclass(frozen=True, slots=True)
class CallLimits:
    """Most of a model's use by all processes together; 0: no limit."""

    requests_a_minute: int = 0
    tokens_a_minute: int = 0
    calls_at_once: int = 0


@dataclass(frozen=True, slots=True)
class TokenCount:
    """Tokens of one call; cached ones are not counted again as input."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model of the catalogue. `off_reason` empty: it can be called."""

    alias: str
    label: str
    provider: str
    provider_model_id: str
    context_tokens_max: int
    output_tokens_max: int
    price: Price
    tags: tuple[str, ...] = ()
    off_reason: str = ""
    capabilities: frozenset[Capability] = frozenset({Capability.TOOLS})
    timeouts: Timeouts = field(default_factory=Timeouts)
    fallbacks: tuple[str, ...] = ()
    """Aliases of the models that stand in for it, the first one first."""
    limits: CallLimits = field(default_factory=CallLimits)

    def can(self, capability: Capability) -> bool:
        """Whether the model has this capability."""
        return capability in self.capabilities

    def output_tokens(self, asked: int) -> int:
        """Tokens to let it write when a caller asks for at most this many; 0: no wish."""
        return min(asked or self.output_tokens_max, self.output_tokens_max)


@dataclass(frozen=True, slots=True)
class Dialect:
    """In what a server that speaks chat completions differs from the others."""

    output_limit_field: str = "max_tokens"
    usage_in_stream: bool = True
    """Whether it takes `stream_options`; one that does not is asked for no usage, which is then estimated."""
    reasoning_sent_back: bool = True
    """Whether it wants its reasoning back with the calls it led to."""


@dataclass(frozen=True, slots=True)
class EmbeddingEntry:
    """One embedding model of the catalogue. `off_reason` empty: it can be called.

    `form` is how it is spoken to; `usd_micros` the price of a million tokens in millionths of a US dollar.
    """

    alias: str
    provider: str
    provider_model_id: str
    form: Literal["minilm", "titan", "cohere", "openai"]
    dimensions: int
    asks_dimensions: bool
    texts_a_call: int
    text_chars_max: int
    usd_micros: int
    off_reason: str = ""


class Named(Protocol):
    """A model of either kind, as far as an error has to name it."""

    @property
    def alias(self) -> str:
        """Its alias."""
        ...
