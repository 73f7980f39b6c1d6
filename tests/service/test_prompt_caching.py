"""A long run's prompt stays the same up to each cache point, so all but its newest turn comes from the cache.

The hit rate printed is that of the stand-ins' model of a prompt cache (`services/sandbox/prompt_cache.py`),
in which nothing expires; it says what our requests allow, not what a provider grants.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from aucert.models.v1.message_pb2 import Message, Usage
from services.models.cost import cost_usd_micros
from services.models.domain import Price, TokenCount
from services.sandbox.model_world import ModelWorld, Reply, ToolUse
from services.sandbox.prompt_cache import BYTES_PER_TOKEN
from tests.service.models_kit import (
    READ,
    USER,
    ask,
    finished,
    models_over_anthropic,
    models_over_bedrock,
    results,
)

TURNS = 20
CONTEXT_BYTES = 100_000 * BYTES_PER_TOKEN
SYSTEM = "You write specifications. " * 200
HIT_RATE_MIN = 0.85
OPUS = Price(5_000_000, 25_000_000, 500_000, 6_250_000)


@pytest.mark.parametrize(
    ("over", "alias"), [(models_over_anthropic, "opus-direct"), (models_over_bedrock, "opus")]
)
async def test_a_run_of_twenty_turns_reads_all_but_its_newest_turn_from_the_cache(
    over: Callable[[ModelWorld], Any], alias: str
):
    world = ModelWorld()
    calls = [Reply(tool_uses=(ToolUse("repo_read_file", f'{{"path": "{turn}"}}'),)) for turn in range(TURNS)]
    world.replies.extend([*calls[:-1], Reply("Done.")])
    usages: list[Usage] = []
    said: list[Message] = [USER]
    async with over(world) as stub:
        for turn in range(1, TURNS + 1):
            answer = await finished(stub, ask(alias, *said, system=SYSTEM, tools=[READ]))
            usages.append(answer.usage)
            said += [answer.message, results("x" * (CONTEXT_BYTES // TURNS), turn=turn)]

    requests = [unmarked(request) for request in world.requests]
    assert len(requests) == TURNS
    for request, following in pairwise(requests):
        # All of a request is a cached prefix of the next one.
        assert json.dumps(following[: len(request)]) == json.dumps(request)

    read, all_input = sum(each.tokens_cache_read for each in usages), sum(map(tokens_read, usages))
    counted = TokenCount(
        sum(each.tokens_input for each in usages),
        sum(each.tokens_output for each in usages),
        read,
        sum(each.tokens_cache_write for each in usages),
    )
    uncached = TokenCount(all_input, counted.output)
    print(
        f"{alias}: {TURNS} turns to {tokens_read(usages[-1])} tokens of context, {read / all_input:.1%} of "
        f"{all_input} input tokens read from the stand-in's cache, "
        f"${cost_usd_micros(counted, OPUS) / 1e6:.2f} instead of ${cost_usd_micros(uncached, OPUS) / 1e6:.2f}"
    )
    assert read / all_input >= HIT_RATE_MIN


async def test_a_turn_of_many_results_still_finds_the_prefix_before_it():
    world = ModelWorld()
    many = Reply(tool_uses=tuple(ToolUse("repo_read_file") for _ in range(60)))
    world.replies.extend([many, Reply("Done.")])
    async with models_over_anthropic(world) as stub:
        first = await finished(stub, ask("opus-direct", system=SYSTEM, tools=[READ]))
        reply = results(*["x" * 400] * 60)
        request = ask("opus-direct", USER, first.message, reply, system=SYSTEM, tools=[READ])
        second = await finished(stub, request)
    assert second.usage.tokens_cache_read == tokens_read(first.usage)


def tokens_read(usage: Usage) -> int:
    return usage.tokens_input + usage.tokens_cache_read + usage.tokens_cache_write


def unmarked(request: dict[str, Any]) -> list[Any]:
    """A request's blocks in the order a cache sees them, without the cache points themselves."""
    tools = request.get("tools") or request["toolConfig"]["tools"]
    blocks = [*tools, *request["system"]]
    for message in request["messages"]:
        blocks += [{"role": message["role"], **block} for block in message["content"]]
    bare = [{name: each for name, each in block.items() if name != "cache_control"} for block in blocks]
    return [block for block in bare if "cachePoint" not in block]
