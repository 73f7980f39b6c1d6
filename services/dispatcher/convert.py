"""What is on record, as the contracts say it."""

from __future__ import annotations

from google.protobuf.json_format import ParseDict

from aucert.common.v1.thread_pb2 import SOURCE_GITHUB, SOURCE_MANUAL, Source, ThreadAddress
from aucert.dispatcher.v1 import source_pb2
from aucert.dispatcher.v1.thread_event_pb2 import ClaimedEvent
from services.dispatcher.domain import Json, SourceName, SourceState, ThreadEvent, task_run_id

_SOURCES = {SourceName.GITHUB: SOURCE_GITHUB, SourceName.MANUAL: SOURCE_MANUAL}


def source_to_proto(source: str) -> Source.ValueType:
    """A source by its name."""
    return _SOURCES[SourceName(source)]


def source_state(state: SourceState) -> source_pb2.SourceState:
    """Whether a source is on."""
    return source_pb2.SourceState(name=state.name, on=state.on, off_reason=state.off_reason)


def address_to_proto(address: Json) -> ThreadAddress:
    """An address from its stored JSON form."""
    return ParseDict(dict(address), ThreadAddress())


def claimed_event(event: ThreadEvent) -> ClaimedEvent:
    """An event as a workflow sees it. A stop has no runs."""
    return ClaimedEvent(
        thread_event_id=event.id,
        thread_seq=event.seq,
        task_run_ids=[task_run_id(event.id, model.alias) for model in event.models],
    )
