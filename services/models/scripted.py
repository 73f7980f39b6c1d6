"""A model that says what a script tells it, for tests of everything around models.

It is on only when MODELS_SCRIPT names a script: a JSON list of steps, or an object from a marker to such a
list. The list is the one whose marker occurs in what people wrote ("" fits always), the longest marker
first; the step is chosen by the number of turns the conversation already holds, and the last one repeats.
A step is one of

    {"text": "…"}
    {"tool_calls": [{"name": "repo_read_file", "arguments": {"path": "README.md"}}]}
    {"error": "rate_limited:2" | "unavailable" | "context_exceeded" | "refused" | "filtered",
     "times": 1}

`delay_ms` may stand in each and is waited out first. `text` may stand beside `tool_calls`, and either
beside `error`: then it follows once `times` calls of that step failed (without `times`, all fail).
Arguments may be a string, to play a model that writes broken JSON. MODELS_SCRIPT_LOG names a file that
gets one JSON line for each call, so that a test can count calls across processes.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from aucert.models.v1.generation_pb2 import FINISH_REASON_STOP, FINISH_REASON_TOOL_CALLS
from aucert.models.v1.message_pb2 import ROLE_ASSISTANT, Message, Part, ToolCall
from aucert.models.v1.model_service_pb2 import GenerateRequest
from services.common.errors import ServiceError
from services.models.domain import ModelEntry, Price
from services.models.errors import (
    ModelContextExceeded,
    ModelFiltered,
    ModelRateLimited,
    ModelRefused,
    ModelUnavailable,
)
from services.models.provider import Generation, call_id, turn_number
from services.models.rehearsal_reading import asks
from services.models.tokens import estimate

ENTRY = ModelEntry(
    alias="scripted",
    label="T0",
    provider="scripted",
    provider_model_id="scripted-1",
    context_tokens_max=1_000_000,
    output_tokens_max=8_192,
    price=Price(
        input_usd_micros=1_000_000,
        output_usd_micros=2_000_000,
        cache_read_usd_micros=0,
        cache_write_usd_micros=0,
    ),
    tags=("scripted",),
)
DELAY_MS_MAX = 600_000


class _Strict(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)


class ScriptedCall(_Strict):
    """A tool call, with its arguments as an object or as the text a model would write."""

    name: str
    arguments: dict[str, object] | str = {}

    def arguments_json(self) -> str:
        """The arguments as the model writes them."""
        return (
            self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments, sort_keys=True)
        )


class Step(_Strict):
    """One turn of a script."""

    text: str = ""
    tool_calls: list[ScriptedCall] = []
    delay_ms: int = Field(default=0, ge=0, le=DELAY_MS_MAX)
    error: str = Field(
        default="", pattern=r"^(rate_limited:\d{1,5}|unavailable|context_exceeded|refused|filtered)?$"
    )
    times: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _says_something(self) -> Step:
        if not (self.text or self.tool_calls or self.error):
            raise ValueError("a step needs text, tool_calls or error")
        return self


Script: TypeAlias = dict[str, list[Step]]


def read_script(path: Path) -> Script:
    """Read a script. Raises ValueError (also pydantic's) or OSError saying what is wrong."""
    read: Script | list[Step] = TypeAdapter(Script | list[Step]).validate_json(path.read_bytes())
    return {"": read} if isinstance(read, list) else read


class Scripted:
    """The provider of the model `scripted`."""

    def __init__(self, script: Script, log: Path | None) -> None:
        self._script = script
        self._log = log
        self._counted: list[str] = []

    async def generate(
        self, request: GenerateRequest, entry: ModelEntry
    ) -> AsyncGenerator[str | Generation, None]:
        """Play the step of this turn; each call is counted before anything else happens."""
        started, turn = time.monotonic(), turn_number(request)
        marker, step = self._step(request, turn)
        earlier = self._count(json.dumps({"alias": entry.alias, "marker": marker, "turn": turn}))
        await asyncio.sleep(step.delay_ms / 1000)
        if step.error and (step.times is None or earlier < step.times):
            raise _error(step.error)
        for line in step.text.splitlines(keepends=True):
            yield line
        message = Message(role=ROLE_ASSISTANT, parts=_parts(step, turn))
        reason = FINISH_REASON_TOOL_CALLS if step.tool_calls else FINISH_REASON_STOP
        yield Generation(message, reason, estimate(request, message), time.monotonic() - started)

    def _step(self, request: GenerateRequest, turn: int) -> tuple[str, Step]:
        said = "\n".join(asks(request.messages))
        for marker in sorted(self._script, key=len, reverse=True):
            steps = self._script[marker]
            if marker in said and steps:
                return marker, steps[min(turn, len(steps)) - 1]
        raise ModelRefused("The script has no steps for this conversation.")

    def _count(self, line: str) -> int:
        """Write down one call and return how many like it came before."""
        if self._log is None:
            self._counted.append(line)
            return self._counted.count(line) - 1
        with self._log.open("a+") as file:  # appended in one write, so processes do not mix their lines
            file.seek(0)
            earlier = file.read().splitlines().count(line)
            file.write(line + "\n")
        return earlier


def _parts(step: Step, turn: int) -> Iterator[Part]:
    if step.text:
        yield Part(text=step.text)
    for place, call in enumerate(step.tool_calls):
        yield Part(
            tool_call=ToolCall(
                call_id=call_id(turn, place), tool_name=call.name, arguments_json=call.arguments_json()
            )
        )


def _error(error: str) -> ServiceError:
    name, _, seconds = error.partition(":")
    message = "The script says so."
    match name:
        case "rate_limited":
            return ModelRateLimited(message, retry_after=timedelta(seconds=int(seconds)))
        case "context_exceeded":
            return ModelContextExceeded(message)
        case "refused":
            return ModelRefused(message)
        case "filtered":
            return ModelFiltered(message)
        case _:
            return ModelUnavailable(message)
