"""Ringing through a real Temporal, and through none."""

import uuid

import pytest
from temporalio.client import Client

from services.dispatcher.domain import Bell
from services.dispatcher.ringer import TemporalRinger, TemporalUnavailable


async def test_two_rings_are_one_workflow_that_holds_ids_only(temporal):
    client = await Client.connect(temporal.address, namespace="default")
    bell = Bell(str(uuid.uuid4()), str(uuid.uuid4()), f"default/manual/{uuid.uuid4()}")
    ringer = TemporalRinger(client)

    await ringer.ring(bell)
    await ringer.ring(bell)

    history = await client.get_workflow_handle(bell.workflow_id).fetch_history()
    started = history.events[0].workflow_execution_started_event_attributes
    signals = [
        event.workflow_execution_signaled_event_attributes
        for event in history.events
        if event.HasField("workflow_execution_signaled_event_attributes")
    ]
    assert ("SpecAgentWorkflow", "spec-agent-queue") == (started.workflow_type.name, started.task_queue.name)
    assert ["ring", "ring"] == [each.signal_name for each in signals]
    assert b"" == b"".join(payload.data for each in signals for payload in each.input.payloads)


async def test_with_temporal_away_ringing_is_unavailable_and_not_a_defect():
    ringer = TemporalRinger(await Client.connect("127.0.0.1:1", lazy=True))

    for _ in range(2):
        with pytest.raises(TemporalUnavailable):
            await ringer.ring(Bell(str(uuid.uuid4()), str(uuid.uuid4()), "default/manual/x"))
