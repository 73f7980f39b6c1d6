"""The ledger of posts: a row a part, on record before it is sent."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, insert, select, update

from aucert.astra.v1.thread_post_pb2 import ThreadPost as ThreadPostMessage
from services.astra import convert
from services.astra.domain import Status
from services.astra.errors import AnswerBegun, TaskRunCompleted, ThreadPostNotFound
from services.astra.record import RunHead, hold
from services.astra.storable import storable
from services.astra.tables import ThreadPost
from services.common.database import Database, Transaction

ANSWER = "answer"
CONTRADICTING = frozenset({"notice_failed", "notice_cancelled", "notice_paused"})
"""Notices that say there is no answer."""


class ThreadPostStore:
    """What was, or may have been, posted into threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(
        self, tenant_id: str, task_run_id: str, fence: int, kind: str, parts: Sequence[str]
    ) -> tuple[list[ThreadPostMessage], bool]:
        """Write down the parts of a post, or find those of this kind already there; True: written now.

        A run that is over may still get its notice, but no answer; one whose answer is written down gets no
        notice that would contradict it. Raises AnswerBegun, FenceStale, TaskRunCompleted, TaskRunNotFound.
        """
        async with self._database.tenant(tenant_id) as connection:
            run = await hold(connection, task_run_id, fence=fence)
            known = await parts_on_record(connection, task_run_id, kind)
            if known:
                return known, False
            if kind == ANSWER and run.status == Status.COMPLETED:
                raise TaskRunCompleted(task_run_id, run.outcome or "")
            if kind in CONTRADICTING and await parts_on_record(connection, task_run_id, ANSWER):
                raise AnswerBegun(task_run_id)
            await connection.send_each(
                insert(ThreadPost), [_part_row(run, kind, part, text) for part, text in enumerate(parts)]
            )
            return await parts_on_record(connection, task_run_id, kind), True

    async def finish(self, tenant_id: str, thread_post_id: str, *, external_id: str, url: str) -> None:
        """Note that the vendor has a part; repeating it changes nothing. Raises ThreadPostNotFound."""
        statement = (
            update(ThreadPost)
            .where(ThreadPost.id == thread_post_id)
            .values(
                posted_time=func.coalesce(ThreadPost.posted_time, func.now()),
                external_id=func.coalesce(func.nullif(ThreadPost.external_id, ""), external_id),
                url=func.coalesce(func.nullif(ThreadPost.url, ""), url),
            )
            .returning(ThreadPost.id)
        )
        async with self._database.tenant(tenant_id) as connection:
            if (await connection.execute(statement)).one_or_none() is None:
                raise ThreadPostNotFound(thread_post_id)


async def parts_on_record(connection: Transaction, task_run_id: str, kind: str) -> list[ThreadPostMessage]:
    """The parts of a post in order; none: it was never begun."""
    query = (
        select(ThreadPost.__table__)
        .where(ThreadPost.task_run_id == task_run_id, ThreadPost.kind == kind)
        .order_by(ThreadPost.part)
    )
    return [convert.thread_post(row) for row in await connection.execute(query)]


def _part_row(run: RunHead, kind: str, part: int, text: str) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "tenant_id": run.tenant_id,
        "task_run_id": run.id,
        "kind": kind,
        "part": part,
        "text": storable(text),
    }
