"""The load: a process that sends webhooks over kept connections, as many at a time as it is told.

One JSON object a line, each way; it says {} when it is ready and ends when its stdin closes:

    {"url": "http://127.0.0.1:8080/webhooks/slack", "names": ["Ev1", …], "lanes": 64}
        → {"seconds": 1.2, "milliseconds": [12.1, …], "statuses": {"202": 64}}

Everything is made and signed before the clock starts. HTTP is written by hand: a client library would take
more of the machine than some contenders do.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import uvloop

from scripts.ingest_bench import webhooks

ANSWER_SECONDS_MAX = 30.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def request(url: str, name: str) -> bytes:
    """A whole HTTP request with the webhook of this name."""
    target = urlsplit(url)
    content = webhooks.body(name)
    told = {"Host": target.netloc, "Content-Length": str(len(content)), **webhooks.headers(content)}
    lines = [f"POST {target.path} HTTP/1.1", *(f"{key}: {value}" for key, value in told.items()), "", ""]
    return "\r\n".join(lines).encode() + content


async def send(url: str, names: Sequence[str], lanes: int) -> Mapping[str, Any]:
    """Send the webhooks, each over a free lane. Raises what a broken connection raises."""
    waiting = deque(request(url, name) for name in names)
    host, port = urlsplit(url).hostname, urlsplit(url).port
    connections = [await asyncio.open_connection(host, port) for _ in range(lanes)]
    milliseconds: list[float] = []
    statuses: Counter[str] = Counter()

    async def lane(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while waiting:
            sent = waiting.popleft()
            began = time.perf_counter()
            writer.write(sent)
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                statuses[await _status(reader)] += 1
            milliseconds.append((time.perf_counter() - began) * 1000)
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(lane(*connection) for connection in connections))
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "milliseconds": milliseconds, "statuses": statuses}


async def _status(reader: asyncio.StreamReader) -> str:
    """The status of the next answer, read to its end."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    if length:
        await reader.readexactly(int(length.group(1)))
    return head.split(b" ", 2)[1].decode()


async def main() -> None:
    """Answer orders until stdin closes."""
    print("{}", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        print(json.dumps(await send(order["url"], order["names"], order["lanes"])), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
