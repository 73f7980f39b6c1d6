"""The offline model that rehearses a run: it calls the tools it is offered and quotes what they returned.

It understands nothing and says so in every answer. What it does is a pure function of the conversation,
in three turns: survey the repository, read the best hits, answer with cited extracts. That makes it fit
for a first run without credentials, for tests, and for nothing else.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Iterator, Sequence

from aucert.models.v1.generation_pb2 import FINISH_REASON_STOP, FINISH_REASON_TOOL_CALLS
from aucert.models.v1.message_pb2 import ROLE_ASSISTANT, Message, Part, ToolCall
from aucert.models.v1.model_service_pb2 import GenerateRequest
from services.models import rehearsal_reading as reading
from services.models.domain import ModelEntry
from services.models.provider import Generation, call_id, turn_number
from services.models.tokens import estimate

READ_MAX = 2
EXTRACTS_MAX = 5
QUOTE_CHARS_MAX = 200
Call = tuple[str, dict[str, object]]


class Rehearsal:
    """The provider of the model `rehearsal`. It writes a line at a time."""

    async def generate(
        self, request: GenerateRequest, entry: ModelEntry
    ) -> AsyncGenerator[str | Generation, None]:
        """Write the next turn; nothing outside is asked."""
        del entry
        started = time.monotonic()
        message = next_message(request)
        for part in message.parts:
            for line in part.text.splitlines(keepends=True):
                yield line
        calls = any(part.HasField("tool_call") for part in message.parts)
        reason = FINISH_REASON_TOOL_CALLS if calls else FINISH_REASON_STOP
        yield Generation(message, reason, estimate(request, message), time.monotonic() - started)


def next_message(request: GenerateRequest) -> Message:
    """The next turn of this conversation: tool calls in the first two turns, then the answer."""
    offered = {tool.name for tool in request.tools}
    exchanges = reading.exchanges(request.messages)
    turn = turn_number(request)
    wanted: Sequence[Call] = ()
    if turn == 1:
        wanted = survey(request.messages)
    elif turn == 2:
        wanted = deeper(exchanges)
    calls = [call for call in wanted if call[0] in offered]
    if not calls:
        return Message(role=ROLE_ASSISTANT, parts=[Part(text=answer(request.messages, exchanges))])
    return Message(role=ROLE_ASSISTANT, parts=_call_parts(turn, calls))


def survey(messages: Sequence[Message]) -> list[Call]:
    """First look: what is there, what was decided, where the words of the comment occur."""
    calls: list[Call] = [("repo_list_files", {}), ("repo_list_adrs", {})]
    words = reading.telling_words(reading.asks(messages))
    if words:
        pattern = "|".join(reading.escaped(word) for word in words)
        calls.append(("repo_search_text", {"pattern": pattern, "ignore_case": True}))
    return calls


def deeper(exchanges: Sequence[reading.Exchange]) -> list[Call]:
    """Second look: read the files that answer best, and what changed last."""
    paths = reading.best_paths(exchanges)[:READ_MAX]
    if not paths:
        return []
    calls: list[Call] = [("repo_read_file", {"path": path, "line_count": 60}) for path in paths]
    return [*calls, ("repo_git_log", {"limit": 3})]


def answer(messages: Sequence[Message], exchanges: Sequence[reading.Exchange]) -> str:
    """The answer, in Markdown: what this model is, what was asked, what the tools returned."""
    asks = reading.asks(messages)
    count = "1 message" if len(asks) == 1 else f"{len(asks)} messages"
    lines = [
        "I am the rehearsal model. I understand nothing: I call the tools I am offered and quote what they "
        "return.",
        "",
        f"I saw {count}:",
        *(f"> {_first_line(ask)}" for ask in asks),
        "",
        *_findings(exchanges),
    ]
    return "\n".join(lines)


def _findings(exchanges: Sequence[reading.Exchange]) -> Iterator[str]:
    if not exchanges:
        yield "I was offered no tool I know, so I have nothing to quote."
        return
    if all(each.failed for each in exchanges):
        said = _first_line(exchanges[0].text)
        yield f"Every tool I called failed, so I have nothing to quote. The first said: {said}"
        return
    names = list(dict.fromkeys(each.tool_name for each in exchanges))
    yield f"I made {len(exchanges)} tool calls ({', '.join(names)}). From what they returned:"
    yield ""
    for extract in reading.extracts(exchanges)[:EXTRACTS_MAX]:
        yield f"- `{extract.path}:{extract.line}`: {_as_code(extract.text)}"
    failed = [each for each in exchanges if each.failed]
    if failed:
        yield ""
        yield f"{len(failed)} of them failed; {failed[0].tool_name} said: {_first_line(failed[0].text)}"


def _call_parts(turn: int, calls: Sequence[Call]) -> Iterator[Part]:
    for place, (name, arguments) in enumerate(calls):
        call = ToolCall(
            call_id=call_id(turn, place), tool_name=name, arguments_json=json.dumps(arguments, sort_keys=True)
        )
        yield Part(tool_call=call)


def _first_line(text: str) -> str:
    line = next((each.strip() for each in text.splitlines() if each.strip()), "(nothing)")
    return line if len(line) <= QUOTE_CHARS_MAX else line[:QUOTE_CHARS_MAX] + "…"


def _as_code(text: str) -> str:
    """One line as inline code, whatever backticks it holds."""
    shown = text.strip()[:QUOTE_CHARS_MAX]
    fence = "`" * (1 + max((len(run) for run in reading.backticks(shown)), default=0))
    space = " " if "`" in shown else ""
    return f"{fence}{space}{shown}{space}{fence}"
