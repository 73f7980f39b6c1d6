"""The ledger of effects: who may write one down, what a repeat finds, and which runs may."""

from __future__ import annotations

from typing import Any

import pytest

from aucert.astra.v1 import effect_service_pb2 as pb
from aucert.astra.v1.effect_service_pb2_grpc import EffectServiceStub
from services.common.caller import Caller, calling
from services.common.channels import connect
from tests.service.astra_kit import Astra, astra_service, call, new_id, refused, result

__all__ = ["astra_service"]

TOOL = "github_create_issue"
REQUEST = "a" * 64


@pytest.fixture
async def ledger(astra: Astra, tokens: Any) -> Any:
    channel = connect(astra.address, tokens["tools"])
    yield EffectServiceStub(channel)
    await channel.close()


async def run_with_call(astra: Astra, tool: str = TOOL) -> tuple[str, int]:
    """A run whose model has just asked for one call, t1_0; and its fence."""
    run = await astra.create()
    begun = await astra.begin(run.task_run_id)
    reservation = await astra.reserve(run.task_run_id, begun.fence)
    await astra.commit_turn(run.task_run_id, begun.fence, reservation, call("t1_0", tool))
    return run.task_run_id, begun.fence


def begin(run: str, fence: int, **fields: Any) -> pb.BeginEffectRequest:
    known: dict[str, Any] = {"call_id": "t1_0", "tool_name": TOOL, "request_sha256": REQUEST}
    return pb.BeginEffectRequest(task_run_id=run, fence=fence, **(known | fields))


def without_run(**fields: Any) -> pb.BeginEffectRequest:
    known = {"tool_name": TOOL, "request_sha256": REQUEST, "principal": "operator", "request_id": "mine"}
    return pb.BeginEffectRequest(**(known | fields))


def finish(effect_id: str, url: str = "https://github.invalid/1") -> pb.FinishEffectRequest:
    return pb.FinishEffectRequest(effect_id=effect_id, url=url, response_json='{"text":"Opened."}')


async def test_a_repeated_call_finds_its_effect_and_later_what_came_of_it(astra: Astra, ledger: Any):
    run, fence = await run_with_call(astra)
    first = await ledger.BeginEffect(begin(run, fence))
    again = await ledger.BeginEffect(begin(run, fence))
    assert (True, False) == (first.created, again.created)
    assert first.effect == again.effect
    assert not first.effect.done
    await ledger.FinishEffect(finish(first.effect.effect_id))
    await ledger.FinishEffect(finish(first.effect.effect_id, url="https://github.invalid/2"))
    done = (await ledger.BeginEffect(begin(run, fence))).effect
    assert done.done
    assert ("https://github.invalid/1", '{"text":"Opened."}') == (done.url, done.response_json)


async def test_an_older_attempt_may_not_act_but_may_tell_what_it_did(astra: Astra, ledger: Any):
    run, fence = await run_with_call(astra)
    effect = (await ledger.BeginEffect(begin(run, fence))).effect
    newer = (await astra.begin(run)).fence
    with refused("FENCE_STALE"):
        await ledger.BeginEffect(begin(run, fence))
    await ledger.FinishEffect(finish(effect.effect_id))
    assert (await ledger.BeginEffect(begin(run, newer))).effect.done


@pytest.mark.parametrize("other", [{"call_id": "t9_9"}, {"tool_name": "github_update_issue"}])
async def test_only_a_call_that_is_open_may_change_something(
    astra: Astra, ledger: Any, other: dict[str, str]
):
    run, fence = await run_with_call(astra)
    with refused("TOOL_CALL_NOT_OPEN"):
        await ledger.BeginEffect(begin(run, fence, **other))


async def test_a_call_with_its_result_on_record_may_change_nothing_more(astra: Astra, ledger: Any):
    run, fence = await run_with_call(astra)
    await astra.commit_results(run, fence, result("t1_0"))
    with refused("TOOL_CALL_NOT_OPEN"):
        await ledger.BeginEffect(begin(run, fence))


async def test_outside_of_runs_a_request_id_names_one_change(ledger: Any):
    first = await ledger.BeginEffect(without_run())
    assert first.effect == (await ledger.BeginEffect(without_run())).effect
    with refused("REQUEST_ID_REUSED"):
        await ledger.BeginEffect(without_run(request_sha256="b" * 64))
    assert (await ledger.BeginEffect(without_run(principal="api"))).created
    with refused("FIELD_INVALID"):
        await ledger.BeginEffect(without_run(request_id=""))


async def test_a_tenant_does_not_see_anothers_effects(astra: Astra, ledger: Any):
    effect = (await ledger.BeginEffect(without_run())).effect
    with calling(Caller(request_id="r", tenant_id=await astra.add_tenant())):
        with refused("EFFECT_NOT_FOUND"):
            await ledger.FinishEffect(finish(effect.effect_id))
        assert (await ledger.BeginEffect(without_run())).created
    with refused("EFFECT_NOT_FOUND"):
        await ledger.FinishEffect(finish(new_id()))


async def test_a_run_that_takes_in_a_strangers_words_is_no_longer_trusted(astra: Astra):
    thread = new_id()
    run = await astra.create(thread_id=thread, requester_trusted=True)
    assert (await astra.begin(run.task_run_id)).task_run.requester_trusted
    await astra.create(thread_id=thread, seq=2, requester_trusted=True)
    assert (await astra.begin(run.task_run_id)).task_run.requester_trusted
    await astra.create(thread_id=thread, seq=3)
    assert not (await astra.begin(run.task_run_id)).task_run.requester_trusted
