"""What goes on around a roll-out: people comment on GitHub, programs ask by the API."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import aiohttp

from tests.e2e.story import Story

COMMENT_EVERY_SECONDS = 0.1
TASK_EVERY_SECONDS = 1.0
TASK_ATTEMPTS_MAX = 20
ATTEMPT_EVERY_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Traffic:
    """What was sent, and how it was answered."""

    deliveries: list[dict[str, Any]] = field(default_factory=list)
    """GitHub's one attempt at each comment."""
    task_run_ids: list[str] = field(default_factory=list)
    """The answer to each task; a program repeats what is refused, under the same request id."""


@asynccontextmanager
async def flowing(told: Story, gateway_url: Callable[[], str], traffic: Traffic) -> AsyncIterator[None]:
    """Send within the block; what is under way at its end is seen through."""
    ended = asyncio.Event()

    async def comment() -> None:
        traffic.deliveries.append((await told.comment("looks good so far"))["delivery"])

    async def ask() -> None:
        traffic.task_run_ids.append(await _task(told, gateway_url))

    async def repeat(work: Callable[[], Coroutine[Any, Any, None]], pause: float) -> None:
        while not ended.is_set():
            await work()
            await asyncio.sleep(pause)

    async with asyncio.TaskGroup() as sending:
        sending.create_task(repeat(comment, COMMENT_EVERY_SECONDS))
        sending.create_task(repeat(ask, TASK_EVERY_SECONDS))
        try:
            yield
        finally:
            ended.set()


async def _task(told: Story, gateway_url: Callable[[], str]) -> str:
    body = {"message": "what does it sell?", "repository": told.slug, "request_id": str(uuid.uuid4())}
    async with aiohttp.ClientSession(headers={"X-API-Key": told.stack.api_key}) as session:
        answer: dict[str, Any] = {}
        for _ in range(TASK_ATTEMPTS_MAX):
            try:
                async with session.post(f"{gateway_url()}/api/tasks", json=body) as response:
                    answer = await response.json()
                if response.status == HTTPStatus.CREATED:
                    return answer["task_run_id"]
            except aiohttp.ClientConnectionError as error:
                answer = {"detail": str(error)}
            await asyncio.sleep(ATTEMPT_EVERY_SECONDS)
    raise AssertionError(f"never accepted: {answer}")
