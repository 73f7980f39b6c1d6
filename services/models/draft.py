"""The message a model is writing, put together from the pieces its provider sends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from aucert.models.v1.generation_pb2 import FINISH_REASON_STOP, FINISH_REASON_TOOL_CALLS, FinishReason
from aucert.models.v1.message_pb2 import ROLE_ASSISTANT, Message, Part, ToolCall
from aucert.models.v1.model_service_pb2 import GenerateRequest
from services.models import reasoning
from services.models.domain import ModelEntry, TokenCount
from services.models.errors import ModelUnavailable
from services.models.provider import Delta, Generation, ReasoningMark, ToolCallDelta, call_id, turn_number
from services.models.reasoning import Reasoning
from services.models.tokens import estimate

TOOL_CALLS_MAX = 128
CHARS_MAX = 4_000_000
"""More than any model writes in one call, and less than a message of ours may hold."""
PLACE_MAX = 2**31 - 1
"""The highest place a message of ours can name."""
_NO_SENSE = (AttributeError, LookupError, TypeError, ValueError)
"""What reading a provider's answer raises where it is not of the shape its dialect promises."""


@dataclass(slots=True)
class _Call:
    name: str = ""
    arguments: list[str] = field(default_factory=list[str])


class Draft:
    """Grows block by block. A block's `place` orders it within the message; it may come in any order.

    Each addition returns what to pass on, and raises ModelUnavailable when a provider exceeds all bounds.
    """

    def __init__(self, request: GenerateRequest, entry: ModelEntry) -> None:
        self._request = request
        self._entry = entry
        self._texts: dict[int, list[str]] = {}
        self._calls: dict[int, _Call] = {}
        self._thoughts: dict[int, Reasoning] = {}
        self._thinking: int | None = None
        self._chars = 0

    def add_text(self, place: int, text: str) -> Sequence[Delta]:
        """Add to a block of text."""
        self._check(place, text)
        if not text:
            return ()
        self._thinking = None
        self._texts.setdefault(place, []).append(text)
        return (text,)

    def add_call(self, place: int, *, name: str = "", arguments: str = "") -> Sequence[Delta]:
        """Add to a tool call; the first name it is given is its name."""
        self._check(place, name, arguments)
        self._thinking = None
        if place not in self._calls and len(self._calls) >= TOOL_CALLS_MAX:
            raise ModelUnavailable(f"The model asked for more than {TOOL_CALLS_MAX} tools at once.")
        call = self._calls.setdefault(place, _Call())
        told = "" if call.name else name
        call.name = call.name or name
        call.arguments.append(arguments)
        return (ToolCallDelta(place, told, arguments),) if told or arguments else ()

    def add_reasoning(
        self, place: int, *, text: str = "", signature: str = "", redacted: str = ""
    ) -> Sequence[Delta]:
        """Add to a block of reasoning; only its beginning is passed on."""
        self._check(place, text, signature, redacted)
        block = self._thoughts.get(place, Reasoning())
        self._thoughts[place] = replace(
            block,
            text=block.text + text,
            signature=block.signature + signature,
            redacted=block.redacted + redacted,
        )
        begins, self._thinking = self._thinking != place, place
        return (ReasoningMark(),) if begins else ()

    def finish(
        self, reason: FinishReason.ValueType, tokens: TokenCount | None, *, waited_seconds: float
    ) -> Generation:
        """The whole message. Tokens nobody counted are estimated."""
        message = Message(role=ROLE_ASSISTANT, parts=self._parts())
        if reason in (FINISH_REASON_STOP, FINISH_REASON_TOOL_CALLS):  # not every provider tells them apart
            reason = FINISH_REASON_TOOL_CALLS if self._calls else FINISH_REASON_STOP
        return Generation(message, reason, tokens or estimate(self._request, message), waited_seconds)

    @contextmanager
    def making_sense(self) -> Iterator[None]:
        """Raise ModelUnavailable where what the provider sent cannot be read."""
        try:
            yield
        except _NO_SENSE:
            raise ModelUnavailable(f"The answer of {self._entry.alias} makes no sense. Try again.") from None

    def cut_off(self) -> ModelUnavailable:
        """What to raise when the stream ended before the model did."""
        return ModelUnavailable(f"The answer of {self._entry.alias} was cut off on its way. Try again.")

    def _parts(self) -> Iterator[Part]:
        turn, calls = turn_number(self._request), 0
        for place in sorted({*self._thoughts, *self._texts, *self._calls}):
            if place in self._thoughts:
                yield reasoning.to_part(self._thoughts[place], self._entry)
            if place in self._texts:
                yield Part(text="".join(self._texts[place]))
            if call := self._calls.get(place):
                # A call without arguments is written as nothing at all.
                arguments = "".join(call.arguments) or "{}"
                yield Part(
                    tool_call=ToolCall(
                        call_id=call_id(turn, calls), tool_name=call.name, arguments_json=arguments
                    )
                )
                calls += 1

    def _check(self, place: int, *texts: str) -> None:
        """No SDK checks what it parses, so a type says only what a provider should have sent."""
        if not isinstance(place, int) or place > PLACE_MAX:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError("a block without a place")
        for text in texts:
            text.encode()  # what is no text cannot be, nor can half a character, which no message takes
        self._chars += sum(map(len, texts))
        if self._chars > CHARS_MAX:
            raise ModelUnavailable(f"The model wrote more than {CHARS_MAX} characters in one turn.")
