"""What every call passes: identity, scope, field rules, limits and errors, on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from aucert.astra.v1 import task_run_pb2, task_run_service_pb2, task_run_service_pb2_grpc
from aucert.common.v1.scope_pb2 import SCOPE_ANY_TENANT, SCOPE_RUNS_READ, SCOPE_RUNS_WORK
from services.common.caller import Principal, acting_for, current_caller
from services.common.channels import connect
from services.common.errors import ERROR_DOMAIN, NotFound, Unauthenticated, from_rpc
from services.common.server import LIVENESS, Dependency, Registration, RunningServer, serve

RUN = "5b1f0f3e-6e0c-4a52-9c80-6a5d1c7a0001"
READER = Principal("reader", "tenant-1", frozenset([SCOPE_RUNS_READ]))
SERVICE = Principal("worker", "tenant-1", frozenset([SCOPE_RUNS_READ, SCOPE_RUNS_WORK, SCOPE_ANY_TENANT]))


class TwoTokens:
    async def principal(self, token: str) -> Principal:
        if token not in ("reader", "service"):
            raise Unauthenticated("Nobody has this token.")
        return READER if token == "reader" else SERVICE


class Runs(task_run_service_pb2_grpc.TaskRunServiceServicer):
    """Answers with what it knows of its caller; breaks on purpose."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.release = asyncio.Event()

    async def GetTaskRun(self, request, context):
        caller = current_caller()
        left = caller.seconds_left()
        run = task_run_pb2.TaskRun(
            tenant_id=caller.tenant_id,
            requester=caller.request_id,
            agent_slug=caller.origin.call_id if caller.origin else "",
            turn_count=int(left or 0),
        )
        return task_run_service_pb2.GetTaskRunResponse(task_run=run)

    async def ListTaskRuns(self, request, context):
        self.entered.set()
        await self.release.wait()
        return task_run_service_pb2.ListTaskRunsResponse()

    async def ListTaskEvents(self, request, context):
        raise ValueError("the password is hunter2")

    async def WatchTaskRun(self, request, context):
        yield task_run_service_pb2.WatchTaskRunResponse()
        raise NotFound("It is gone.", reason="TASK_RUN_NOT_FOUND", metadata={"task_run_id": RUN})


@pytest.fixture
def runs() -> Runs:
    return Runs()


@pytest.fixture
async def server(runs: Runs) -> AsyncIterator[RunningServer]:
    registration = Registration(
        "aucert.astra.v1.TaskRunService",
        task_run_service_pb2_grpc.add_TaskRunServiceServicer_to_server,
        runs,
    )
    async with serve(
        name="test",
        host="127.0.0.1",
        port=0,
        registrations=[registration],
        authenticator=TwoTokens(),
        calls_max=2,
        drain_seconds=5,
    ) as running:
        yield running


def stub(server: RunningServer, token: str = "service"):
    return task_run_service_pb2_grpc.TaskRunServiceStub(connect(server.address, token))


def get(task_run_id: str = RUN) -> task_run_service_pb2.GetTaskRunRequest:
    return task_run_service_pb2.GetTaskRunRequest(task_run_id=task_run_id)


