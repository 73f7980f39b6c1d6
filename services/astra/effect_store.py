"""The ledger of effects: a row a tool call, on record before the vendor is asked for the change."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from aucert.astra.v1.effect_pb2 import Effect as EffectMessage
from aucert.astra.v1.effect_service_pb2 import BeginEffectRequest, FinishEffectRequest
from services.astra import convert
from services.astra.errors import EffectNotFound, EffectTaken, ToolCallNotOpen
from services.astra.record import hold_unfinished
from services.astra.storable import storable
from services.astra.tables import Effect, ToolCall
from services.common.database import Database, Transaction
from services.common.errors import FieldInvalid


class EffectStore:
    """What tools changed, or may have changed, at vendors."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, tenant_id: str, request: BeginEffectRequest) -> tuple[EffectMessage, bool]:
        """Write an effect down, or find the one of this call; True: written now.

        The run's lock is held meanwhile, so that an attempt which takes the run over waits for it. Raises
        FenceStale, TaskRunCompleted, TaskRunNotFound and ToolCallNotOpen for a call of a run; EffectTaken for
        a call that is on record with another request; FieldInvalid for one that nothing names.
        """
        async with self._database.tenant(tenant_id) as connection:
            if request.task_run_id:
                await _check_call(connection, request)
            key = _key(request)
            written = await connection.ask(
                insert(Effect)
                .values(
                    id=str(uuid.uuid4()),
                    tenant_id=tenant_id,
                    effect_key=key,
                    task_run_id=request.task_run_id or None,
                    call_id=request.call_id,
                    tool_name=request.tool_name,
                    request_sha256=request.request_sha256,
                    requester=storable(request.principal),
                )
                .on_conflict_do_nothing(index_elements=["tenant_id", "effect_key"])
                .returning(Effect.id)
            )
            found = await connection.ask(select(Effect.__table__).where(Effect.effect_key == key))
            created = (await written.result()).one_or_none() is not None
            row = (await found.result()).one()
            if (row.tool_name, row.request_sha256) != (request.tool_name, request.request_sha256):
                raise EffectTaken(row.id)
            return _effect(row), created

    async def finish(self, tenant_id: str, request: FinishEffectRequest) -> None:
        """Note that an effect is done; the first to say so is believed. Raises EffectNotFound."""
        statement = (
            update(Effect)
            .where(Effect.id == request.effect_id)
            .values(
                done_time=func.coalesce(Effect.done_time, func.now()),
                url=func.coalesce(func.nullif(Effect.url, ""), storable(request.url)),
                response_json=func.coalesce(Effect.response_json, storable(request.response_json)),
            )
            .returning(Effect.id)
        )
        async with self._database.tenant(tenant_id) as connection:
            if (await connection.execute(statement)).one_or_none() is None:
                raise EffectNotFound(request.effect_id)


async def _check_call(connection: Transaction, request: BeginEffectRequest) -> None:
    await hold_unfinished(connection, request.task_run_id, fence=request.fence)
    query = select(ToolCall.call_id).where(
        ToolCall.task_run_id == request.task_run_id,
        ToolCall.call_id == request.call_id,
        ToolCall.tool_name == request.tool_name,
        ToolCall.status == "begun",
    )
    if (await connection.execute(query)).one_or_none() is None:
        raise ToolCallNotOpen(request.task_run_id, request.call_id)


def _key(request: BeginEffectRequest) -> str:
    """What names the call for good within its tenant."""
    if request.task_run_id:
        return f"run/{request.task_run_id}/{request.call_id}"
    if not (request.principal and request.request_id):
        raise FieldInvalid([("request_id", "outside of a run, principal and request_id name the call")])
    return f"request/{storable(request.principal)}/{storable(request.request_id)}"


def _effect(row: Any) -> EffectMessage:
    return EffectMessage(
        effect_id=row.id,
        created_time=convert.timestamp(row.created_time),
        done=row.done_time is not None,
        url=row.url,
        response_json=row.response_json or "",
    )
