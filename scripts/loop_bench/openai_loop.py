"""The bare loop: the openai SDK, a list of messages, nothing kept. The floor under every other figure."""

from __future__ import annotations

import json
import sys
from typing import Any

import uvloop
from openai import AsyncOpenAI

from scripts.loop_bench.assignment import TOOL, Assignment, Json, note
from scripts.loop_bench.contender import Kept, Loop, answer_orders

TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": TOOL,
            "description": "Read a note.",
            "parameters": {
                "type": "object",
                "properties": {"path": {"type": "string"}},
                "required": ["path"],
            },
        },
    }
]


def client_of(base_url: str) -> AsyncOpenAI:
    """The SDK as it comes, pointed at the bench's model."""
    return AsyncOpenAI(base_url=f"{base_url}/v1", api_key="none", max_retries=0)


async def model_turn(client: AsyncOpenAI, messages: Any) -> Json:
    """One streamed call, folded into the assistant's message: as Astra calls its models."""
    text, calls = "", list[Json]()
    stream: Any = await client.chat.completions.create(
        model="bench",
        messages=messages,
        tools=TOOLS,
        stream=True,
        stream_options={"include_usage": True},
    )
    async for chunk in stream:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            for call in choice.delta.tool_calls or ():
                function = {"name": call.function.name, "arguments": call.function.arguments}
                calls.append({"id": call.id, "type": "function", "function": function})
    said: Json = {"role": "assistant", "content": text or None}
    return {**said, "tool_calls": calls} if calls else said


def tool_results(message: Json) -> list[Json]:
    """Run the calls of a message: the tool is a function of this process."""
    return [
        {
            "role": "tool",
            "tool_call_id": call["id"],
            "content": note(json.loads(call["function"]["arguments"])["path"]),
        }
        for call in message["tool_calls"]
    ]


async def run(client: AsyncOpenAI, assignment: Assignment) -> str:
    """The whole loop; bounded by the model, which answers after the turns it was asked for."""
    messages: list[Json] = [{"role": "user", "content": assignment.prompt}]
    while True:
        said = await model_turn(client, messages)
        messages.append(said)
        if "tool_calls" not in said:
            return str(said["content"])
        messages.extend(tool_results(said))


async def main(base_url: str) -> None:
    """Answer the bench's orders."""

    async def nothing() -> Kept:
        return Kept()

    async with client_of(base_url) as client:
        await answer_orders(Loop(lambda assignment: run(client, assignment), nothing))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