async def test_a_call_without_a_token_is_told_how_to_send_one(server):
    async with grpc.aio.insecure_channel(server.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await task_run_service_pb2_grpc.TaskRunServiceStub(channel).GetTaskRun(get())
    error = from_rpc(refused.value)
    assert (refused.value.code(), error.reason) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_MISSING")
    assert "authorization: Bearer" in error.message


async def test_an_unknown_token_is_refused(server):
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub(server, "stolen").GetTaskRun(get())
    assert from_rpc(refused.value).reason == "TOKEN_INVALID"


async def test_a_principal_without_the_scope_is_refused_and_told_which_it_lacks(server):
    request = task_run_service_pb2.BeginAttemptRequest(task_run_id=RUN, worker="w")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub(server, "reader").BeginAttempt(request)
    error = from_rpc(refused.value)
    assert ("SCOPE_MISSING", {"scope": "SCOPE_RUNS_WORK"}) == (error.reason, error.metadata)


async def test_a_field_that_breaks_its_rule_is_named_in_bad_request(server):
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub(server).GetTaskRun(get("not-a-uuid"))
    status = rpc_status.from_call(refused.value)
    assert status is not None
    details = {each.TypeName(): each for each in status.details}
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert details["google.rpc.ErrorInfo"].Unpack(info)
    assert details["google.rpc.BadRequest"].Unpack(bad)
    assert ("FIELD_INVALID", ERROR_DOMAIN) == (info.reason, info.domain)
    assert ["task_run_id"] == [each.field for each in bad.field_violations]


async def test_an_unforeseen_error_leaks_nothing_and_is_logged_whole(server, capsys):
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stub(server).ListTaskEvents(task_run_service_pb2.ListTaskEventsRequest(task_run_id=RUN))
    assert grpc.StatusCode.INTERNAL == failed.value.code()
    assert "hunter2" not in str(failed.value)
    assert "hunter2" in capsys.readouterr().out


async def test_an_error_in_a_stream_comes_after_what_was_sent(server):
    call = stub(server).WatchTaskRun(task_run_service_pb2.WatchTaskRunRequest(task_run_id=RUN))
    assert task_run_service_pb2.WatchTaskRunResponse() == await call.read()
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call.read()
    error = from_rpc(failed.value)
    assert ("TASK_RUN_NOT_FOUND", {"task_run_id": RUN}) == (error.reason, error.metadata)


async def test_tenant_request_id_and_deadline_travel_with_a_call(server):
    with acting_for("tenant-2", request_id="request-7"):
        run = (await stub(server).GetTaskRun(get(), timeout=9.5)).task_run
    assert ("tenant-2", "request-7", 9) == (run.tenant_id, run.requester, run.turn_count)


async def test_a_principal_of_one_tenant_cannot_name_another(server):
    with acting_for("tenant-2"), pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub(server, "reader").GetTaskRun(get())
    assert {"scope": "SCOPE_ANY_TENANT"} == from_rpc(refused.value).metadata


async def test_only_those_who_work_on_runs_may_act_inside_one(server):
    envelope = (("astra-task-run", RUN), ("astra-call-id", "t1_0"), ("astra-fence", "3"))
    run = (await stub(server).GetTaskRun(get(), metadata=envelope)).task_run
    assert "t1_0" == run.agent_slug
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub(server, "reader").GetTaskRun(get(), metadata=envelope)
    assert grpc.StatusCode.PERMISSION_DENIED == refused.value.code()


async def test_past_the_limit_calls_are_told_to_wait_and_health_keeps_answering(server, runs):
    calls = [
        asyncio.ensure_future(stub(server).ListTaskRuns(task_run_service_pb2.ListTaskRunsRequest()))
        for _ in range(2)
    ]
    await runs.entered.wait()
    while True:  # the second call may still be on its way in
        try:
            await stub(server).GetTaskRun(get())
        except grpc.aio.AioRpcError as error:
            refused = from_rpc(error)
            break
    assert ("OVERLOADED", 1.0) == (
        refused.reason,
        refused.retry_after and refused.retry_after.total_seconds(),
    )
    async with grpc.aio.insecure_channel(server.address) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert health_pb2.HealthCheckResponse.SERVING == answer.status
    runs.release.set()
    await asyncio.gather(*calls)


async def test_reflection_lists_the_services_without_a_token(server):
    async with grpc.aio.insecure_channel(server.address) as channel:
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
            iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        )
        answers = [answer async for answer in call]
    names = {each.name for each in answers[0].list_services_response.service}
    assert {"aucert.astra.v1.TaskRunService", "grpc.health.v1.Health"} <= names


async def test_health_follows_what_the_service_depends_on_and_liveness_does_not(runs, monkeypatch):
    monkeypatch.setattr("services.common.server.HEALTH_INTERVAL_SECONDS", 0.01)
    away = asyncio.Event()

    async def check() -> None:
        if away.is_set():
            raise ConnectionError

    async with (
        serve(
            name="test",
            host="127.0.0.1",
            port=0,
            registrations=[],
            authenticator=TwoTokens(),
            dependencies=[Dependency("database", check)],
        ) as running,
        grpc.aio.insecure_channel(running.address) as channel,
    ):
        health = health_pb2_grpc.HealthStub(channel)
        statuses = health.Watch(health_pb2.HealthCheckRequest())
        seen = [(await statuses.read()).status]
        away.set()
        seen.append((await statuses.read()).status)
        missing = list(running.missing)
        alive = await health.Check(health_pb2.HealthCheckRequest(service=LIVENESS))
        away.clear()
        seen.append((await statuses.read()).status)
        statuses.cancel()
    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    assert ([serving, not_serving, serving], ["database"], serving) == (seen, missing, alive.status)


async def test_a_call_under_way_finishes_while_the_server_drains(runs):
    registration = Registration(
        "aucert.astra.v1.TaskRunService",
        task_run_service_pb2_grpc.add_TaskRunServiceServicer_to_server,
        runs,
    )
    async with serve(
        name="test", host="127.0.0.1", port=0, registrations=[registration], authenticator=TwoTokens()
    ) as running:
        call = asyncio.ensure_future(stub(running).ListTaskRuns(task_run_service_pb2.ListTaskRunsRequest()))
        await runs.entered.wait()
        asyncio.get_running_loop().call_later(0.05, runs.release.set)
    assert task_run_service_pb2.ListTaskRunsResponse() == await call
