"""What is on record, as the contracts say it."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.json_format import MessageToDict, ParseDict

from aucert.common.v1.thread_pb2 import STANDING_GUEST, STANDING_MEMBER, Source, ThreadAddress
from aucert.dispatcher.v1 import drive_watch_pb2, kept_delivery_pb2, source_pb2
from aucert.dispatcher.v1.delivery_pb2 import Header
from aucert.dispatcher.v1.thread_event_pb2 import ClaimedEvent
from aucert.tools.v1.thread_service_pb2 import FetchThreadResponse
from services.dispatcher.domain import (
    DeliveryState,
    DriveWatch,
    Json,
    Person,
    Refusals,
    Said,
    SourceState,
    Standing,
    Talk,
    ThreadEvent,
    task_run_id,
)

HIDDEN = "(hidden)"
_PROVING = ("signature", "token", "authorization", "secret", "cookie", "api-key")
"""Words in the names of headers that prove who sent a delivery."""
_STATUSES = {
    "pending": kept_delivery_pb2.DELIVERY_STATUS_PENDING,
    "leased": kept_delivery_pb2.DELIVERY_STATUS_LEASED,
    "done": kept_delivery_pb2.DELIVERY_STATUS_DONE,
    "ignored": kept_delivery_pb2.DELIVERY_STATUS_IGNORED,
    "dead": kept_delivery_pb2.DELIVERY_STATUS_DEAD,
}
_STANDINGS = {STANDING_MEMBER: Standing.MEMBER, STANDING_GUEST: Standing.GUEST}


def source_to_proto(source: str) -> Source.ValueType:
    """A source by its name: "google-drive" is SOURCE_GOOGLE_DRIVE."""
    return Source.Value(f"SOURCE_{source.upper().replace('-', '_')}")


def source_state(state: SourceState) -> source_pb2.SourceState:
    """Whether a source is on."""
    return source_pb2.SourceState(name=state.name, on=state.on, off_reason=state.off_reason)


def address_to_proto(address: Json) -> ThreadAddress:
    """An address from its stored JSON form."""
    return ParseDict(dict(address), ThreadAddress())


def address_from_proto(address: ThreadAddress) -> Json:
    """An address in the JSON form that is stored; 64-bit numbers are strings there."""
    return MessageToDict(address, preserving_proto_field_name=True)


def talk(response: FetchThreadResponse) -> Talk:
    """A fetched thread; somebody of unknown standing is an outsider."""
    return Talk(
        address=address_from_proto(response.address),
        messages=tuple(
            Said(each.external_id, each.author_id, each.ours, each.text, each.url)
            for each in response.messages
        ),
        left_out=response.left_out_count,
        people={
            each.person_id: Person(
                each.display_name,
                _STANDINGS.get(each.standing, Standing.EXTERNAL),
                each.is_bot,
                each.ours,
            )
            for each in response.people
        },
        resolved=response.resolved,
    )


def drive_watch(watch: DriveWatch) -> drive_watch_pb2.DriveWatch:
    """A watch."""
    shown = drive_watch_pb2.DriveWatch(
        channel_id=watch.channel_id,
        file_id=watch.target.file_id,
        drive_id=watch.target.drive_id,
        watches_log=watch.watches_log,
        agent_id=watch.agent_id,
        address=watch.address,
    )
    shown.expiration_time.FromDatetime(watch.expiration_time)
    shown.created_time.FromDatetime(watch.created_time)
    if watch.stopped_time is not None:
        shown.stopped_time.FromDatetime(watch.stopped_time)
    return shown


def delivery(state: DeliveryState) -> kept_delivery_pb2.KeptDelivery:
    """A delivery in the inbox, without what it holds."""
    shown = kept_delivery_pb2.KeptDelivery(
        delivery_id=state.id,
        source=state.source,
        external_id=state.external_id,
        order_key=state.order_key,
        status=_STATUSES[state.status],
        outcome_reason=state.outcome_reason,
        attempts=state.attempts,
        thread_event_id=state.thread_event_id,
        redelivered_by=state.redelivered_by,
        body_size_bytes=state.body_size_bytes,
    )
    shown.received_time.FromDatetime(state.received_time)
    for field, time in (
        (shown.next_attempt_time, state.next_attempt_time),
        (shown.finished_time, state.finished_time),
        (shown.redelivered_time, state.redelivered_time),
    ):
        if time is not None:
            field.FromDatetime(time)
    return shown


def delivery_status(status: kept_delivery_pb2.DeliveryStatus.ValueType) -> str:
    """A status as the record writes it; empty for none."""
    return next((word for word, number in _STATUSES.items() if number == status), "")


def shown_headers(headers: Mapping[str, str]) -> list[Header]:
    """Headers for people; the values of those that prove something stay here."""
    return [
        Header(name=name, value=HIDDEN if any(word in name for word in _PROVING) else value)
        for name, value in sorted(headers.items())
    ]


def refusals(counted: Refusals) -> kept_delivery_pb2.Refusals:
    """A count of refusals."""
    shown = kept_delivery_pb2.Refusals(
        day=counted.day.isoformat(),
        source=counted.source,
        reason=counted.reason,
        refused_count=counted.count,
    )
    shown.last_refused_time.FromDatetime(counted.last_time)
    return shown


def claimed_event(event: ThreadEvent) -> ClaimedEvent:
    """An event as a workflow sees it. A stop has no runs."""
    return ClaimedEvent(
        thread_event_id=event.id,
        thread_seq=event.seq,
        task_run_ids=[task_run_id(event.id, model.alias) for model in event.models],
    )
