"""TranscriptService."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aucert.astra.v1 import transcript_service_pb2
from aucert.astra.v1.transcript_service_pb2_grpc import TranscriptServiceServicer
from aucert.models.v1.message_pb2 import ROLE_ASSISTANT, Message
from services.astra.pages import first_bytes, key_of, page_size, token_after
from services.astra.transcript_store import TranscriptStore
from services.astra.turns import calls_in
from services.common.caller import current_caller
from services.common.errors import FieldInvalid

if TYPE_CHECKING:
    from services.common.door import Context

TURNS_A_PAGE, TURNS_A_PAGE_MAX = 50, 200
PAGE_BYTES_MAX = 8 * 1024 * 1024
"""A turn may hold the results of many calls; a message of the wire holds 32 MiB."""


class TranscriptServicer(TranscriptServiceServicer):
    """The conversation of a run and the ledger of its calls."""

    def __init__(self, transcripts: TranscriptStore) -> None:
        self._transcripts = transcripts

    async def CommitTurn(
        self, request: transcript_service_pb2.CommitTurnRequest, context: Context
    ) -> transcript_service_pb2.CommitTurnResponse:
        """Record a finished model turn."""
        del context
        _check_model_turn(request.message)
        position = await self._transcripts.commit_turn(current_caller().tenant_id, request)
        return transcript_service_pb2.CommitTurnResponse(position=position)

    async def CommitToolResults(
        self, request: transcript_service_pb2.CommitToolResultsRequest, context: Context
    ) -> transcript_service_pb2.CommitToolResultsResponse:
        """Record the results of the last turn's calls."""
        del context
        return await self._transcripts.commit_tool_results(current_caller().tenant_id, request)

    async def ListTurns(
        self, request: transcript_service_pb2.ListTurnsRequest, context: Context
    ) -> transcript_service_pb2.ListTurnsResponse:
        """List the recorded turns in order."""
        del context
        listing = f"turns/{request.task_run_id}"
        limit = page_size(request.page_size, usual=TURNS_A_PAGE, most=TURNS_A_PAGE_MAX)
        key = key_of(request.page_token, listing, int)
        found = await self._transcripts.turns(
            current_caller().tenant_id,
            request.task_run_id,
            after=key[0] if key else request.from_position - 1,
            limit=limit + 1,
        )
        turns = first_bytes(found[:limit], PAGE_BYTES_MAX)
        more = len(found) > len(turns)
        return transcript_service_pb2.ListTurnsResponse(
            turns=turns, next_page_token=token_after(listing, turns[-1].position) if more else ""
        )


def _check_model_turn(message: Message) -> None:
    if message.role != ROLE_ASSISTANT:
        raise FieldInvalid([("message.role", "must be ROLE_ASSISTANT: a model's turn")])
    call_ids = [call.call_id for call in calls_in(message)]
    if "" in call_ids or len(set(call_ids)) != len(call_ids):
        raise FieldInvalid([("message.parts", "each tool call needs a call_id of its own")])
