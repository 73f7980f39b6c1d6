"""Turns a stream of messages into batches: what arrives close together is shown together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

import grpc

Message = TypeVar("Message")

GATHER_SECONDS = 0.1
"""How long the first message of a batch waits for others: short beside what an eye notices."""
SILENCE_SECONDS = 5.0
"""After so long without a message there is an empty batch: time to look again, and see who still listens."""
HELD_MAX = 500
"""Messages held for a slow reader; past that the stream itself is held up."""


async def batches(messages: AsyncGenerator[Message]) -> AsyncGenerator[list[Message]]:
    """The messages in order, in batches; ends with them. Raises AioRpcError as they do."""
    arrived: asyncio.Queue[Message | grpc.aio.AioRpcError | None] = asyncio.Queue(HELD_MAX)
    reader = asyncio.create_task(_pass_on(messages, arrived))
    try:
        while True:
            batch: list[Message] = []
            for each in await _next(arrived):
                if isinstance(each, grpc.aio.AioRpcError):
                    raise each
                if each is None:
                    if batch:
                        yield batch
                    return
                batch.append(each)
            yield batch
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)


async def _next(arrived: asyncio.Queue[Message]) -> list[Message]:
    """All that is there shortly after the first; nothing after a silence."""
    try:
        async with asyncio.timeout(SILENCE_SECONDS):
            found = [await arrived.get()]
    except TimeoutError:
        return []
    await asyncio.sleep(GATHER_SECONDS)
    while not arrived.empty():
        found.append(arrived.get_nowait())
    return found


async def _pass_on(
    messages: AsyncGenerator[Message], arrived: asyncio.Queue[Message | grpc.aio.AioRpcError | None]
) -> None:
    try:
        async with aclosing(messages):
            async for message in messages:
                await arrived.put(message)
    except grpc.aio.AioRpcError as error:
        await arrived.put(error)
    else:
        await arrived.put(None)
