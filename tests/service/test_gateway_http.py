"""The gateway over HTTP, in front of a real dispatcher."""

import asyncio
import gzip
import json
from contextlib import asynccontextmanager

import aiohttp
import pytest

import gateway.batcher
from aucert.dispatcher.v1 import dispatcher_service_pb2 as pb
from aucert.dispatcher.v1.delivery_pb2 import Delivery, IngestResult
from gateway.batcher import Batcher
from gateway.main import running
from gateway.settings import GatewaySettings
from services.common.caller import Caller, calling
from services.common.errors import Exhausted, Unavailable
from tests.service.dispatcher_parts import github_headers, payload, staged
from tests.service.models_kit import serving_models

BODY_MAX = 64 * 1024
API = {"X-API-Key": "api-token"}


@asynccontextmanager
async def fronted(dispatcher: str, astra: str, **more: str):
    settings = GatewaySettings.model_validate(
        {
            "GATEWAY_PORT": 0,
            "ASTRA_TOKEN": "gateway-token",
            "DISPATCHER_ADDRESS": dispatcher,
            "ASTRA_ADDRESS": astra,
            "WEBHOOK_BODY_BYTES_MAX": BODY_MAX,
            **more,
        }
    )
    async with running(settings) as server, aiohttp.ClientSession(f"http://{server.address}") as session:
        yield session


@pytest.fixture
async def stage(database_urls):
    async with staged(database_urls) as stage:
        yield stage


@pytest.fixture
async def http(stage):
    async with fronted(stage.address, stage.world_address) as session:
        yield session


@pytest.fixture
async def cut_off():
    """A gateway with nobody behind it."""
    async with fronted("127.0.0.1:1", "127.0.0.1:1") as session:
        yield session


def signed(told=None, **options):
    body = json.dumps(told or payload()).encode()
    return {"data": body, "headers": github_headers(body, event="issue_comment", **options)}


async def test_a_signed_webhook_is_accepted_once_committed_and_leads_to_a_run(http, stage):
    async with http.post("/webhooks/github", **signed()) as response:
        answer = await response.json()

    assert 202 == response.status
    assert "done" == (await stage.settled(answer["delivery_id"]))["status"]
    assert stage.world.runs


@pytest.mark.parametrize("path", ["/webhooks/github", "/webhooks/github/default"])
async def test_a_webhook_signed_with_another_secret_is_refused_as_problem_json(http, path):
    async with http.post(path, **signed(secret="another")) as response:
        problem = await response.json(content_type="application/problem+json")

    assert (401, 401, "SIGNATURE_INVALID") == (response.status, problem["status"], problem["reason"])


@pytest.mark.parametrize(
    "path",
    ["/webhooks/nobody", "/webhooks/github/nobody", "/webhooks/github/a/b", f"/webhooks/github/{'a' * 65}"],
)
async def test_unknown_sources_and_tenants_are_not_found(http, path):
    async with http.post(path, **signed()) as response:
        assert 404 == response.status
        assert 404 == (await response.json(content_type="application/problem+json"))["status"]


async def test_a_body_over_the_limit_is_refused_and_the_gateway_goes_on(http, stage):
    async with http.post("/webhooks/github", data=b"x" * (BODY_MAX + 1)) as response:
        assert 413 == response.status
        assert 413 == (await response.json(content_type="application/problem+json"))["status"]

    async def endless():
        for _ in range(64):
            yield b"x" * 4096

    async with http.post("/webhooks/github", data=endless()) as response:
        assert 413 == response.status
    async with http.post("/webhooks/github", **signed()) as response:
        assert 202 == response.status
    assert 1 == len(await stage.rows("SELECT id FROM webhook_deliveries"))


async def test_odd_headers_reach_the_dispatcher_without_spoiling_the_batch(http):
    sent = signed()
    sent["headers"] |= {f"X-Odd-{number}": "é" for number in range(100)}

    async with http.post("/webhooks/github", **sent) as response:
        assert 202 == response.status


async def test_two_hundred_webhooks_at_once_are_each_answered_and_kept_once(http, stage):
    async def post(number):
        async with http.post("/webhooks/github", **signed(payload(body="x", item_id=number))) as response:
            return response.status, (await response.json())["delivery_id"]

    answers = await asyncio.gather(*(post(number) for number in range(1, 201)))

    assert {202} == {status for status, _ in answers}
    kept = await stage.rows("SELECT id::text FROM webhook_deliveries")
    assert sorted(delivery_id for _, delivery_id in answers) == sorted(each["id"] for each in kept)


