"""Webhooks on their way into the inbox: verified, committed together, each once."""

import json

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from prometheus_client import REGISTRY

from aucert.dispatcher.v1.dispatcher_service_pb2 import IngestWebhooksRequest, ListSourcesRequest
from services.astra.seed import DEFAULT_TENANT_ID
from services.common.errors import from_rpc
from tests.service.dispatcher_parts import SECRET, payload, staged, until, webhook


@pytest.fixture
async def stage(database_urls):
    async with staged(database_urls) as stage:
        yield stage


async def ingest(stage, *deliveries):
    response = await stage.gateway.IngestWebhooks(IngestWebhooksRequest(deliveries=deliveries))
    return list(response.results)


async def test_a_comment_becomes_one_event_one_run_one_ring_and_is_acknowledged(stage):
    told = payload()

    (result,) = await ingest(stage, webhook(told))

    assert (202, result.delivery_id) == (result.http_status, json.loads(result.body)["delivery_id"])
    row = await stage.settled(result.delivery_id)
    (event,) = await stage.rows("SELECT * FROM thread_events")
    assert ("done", event["id"]) == (row["status"], row["thread_event_id"])
    assert (f"github:issue_comment/{told['comment']['id']}", 1) == (event["event_key"], event["seq"])
    assert {"kimi": "K26", "opus": "O47"} == {
        run.model_alias: run.model_label for run in stage.world.runs.values()
    }
    assert {f"default/github/{told['repository']['id']}/1"} == {
        *stage.ringer.rung,
        *(run.workflow_id for run in stage.world.runs.values()),
    }
    await until(lambda: _value(stage.world.acknowledged))
    assert [told["comment"]["id"]] == stage.world.acknowledged


async def test_the_runs_carry_the_described_message_and_where_to_answer(stage):
    (result,) = await ingest(stage, webhook(payload(body="@atlas why?")))
    await stage.settled(result.delivery_id)

    (run,) = stage.world.runs.values()
    assert "maria (MEMBER) wrote a comment" in run.message
    assert ("maria", "answer", "atlas") == (run.requester, run.operation, run.agent_slug)
    assert ("acme/shop", 1) == (run.address.github.repository, run.address.github.number)


async def _value(value):
    return value


@pytest.mark.parametrize(
    ("delivery", "status", "reason"),
    [
        (webhook(secret="another"), 401, "SIGNATURE_INVALID"),
        (webhook(without="X-Hub-Signature-256"), 401, "SIGNATURE_INVALID"),
        (webhook(without="X-GitHub-Delivery"), 400, "DELIVERY_ID_MISSING"),
        (webhook(guid="g" * 201), 400, "DELIVERY_ID_MISSING"),
        (webhook(tenant="nobody"), 404, "TENANT_NOT_FOUND"),
        (webhook(source="jira"), 404, "SOURCE_UNKNOWN"),
    ],
)
async def test_what_is_refused_is_not_kept_and_is_counted(stage, delivery, status, reason):
    labels = {"source": "github" if delivery.source == "github" else "unknown", "reason": reason}
    before = REGISTRY.get_sample_value("astra_deliveries_refused_total", labels) or 0

    (result,) = await ingest(stage, delivery)

    assert (status, reason) == (result.http_status, json.loads(result.body)["reason"])
    assert [] == await stage.rows("SELECT id FROM webhook_deliveries")
    assert before + 1 == REGISTRY.get_sample_value("astra_deliveries_refused_total", labels)


@pytest.mark.parametrize(
    ("configured", "off_reason"),
    [
        ({"secret": ""}, "not set: GITHUB_WEBHOOK_SECRET"),
        ({"app_id": ""}, "not set: GITHUB_APP_ID"),
        ({"secret": "", "app_id": ""}, "not set: GITHUB_WEBHOOK_SECRET, GITHUB_APP_ID"),
    ],
)
async def test_a_source_that_is_not_wholly_configured_is_off_and_says_why(
    database_urls, configured, off_reason
):
    async with staged(database_urls, **configured) as stage:
        (result,) = await ingest(stage, webhook(secret=configured.get("secret", SECRET)))
        source = (await stage.gateway.ListSources(ListSourcesRequest())).sources[0]

    problem = json.loads(result.body)
    assert (404, "SOURCE_OFF") == (result.http_status, problem["reason"])
    assert f"GitHub is off here: {off_reason}." == problem["detail"]
    assert ("github", False, off_reason) == (source.name, source.on, source.off_reason)


async def test_a_source_with_all_it_needs_is_on(stage):
    sources = (await stage.gateway.ListSources(ListSourcesRequest())).sources

    known = {each.name: (each.on, each.off_reason) for each in sources}
    assert [(True, "")] * 3 == [known[name] for name in ("github", "slack", "plane")]


async def test_it_is_not_serving_while_the_relays_database_role_is_shut_out(stage, postgres, database_urls):
    name = database_urls.name

    async def serving(expected):
        async with grpc.aio.insecure_channel(stage.address) as channel:
            answer = await HealthStub(channel).Check(HealthCheckRequest())
        return expected == (answer.status == HealthCheckResponse.SERVING)

    assert await serving(True)
    await postgres.execute(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
    await postgres.execute(f"GRANT CONNECT ON DATABASE {name} TO astra_service")
    await postgres.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        f" WHERE datname = '{name}' AND usename = 'astra_relay'"
    )
    await until(lambda: serving(False))
    await postgres.execute(f"GRANT CONNECT ON DATABASE {name} TO PUBLIC")
    await until(lambda: serving(True))


