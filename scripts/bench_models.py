"""Measure what a streamed call of 50 pieces costs through the models service.

Beside it, in the same run and against the same endpoint: the bare openai SDK, which is the floor, and the
LiteLLM proxy. Prints a table, and the same as JSON on the last line. Exits 1 only when an answer is not
whole; a missed aim is printed, not punished. `docs/benchmarks.md` says how to read it.
"""

from __future__ import annotations

import argparse
import json
import secrets
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import uvloop
from openai import AsyncOpenAI

from aucert.models.v1.model_service_pb2_grpc import ModelServiceStub
from scripts.measured_on import machine, spelled
from scripts.models_bench.contenders import Call, Timing, WrongResult, by_astra, by_sdk
from scripts.models_bench.endpoint import BURST, CHUNKS, PACE_MS
from scripts.models_bench.processes import LITELLM, litellm_proxy, telling
from scripts.models_bench.service import PACED, TOKEN
from services.common.channels import connect

CALLS = 150
WARM_UP_CALLS = 30
FLOOR = "sdk"
MODES = {PACED: f"a piece each {PACE_MS:g} ms", BURST: "all pieces at once"}
Timings = Mapping[tuple[str, str], list[Timing]]
"""By contender and mode."""


@asynccontextmanager
async def contenders() -> AsyncIterator[dict[str, Call]]:
    """All of them, warm, until the block is left. Without its environment LiteLLM is left out."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="astra-bench-")))
        url = await stack.enter_async_context(telling("scripts.models_bench.endpoint"))
        address = await stack.enter_async_context(telling("scripts.models_bench.service", url))
        channel = connect(address, TOKEN)
        stack.push_async_callback(channel.close)
        urls, key = {FLOOR: url}, f"sk-{secrets.token_hex(16)}"
        if LITELLM.exists():
            urls["litellm"] = await stack.enter_async_context(litellm_proxy(url, folder, key))
        else:
            print("LiteLLM is not installed: left out.", file=sys.stderr)
        calls: dict[str, Call] = {"astra": by_astra(ModelServiceStub(channel))}
        for name, base_url in urls.items():
            client = AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0)
            stack.push_async_callback(client.close)
            calls[name] = by_sdk(client)
        yield calls


async def measure(calls: int) -> Timings:
    """Call by turns, so that a change in the machine's mood hits all alike."""
    found: dict[tuple[str, str], list[Timing]] = defaultdict(list)
    async with contenders() as known:
        for number in range(WARM_UP_CALLS + calls):
            for mode in MODES:
                for name, call in known.items():
                    timing = await call(mode)
                    if number >= WARM_UP_CALLS:
                        found[name, mode].append(timing)
    return found


def figures(timings: Timings) -> list[dict[str, object]]:
    """A line for each mode and contender, with what it takes more than the floor."""
    lines: list[dict[str, object]] = []
    for name, mode in sorted(timings, key=lambda each: (each[1], each[0] != FLOOR, each[0])):
        first, total = _medians(timings[name, mode])
        floor_first, floor_total = _medians(timings[FLOOR, mode])
        lines.append(
            {
                "mode": mode,
                "contender": name,
                "first_ms": round(first, 2),
                "first_over_sdk_ms": round(first - floor_first, 2),
                "total_ms": round(total, 2),
                "total_to_sdk": round(total / floor_total, 3),
                "calls": len(timings[name, mode]),
            }
        )
    return lines


def _medians(timings: list[Timing]) -> tuple[float, float]:
    return (
        statistics.median(each.first_ms for each in timings),
        statistics.median(each.total_ms for each in timings),
    )


def table(lines: list[dict[str, object]]) -> str:
    """The figures for people."""
    rows = [f"{'':<24}{'first text':>12}{'over the SDK':>14}{'whole call':>12}{'to the SDK':>12}"]
    for mode, what in MODES.items():
        rows.append(f"{CHUNKS} pieces, {what}")
        rows += [
            f"  {line['contender']:<22}{line['first_ms']:>9} ms{line['first_over_sdk_ms']:>11} ms"
            f"{line['total_ms']:>9} ms{line['total_to_sdk']:>11}x"
            for line in lines
            if line["mode"] == mode
        ]
    rows.append("aim for astra: 1 ms over the SDK to the first text, 1.1x of it for the whole call")
    return "\n".join(rows)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="make bench models", description="Measure the models service.")
    parser.add_argument("--calls", type=int, default=CALLS, help=f"calls each way ({CALLS})")
    asked = parser.parse_args()
    if asked.calls < 1:
        parser.error("at least one call")
    where = machine()
    try:
        lines = figures(uvloop.run(measure(asked.calls)))
    except WrongResult as wrong:
        sys.exit(f"bench models: {wrong}")
    print(spelled(where))
    print(table(lines))
    print(json.dumps({"machine": where, "figures": lines}))


if __name__ == "__main__":
    main()