async def test_a_task_is_created_with_the_callers_own_key(http, stage):
    body = {"message": "Why?", "repository": "acme/shop", "model": "kimi", "request_id": "one"}

    async with http.post("/api/tasks", json=body, headers=API) as response:
        created = await response.json()
    async with http.post("/api/tasks", json=body, headers=API) as response:
        again = await response.json()

    assert 201 == response.status
    assert created == again
    assert "api" == stage.world.runs[created["task_run_id"]].requester
    assert f"default/manual/{created['task_run_id']}" == created["workflow_id"]


@pytest.mark.parametrize(
    ("headers", "body", "status", "reason"),
    [
        ({}, {"message": "x"}, 401, "TOKEN_MISSING"),
        ({"X-API-Key": "nobody"}, {"message": "x"}, 401, "TOKEN_INVALID"),
        ({"X-API-Key": "é"}, {"message": "x"}, 401, "TOKEN_INVALID"),
        ({"X-API-Key": "worker-token"}, {"message": "x"}, 403, "SCOPE_MISSING"),
        (API, {"message": ""}, 400, "FIELD_INVALID"),
        (API, {"message": "x", "repository": "acme/other"}, 404, "REPOSITORY_NOT_FOUND"),
        (API, {"message": "x", "repository": "acme\0/shop"}, 400, "FIELD_INVALID"),
        (API, {"message": "x", "request_id": "a\0b"}, 400, "FIELD_INVALID"),
        (API, {"message": "x", "model": "gpt-9"}, 404, "MODEL_NOT_FOUND"),
    ],
)
async def test_a_refused_task_says_why(http, headers, body, status, reason):
    async with http.post("/api/tasks", json=body, headers=headers) as response:
        problem = await response.json(content_type="application/problem+json")

    assert (status, reason) == (response.status, problem["reason"])


async def test_a_reused_request_id_is_a_conflict(http):
    for message, status in (("one", 201), ("two", 409)):
        async with http.post(
            "/api/tasks", json={"message": message, "request_id": "r"}, headers=API
        ) as response:
            assert status == response.status


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"message": "x", "path": "/etc"}', "path"),
        (b'{"message": 7}', "message"),
        (b"{}", "message"),
        (b"not json", ""),
    ],
)
async def test_a_body_of_another_shape_is_refused_naming_the_field(http, body, field):
    async with http.post("/api/tasks", data=body, headers=API) as response:
        problem = await response.json(content_type="application/problem+json")

    assert (400, [field]) == (response.status, [each["field"] for each in problem["errors"]])


async def test_every_answer_carries_the_request_id_a_plain_one_of_the_callers_included(http):
    async with http.get("/nothing", headers={"X-Request-Id": "mine-1"}) as response:
        assert (404, "mine-1") == (response.status, response.headers["X-Request-Id"])
    async with http.get("/livez", headers={"X-Request-Id": "not plain"}) as response:
        assert (200, 32) == (response.status, len(response.headers["X-Request-Id"]))


async def test_ready_when_everything_behind_it_answers(http):
    async with http.get("/readyz") as response:
        answer = await response.json()
    sources = {each.pop("name"): each for each in answer.pop("sources")}
    console = {"on": False, "off_reason": "not set: CONSOLE_SESSION_KEY"}
    ready = {"ready": True, "missing": [], "models": None, "vault": None, "console": console}
    assert (200, ready) == (response.status, answer)
    assert [{"on": True, "off_reason": ""}] * 3 == [sources[name] for name in ("github", "slack", "plane")]


async def test_ready_tells_why_a_source_is_off(database_urls):
    async with (
        staged(database_urls, app_id="") as stage,
        fronted(stage.address, stage.world_address) as http,
        http.get("/readyz") as response,
    ):
        github = (await response.json())["sources"][0]

    assert (200, "not set: GITHUB_APP_ID") == (response.status, github["off_reason"])


async def test_ready_tells_which_models_are_on_and_what_the_others_miss(stage):
    async with (
        serving_models(OPENAI_BASE_URL="http://127.0.0.1:9/v1") as address,
        fronted(stage.address, stage.world_address, MODELS_ADDRESS=address) as http,
        http.get("/readyz") as response,
    ):
        listed = {each["name"]: each for each in (await response.json())["models"]}
    assert (True, "") == (listed["local"]["on"], listed["local"]["off_reason"])
    assert (False, "AWS_REGION is not set") == (listed["sonnet"]["on"], listed["sonnet"]["off_reason"])


