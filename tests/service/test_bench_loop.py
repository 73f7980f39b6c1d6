"""The model and the bare loop of `make bench loop` over a real connection: what its figures rest on."""

import asyncio

from aiohttp.test_utils import TestClient, TestServer

from scripts.loop_bench.assignment import Assignment
from scripts.loop_bench.measuring import check
from scripts.loop_bench.model_server import Call, ModelServer
from scripts.loop_bench.openai_loop import client_of, run


async def test_a_bare_loop_reads_every_note_and_gives_the_answer_of_its_assignment():
    assignment = Assignment("k1", turns=3, result_bytes=40_000)
    async with TestClient(TestServer(ModelServer().app())) as http:
        async with client_of(str(http.make_url("")).rstrip("/")) as client:
            waiting = asyncio.create_task(http.get("/answered/k1"))
            assert assignment.answer == await run(client, assignment)
            assert 200 == (await waiting).status
        calls = [Call(**call) for call in await (await http.get("/calls/k1")).json()]
        check("openai", assignment, calls)
        assert [] == await (await http.get("/calls/k1")).json()