async def test_a_ping_is_answered_and_not_kept(stage):
    (result,) = await ingest(stage, webhook(payload("ping"), event="ping"))

    assert (200, "") == (result.http_status, result.delivery_id)
    assert [] == await stage.rows("SELECT id FROM webhook_deliveries")


async def test_verdicts_of_a_batch_come_in_order_and_the_good_ones_are_kept(stage):
    results = await ingest(
        stage,
        webhook(payload(item_id=1)),
        webhook(secret="another"),
        webhook(payload("ping"), event="ping"),
        webhook(payload(item_id=2)),
    )

    assert [202, 401, 200, 202] == [each.http_status for each in results]
    kept = await stage.rows("SELECT id::text FROM webhook_deliveries ORDER BY position")
    assert [results[0].delivery_id, results[3].delivery_id] == [each["id"] for each in kept]


async def test_a_delivery_that_cannot_be_read_costs_its_neighbours_nothing(stage):
    odd = webhook(payload(item_id=2))
    odd.received_time.seconds = 2**62  # no time of any calendar

    results = await ingest(stage, webhook(payload(item_id=1)), odd, webhook(payload(item_id=3)))

    assert [202, 400, 202] == [each.http_status for each in results]
    assert "DELIVERY_NOT_READ" == json.loads(results[1].body)["reason"]
    assert [{"count": 2}] == await stage.rows("SELECT count(*) FROM webhook_deliveries")


async def test_a_comment_with_a_nul_is_kept_with_a_mark_in_its_place(stage):
    told = payload(body="@atlas a\0b?")
    told["issue"]["title"] = "c\0d"
    told["issue"]["body"] = "e\0f"

    (result,) = await ingest(stage, webhook(told))

    assert "done" == (await stage.settled(result.delivery_id))["status"]
    (event,) = await stage.rows("SELECT text FROM thread_events")
    assert "@atlas a\N{REPLACEMENT CHARACTER}b?" == event["text"]
    (run,) = stage.world.runs.values()
    for part in (
        "@atlas a\N{REPLACEMENT CHARACTER}b?",
        "c\N{REPLACEMENT CHARACTER}d",
        "e\N{REPLACEMENT CHARACTER}f",
    ):
        assert part in run.message


async def test_a_repeated_delivery_gets_the_same_answer_and_starts_nothing_new(stage):
    first, second = await ingest(stage, webhook(guid="same"), webhook(guid="same"))
    await stage.settled(first.delivery_id)
    (third,) = await ingest(stage, webhook(guid="same"))

    assert first == second == third
    assert [{"count": 1}] == await stage.rows("SELECT count(*) FROM webhook_deliveries")
    assert 2 == len(stage.world.runs)


async def test_two_deliveries_of_one_act_are_one_event(stage):
    results = await ingest(stage, webhook(), webhook())
    for each in results:
        assert "done" == (await stage.settled(each.delivery_id))["status"]

    assert [{"count": 1}] == await stage.rows("SELECT count(*) FROM thread_events")


async def test_a_dead_delivery_sent_again_is_taken_up_again(stage):
    (result,) = await ingest(stage, webhook(payload(body="nothing"), guid="again"))
    await stage.settled(result.delivery_id)
    await stage.rows(
        "UPDATE webhook_deliveries SET status = 'dead', attempts = 8 WHERE id = %s", result.delivery_id
    )

    (again,) = await ingest(stage, webhook(payload(body="nothing"), guid="again"))

    assert result == again
    row = await stage.settled(result.delivery_id, "ignored")
    assert (0, "NOT_ADDRESSED") == (row["attempts"], row["outcome_reason"])


async def test_a_batch_may_span_tenants_and_each_sees_its_own(stage):
    other = "00000000-0000-4000-8000-000000000001"
    stage.world.tenants["acme"] = other

    await ingest(stage, webhook(guid="same"), webhook(guid="same", tenant="acme"))

    rows = await stage.rows("SELECT tenant_id::text FROM webhook_deliveries")
    assert {DEFAULT_TENANT_ID, other} == {each["tenant_id"] for each in rows}


async def test_a_comment_for_nobody_is_ignored_with_its_reason(stage):
    (result,) = await ingest(stage, webhook(payload(body="hello")))

    row = await stage.settled(result.delivery_id)
    assert ("ignored", "NOT_ADDRESSED") == (row["status"], row["outcome_reason"])
    assert ({}, []) == (stage.world.runs, stage.ringer.rung)


async def test_with_the_database_away_nothing_is_taken_and_it_recovers_by_itself(
    stage, postgres, database_urls
):
    await postgres.execute(f"ALTER DATABASE {database_urls.name} ALLOW_CONNECTIONS false")
    await postgres.execute(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database_urls.name}'"
    )

    for _ in range(3):  # each may still meet a pooled connection that is gone
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ingest(stage, webhook())
        assert "DATABASE_UNAVAILABLE" == from_rpc(refused.value).reason

    await postgres.execute(f"ALTER DATABASE {database_urls.name} ALLOW_CONNECTIONS true")

    async def accepted():
        try:
            return await ingest(stage, webhook())
        except grpc.aio.AioRpcError:
            return None

    (result,) = await until(accepted)
    assert "done" == (await stage.settled(result.delivery_id))["status"]