async def test_who_is_not_needed_to_accept_is_named_when_away_and_does_not_stop_the_rest(stage):
    away = {
        "MODELS_ADDRESS": stage.world_address,
        "TOOLS_ADDRESS": "127.0.0.1:1",
        "WORKER_ADDRESS": "127.0.0.1:1",
    }
    async with fronted(stage.address, stage.world_address, **away) as http, http.get("/readyz") as response:
        answer = await response.json()

    assert (200, True, ["tools", "worker"]) == (response.status, answer["ready"], answer["missing"])


async def test_cut_off_it_lives_is_not_ready_and_asks_to_come_back(cut_off, monkeypatch):
    monkeypatch.setattr(gateway.batcher, "CALL_TIMEOUT_SECONDS", 0.1)
    async with cut_off.get("/health") as response:
        assert 200 == response.status
    async with cut_off.get("/readyz") as response:
        answer = await response.json()
    assert (503, False, ["dispatcher", "astra"]) == (response.status, answer["ready"], answer["missing"])
    assert answer["sources"] is None
    async with cut_off.post("/webhooks/github", **signed()) as response:
        assert (503, "5") == (response.status, response.headers["Retry-After"])
    async with cut_off.post("/api/tasks", json={"message": "x"}, headers=API) as response:
        assert (503, "5") == (response.status, response.headers["Retry-After"])


async def test_webhooks_are_counted_by_source_and_status(http):
    async with http.post("/webhooks/github", **signed(secret="another")):
        pass
    async with http.get("/metrics") as response:
        text = await response.text()

    assert 'astra_webhooks_total{source="github",status="401"}' in text


async def test_a_compressed_bomb_is_bounded_by_what_it_unpacks_to(http):
    bomb = gzip.compress(b"x" * (BODY_MAX * 8))
    async with http.post("/webhooks/github", data=bomb, headers={"Content-Encoding": "gzip"}) as response:
        assert 413 == response.status


class HeldDispatcher:
    """Keeps every call until it is let go."""

    def __init__(self):
        self.batches: list[int] = []
        self.go = asyncio.Event()

    async def IngestWebhooks(self, request, **_options):
        self.batches.append(len(request.deliveries))
        await self.go.wait()
        results = [IngestResult(http_status=202, delivery_id=each.tenant) for each in request.deliveries]
        return pb.IngestWebhooksResponse(results=results)


def caller():
    return calling(Caller(request_id="test", tenant_id=""))


async def test_what_waits_while_calls_are_under_way_travels_together_and_gets_its_own_verdict():
    dispatcher = HeldDispatcher()
    batcher = Batcher(dispatcher)
    with caller():
        asked = [asyncio.create_task(batcher.ingest(Delivery(tenant=str(number)))) for number in range(20)]
    await asyncio.sleep(0)
    dispatcher.go.set()
    verdicts = await asyncio.gather(*asked)

    assert [1] * gateway.batcher.CALLS_MAX + [20 - gateway.batcher.CALLS_MAX] == dispatcher.batches
    assert [str(number) for number in range(20)] == [each.delivery_id for each in verdicts]


async def test_a_call_holds_no_more_than_its_bytes(monkeypatch):
    monkeypatch.setattr(gateway.batcher, "CALL_BYTES_MAX", 2_500)
    monkeypatch.setattr(gateway.batcher, "CALLS_MAX", 1)
    dispatcher = HeldDispatcher()
    batcher = Batcher(dispatcher)
    dispatcher.go.set()
    with caller():
        await asyncio.gather(*(batcher.ingest(Delivery(body=b"x" * 1_000)) for _ in range(6)))

    assert [1, 2, 2, 1] == dispatcher.batches


async def test_past_the_queues_bound_senders_are_told_to_come_back(monkeypatch):
    monkeypatch.setattr(gateway.batcher, "WAITING_MAX", 1)
    monkeypatch.setattr(gateway.batcher, "CALLS_MAX", 1)
    dispatcher = HeldDispatcher()
    batcher = Batcher(dispatcher)
    with caller():
        asked = [asyncio.create_task(batcher.ingest(Delivery())) for _ in range(3)]
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        dispatcher.go.set()
        answers = await asyncio.gather(*asked, return_exceptions=True)

    assert [Exhausted] == [type(each) for each in answers if isinstance(each, Exception)]
    assert 2 == sum(isinstance(each, IngestResult) for each in answers)


async def test_closing_tells_those_who_wait_to_send_again(monkeypatch):
    monkeypatch.setattr(gateway.batcher, "CALLS_MAX", 1)
    batcher = Batcher(HeldDispatcher())
    with caller():
        asked = [asyncio.create_task(batcher.ingest(Delivery())) for _ in range(3)]
    await asyncio.sleep(0)
    await batcher.close()

    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [Unavailable] * 3 == [type(each) for each in answers]
