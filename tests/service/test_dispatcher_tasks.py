"""Tasks, messages and cancellations asked for through the API."""

import json

import grpc
import pytest

from aucert.dispatcher.v1.dispatcher_service_pb2 import (
    CancelTaskRequest,
    ClaimNextEventRequest,
    CreateTaskRequest,
    IngestWebhooksRequest,
    SendMessageRequest,
)
from services.common.errors import Unavailable, from_rpc
from services.dispatcher.ringer import TemporalUnavailable
from tests.service.dispatcher_parts import REPOSITORY_ID, payload, staged, webhook

UNKNOWN_RUN = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
async def stage(database_urls):
    async with staged(database_urls) as stage:
        yield stage


async def refused(call):
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return from_rpc(error.value).reason


async def test_a_task_is_committed_recorded_and_rung_when_it_is_answered(stage):
    created = await stage.operator.CreateTask(
        CreateTaskRequest(message="Why?", repository="acme/shop", model="kimi")
    )

    run = stage.world.runs[created.task_run_id]
    assert f"default/manual/{created.task_run_id}" == created.workflow_id == run.workflow_id
    assert ("Why?", "kimi", "K26", REPOSITORY_ID, "operator") == (
        run.message,
        run.model_alias,
        run.model_label,
        run.repository_id,
        run.requester,
    )
    assert "manual" == run.address.WhichOneof("address")
    assert run.requester_trusted
    assert [created.workflow_id] == stage.ringer.rung
    assert ["done"] == [row["status"] for row in await stage.rows("SELECT status FROM webhook_deliveries")]


async def test_the_same_request_id_gives_the_same_run_and_another_body_is_refused(stage):
    request = CreateTaskRequest(message="Why?", request_id="mine")

    first = await stage.operator.CreateTask(request)
    second = await stage.operator.CreateTask(request)

    assert first == second
    assert 1 == len(stage.world.runs)
    changed = CreateTaskRequest(message="Why not?", request_id="mine")
    assert "REQUEST_ID_REUSED" == await refused(stage.operator.CreateTask(changed))


async def test_without_a_request_id_each_request_is_a_task_of_its_own(stage):
    request = CreateTaskRequest(message="Why?")

    first, second = await stage.operator.CreateTask(request), await stage.operator.CreateTask(request)

    assert first.task_run_id != second.task_run_id


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (CreateTaskRequest(message="Why?", repository="acme/other"), "REPOSITORY_NOT_FOUND"),
        (CreateTaskRequest(message="Why?", model="gpt-9"), "MODEL_NOT_FOUND"),
        (CreateTaskRequest(message="Why?", agent="altas"), "AGENT_NOT_FOUND"),
        (CreateTaskRequest(), "FIELD_INVALID"),
    ],
)
async def test_a_task_that_cannot_be_is_refused_before_it_is_kept(stage, request_, reason):
    assert reason == await refused(stage.operator.CreateTask(request_))
    assert [] == await stage.rows("SELECT id FROM webhook_deliveries")


async def test_a_task_is_answered_with_its_ids_while_others_are_away_and_runs_later(stage):
    stage.ringer.failure = TemporalUnavailable()
    stage.world.failing["CreateTaskRun"] = Unavailable("away")

    created = await stage.operator.CreateTask(CreateTaskRequest(message="Why?"))

    assert {} == stage.world.runs
    stage.ringer.failure = None
    stage.world.failing.clear()
    (row,) = await stage.rows("SELECT id FROM webhook_deliveries")
    await stage.settled(str(row["id"]), "done")
    assert [created.task_run_id] == list(stage.world.runs)
    assert [created.workflow_id] == stage.ringer.rung


async def test_words_with_a_nul_are_kept_without_it(stage):
    created = await stage.operator.CreateTask(CreateTaskRequest(message="a\0b"))

    assert "a\N{REPLACEMENT CHARACTER}b" == stage.world.runs[created.task_run_id].message


async def test_a_message_is_the_next_event_of_the_runs_thread(stage):
    created = await stage.operator.CreateTask(CreateTaskRequest(message="Why?", model="kimi"))

    request = SendMessageRequest(task_run_id=created.task_run_id, message="And how?", request_id="more")
    sent = await stage.operator.SendMessage(request)

    first, second = stage.world.runs[created.task_run_id], stage.world.runs[sent.task_run_id]
    assert (first.thread_id, first.workflow_id, 2) == (
        second.thread_id,
        second.workflow_id,
        second.thread_seq,
    )
    assert ("And how?", "kimi") == (second.message, second.model_alias)
    assert sent == await stage.operator.SendMessage(request)
    assert 2 == len(stage.world.runs)


async def test_a_message_into_a_github_thread_keeps_that_threads_address(stage):
    told = payload(body="@atlas why?")
    response = await stage.gateway.IngestWebhooks(IngestWebhooksRequest(deliveries=[webhook(told)]))
    await stage.settled(response.results[0].delivery_id)
    (first,) = stage.world.runs.values()

    sent = await stage.operator.SendMessage(SendMessageRequest(task_run_id=first.task_run_id, message="More"))

    second = stage.world.runs[sent.task_run_id]
    assert first.address == second.address
    assert (first.thread_id, first.repository_id) == (second.thread_id, second.repository_id)
    assert [{"event_key": f"github:issue_comment/{told['comment']['id']}"}] == await stage.rows(
        "SELECT event_key FROM thread_events WHERE source = 'github'"
    )


async def test_a_request_id_of_a_task_is_not_one_of_a_message(stage):
    created = await stage.operator.CreateTask(CreateTaskRequest(message="Why?", request_id="mine"))

    again = SendMessageRequest(task_run_id=created.task_run_id, message="Why?", request_id="mine")

    assert "REQUEST_ID_REUSED" == await refused(stage.operator.SendMessage(again))


async def test_cancelling_asks_for_the_stop_of_that_run_once(stage):
    created = await stage.operator.CreateTask(CreateTaskRequest(message="Why?"))

    for _ in range(2):
        await stage.operator.CancelTask(CancelTaskRequest(task_run_id=created.task_run_id))

    (stop,) = stage.world.stops
    assert (created.task_run_id, 2, "operator") == (stop.task_run_id, stop.before_thread_seq, stop.requester)
    assert [created.task_run_id] == list(stage.world.runs)


async def test_a_run_nobody_has_takes_no_message_and_no_stop(stage):
    message = SendMessageRequest(task_run_id=UNKNOWN_RUN, message="More")

    assert "TASK_RUN_NOT_FOUND" == await refused(stage.operator.SendMessage(message))
    assert "TASK_RUN_NOT_FOUND" == await refused(
        stage.operator.CancelTask(CancelTaskRequest(task_run_id=UNKNOWN_RUN))
    )


async def test_those_who_may_not_ask_are_refused(stage):
    assert "SCOPE_MISSING" == await refused(stage.worker.CreateTask(CreateTaskRequest(message="Why?")))
    assert "SCOPE_MISSING" == await refused(
        stage.operator.ClaimNextEvent(ClaimNextEventRequest(thread_id=UNKNOWN_RUN))
    )


async def test_what_was_accepted_is_kept_as_it_was_understood(stage):
    await stage.operator.CreateTask(CreateTaskRequest(message="A secret plan", model="kimi"))

    (row,) = await stage.rows("SELECT headers, body FROM webhook_deliveries")
    assert ("CreateTask", "kimi") == (row["headers"]["method"], row["headers"]["model_alias"])
    assert "secret" not in json.dumps(row["headers"])
    assert "A secret plan" == CreateTaskRequest.FromString(row["body"]).message
