"""What a contender is asked to do: call a tool some turns long, then answer. Known to both ends by its words.

The model keeps no state: prompt and transcript tell it which assignment this is and how far it has come.
"""

from __future__ import annotations

import base64
import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

TOOL = "repo_read_file"
"""What all contenders call their tool: the name Astra's has."""
_PROMPT = re.compile(r"Read (\d+) notes of (\d+) bytes for run ([0-9a-z]+)\.")
_PATH = re.compile(r"[0-9a-z]+/\d+/(\d+)")
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Assignment:
    """One run: `turns` model turns that each read one note of `result_bytes`, then one that answers."""

    key: str
    turns: int
    result_bytes: int

    @property
    def prompt(self) -> str:
        """What the person asks."""
        return f"Read {self.turns} notes of {self.result_bytes} bytes for run {self.key}."

    @property
    def answer(self) -> str:
        """What the model answers in the end."""
        return f"All {self.turns} notes of run {self.key} are read."

    def path(self, turn: int) -> str:
        """The note the model reads in a turn, counted from 0."""
        return f"{self.key}/{turn}/{self.result_bytes}"

    @classmethod
    def of(cls, messages: Iterable[Mapping[str, Any]]) -> Assignment:
        """Find it in a conversation. Raises ValueError when nobody asked for anything known."""
        for message in messages:
            if message["role"] == "user" and (found := _PROMPT.search(str(message["content"]))):
                return cls(key=found[3], turns=int(found[1]), result_bytes=int(found[2]))
        raise ValueError("The conversation holds no assignment.")


def note(path: str) -> str:
    """The tool: the note at a path, as long as the path says. Each is its own, and none compresses."""
    found = _PATH.fullmatch(path)
    if found is None:
        raise ValueError(f"There is no note at {path}.")
    size = int(found[1])
    content = random.Random(path).randbytes(size * 3 // 4 + 3)  # noqa: S311 - filling, not a secret
    return base64.b64encode(content)[:size].decode()


def next_message(messages: Iterable[Mapping[str, Any]]) -> Json:
    """What the model says to this conversation: the next call, or the answer."""
    messages = list(messages)
    assignment = Assignment.of(messages)
    turn = sum(message["role"] == "assistant" for message in messages)
    if turn >= assignment.turns:
        return {"role": "assistant", "content": assignment.answer}
    function = {"name": TOOL, "arguments": f'{{"path":"{assignment.path(turn)}"}}'}
    call = {"index": 0, "id": f"call_{turn}", "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}
