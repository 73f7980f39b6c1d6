"""Turns, tool results and the money they cost, through the real service."""

from __future__ import annotations

import asyncio
import random

import grpc
import pytest

from aucert.astra.v1 import transcript_service_pb2 as transcript_pb
from aucert.astra.v1.transcript_pb2 import TranscriptTurn
from aucert.models.v1.generation_pb2 import FINISH_REASON_LENGTH, FINISH_REASON_STOP
from aucert.models.v1.message_pb2 import (
    ROLE_ASSISTANT,
    ROLE_TOOL,
    ROLE_USER,
    Message,
    OpaqueReasoning,
    Part,
)
from tests.service.astra_kit import (  # noqa: F401
    SHA256,
    Astra,
    astra_service,
    call,
    new_id,
    refused,
    result,
    turn,
)


async def begun(astra: Astra) -> tuple[str, int, str]:
    """A run at work: its id, fence and first reservation."""
    run = await astra.create()
    attempt = await astra.begin(run.task_run_id)
    return run.task_run_id, attempt.fence, await astra.reserve(run.task_run_id, attempt.fence)


async def listed(astra: Astra, run_id: str) -> list[TranscriptTurn]:
    response = await astra.transcripts.ListTurns(transcript_pb.ListTurnsRequest(task_run_id=run_id))
    return list(response.turns)


async def test_turn_is_recorded_with_its_calls_counters_and_event(astra: Astra) -> None:
    run_id, fence, reservation = await begun(astra)
    parts = [
        Part(reasoning=OpaqueReasoning(provider="x", data=b"\0\xff")),
        Part(text="Let me look.\0"),
        call("t1_0"),
        call("t1_1", "repo_list_files"),
    ]
    assert 1 == await astra.commit_turn(run_id, fence, reservation, *parts)

    run = await astra.get(run_id)
    assert (1, 10, 5, 3, 2, 0.2, 100, SHA256) == (
        run.turn_count,
        run.tokens_input,
        run.tokens_output,
        run.tokens_cache_read,
        run.tokens_cache_write,
        run.cache_hit_rate,
        run.estimated_cost_usd_micros,
        run.prompt_sha256,
    )
    event = (await astra.events(run_id))[-1].turn
    assert (1, 15, 5, 100, 7) == (
        event.position,
        event.tokens_input,
        event.tokens_output,
        event.cost_usd_micros,
        event.duration_ms,
    )
    assert ["repo_read_file", "repo_list_files"] == list(event.tools_called)
    recorded = (await listed(astra, run_id))[-1]
    parts[1] = Part(text="Let me look.\N{REPLACEMENT CHARACTER}")
    assert Message(role=ROLE_ASSISTANT, parts=parts) == recorded.message
    assert (turn("", 1, "").usage, "rehearsal", "R0") == (
        recorded.usage,
        recorded.model_alias,
        recorded.model_label,
    )
    assert [{"call_id": "t1_0"}, {"call_id": "t1_1"}] == await astra.sql(
        "SELECT call_id FROM tool_calls WHERE status = 'begun' ORDER BY call_id"
    )
    assert [{"status": "settled", "spent_usd_micros": 100}] == await astra.sql(
        "SELECT status, spent_usd_micros FROM spend_reservations"
    )


async def test_committing_a_turn_again_returns_what_was_recorded(astra: Astra) -> None:
    run_id, fence, reservation = await begun(astra)
    positions = await asyncio.gather(
        *(astra.commit_turn(run_id, fence, reservation, call("t1_0")) for _ in range(6))
    )
    assert [1] * 6 == positions
    run = await astra.get(run_id)
    assert (1, 10, 100) == (run.turn_count, run.tokens_input, run.estimated_cost_usd_micros)
    assert ["agent_started", "turn"] == await astra.event_types(run_id)
    assert 2 == len(await listed(astra, run_id))


async def test_turn_needs_a_reservation_of_its_own_run(astra: Astra) -> None:
    run_id, fence, _ = await begun(astra)
    _, _, of_other = await begun(astra)
    for reservation in (new_id(), of_other):
        with refused("RESERVATION_NOT_OPEN"):
            await astra.commit_turn(run_id, fence, reservation)
    run = await astra.get(run_id)
    assert (0, 0) == (run.turn_count, run.estimated_cost_usd_micros)


async def test_turn_that_is_not_a_models_or_repeats_a_call_id_is_refused(astra: Astra) -> None:
    run_id, fence, reservation = await begun(astra)
    request = turn(run_id, fence, reservation)
    request.message.role = ROLE_USER
    with refused("FIELD_INVALID"):
        await astra.transcripts.CommitTurn(request)
    with refused("FIELD_INVALID"):
        await astra.commit_turn(run_id, fence, reservation, call("t1_0"), call("t1_0"))


async def test_first_prompt_hash_stays_on_the_run(astra: Astra) -> None:
    run_id, fence, reservation = await begun(astra)
    await astra.commit_turn(run_id, fence, reservation)
    second = turn(run_id, fence, await astra.reserve(run_id, fence))
    second.prompt_sha256 = "b" * 64
    await astra.transcripts.CommitTurn(second)
    assert SHA256 == (await astra.get(run_id)).prompt_sha256


async def test_results_are_recorded_with_the_next_reservation(astra: Astra) -> None:
    run_id, fence, reservation = await begun(astra)
    await astra.commit_turn(run_id, fence, reservation, call("t1_0"), call("t1_1"))
    response = await astra.commit_results(
        run_id, fence, result("t1_1", "b\0"), result("t1_0", "gone", failed=True)
    )
    [told] = response.turns
    assert (2, ROLE_TOOL) == (told.position, told.message.role)
    assert [("t1_1", "b\N{REPLACEMENT CHARACTER}", False), ("t1_0", "gone", True)] == [
        (part.tool_result.call_id, part.tool_result.text, part.tool_result.failed)
        for part in told.message.parts
    ]
    assert told == (await listed(astra, run_id))[-1]
    assert 300 == response.reservation.reserved_usd_micros
    await astra.commit_turn(run_id, fence, response.reservation.spend_reservation_id)
    assert ["agent_started", "turn", "tool_call", "tool_call", "turn"] == await astra.event_types(run_id)
    failed = (await astra.events(run_id))[3].tool_call
    assert ("t1_0", "repo_read_file", True, "PATH_NOT_FOUND", 3) == (
        failed.call_id,
        failed.tool_name,
        failed.failed,
        failed.reason,
        failed.duration_ms,
    )
    assert [("t1_0", "finished", True), ("t1_1", "finished", False)] == [
        (row["call_id"], row["status"], row["failed"])
        for row in await astra.sql("SELECT call_id, status, failed FROM tool_calls ORDER BY call_id")
    ]


@pytest.mark.parametrize(
    "call_ids", [[], ["t1_0"], ["t1_0", "t1_1", "t1_2"], ["t1_0", "t1_0"], ["t1_0", "t9_9"]]
)
async def test_results_must_be_those_of_the_open_calls(astra: Astra, call_ids: list[str]) -> None:
    run_id, fence, reservation = await begun(astra)
    await astra.commit_turn(run_id, fence, reservation, call("t1_0"), call("t1_1"))
    with refused("RESULTS_MISMATCH"):
        await astra.commit_results(run_id, fence, *map(result, call_ids))
    assert ["agent_started", "turn"] == await astra.event_types(run_id)
    assert 2 == len(await listed(astra, run_id))


async def test_committing_results_again_doubles_nothing(astra: Astra) -> None:
    run_id, fence, reservation = await begun(astra)
    await astra.commit_turn(run_id, fence, reservation, call("t1_0"))

    async def commit() -> int:
        try:
            return len((await astra.commit_results(run_id, fence, result("t1_0"))).turns)
        except grpc.aio.AioRpcError:
            return 0

    assert 1 == sum(await asyncio.gather(*(commit() for _ in range(6))))
    assert 3 == len(await listed(astra, run_id))
    assert [{"count": 1}] == await astra.sql("SELECT count(*) FROM spend_reservations WHERE status = 'open'")


async def test_correction_is_told_once(astra: Astra) -> None:
    run_id, fence, reservation = await begun(astra)
    await astra.commit_turn(run_id, fence, reservation)
    response = await astra.commit_results(run_id, fence, correction="Say something.")
    assert [(2, ROLE_USER, "Say something.")] == [
        (each.position, each.message.role, each.message.parts[0].text) for each in response.turns
    ]
    with refused("RESULTS_MISMATCH"):
        await astra.commit_results(run_id, fence, correction="Say something.")


async def test_follow_up_said_meanwhile_comes_after_the_results(astra: Astra) -> None:
    run = await astra.create()
    fence = (await astra.begin(run.task_run_id)).fence
    reservation = await astra.reserve(run.task_run_id, fence)
    await astra.commit_turn(run.task_run_id, fence, reservation, call("t1_0"))
    later = await astra.create(thread_id=run.thread_id, seq=2, message="And the tests?")
    response = await astra.commit_results(run.task_run_id, fence, result("t1_0"))
    assert [(2, ROLE_TOOL, ""), (3, ROLE_USER, later.thread_event_id)] == [
        (each.position, each.message.role, each.thread_event_id) for each in response.turns
    ]
    assert run.task_run_id == (await astra.get(later.task_run_id)).answered_by_task_run_id
    event = (await astra.events(run.task_run_id))[-1].follow_up
    assert (later.task_run_id, later.thread_event_id) == (event.task_run_id, event.thread_event_id)


async def test_follow_ups_from_all_sides_are_each_folded_in_once(astra: Astra) -> None:
    run = await astra.create()
    fence = (await astra.begin(run.task_run_id)).fence
    reservation = await astra.reserve(run.task_run_id, fence)
    made: list[str] = []

    async def say() -> None:
        for seq in range(2, 14):
            later = await astra.create(thread_id=run.thread_id, seq=seq)
            made.append(later.thread_event_id)

    async def work() -> None:
        paid = reservation
        for number in range(1, 9):
            await astra.commit_turn(run.task_run_id, fence, paid, call(f"t{number}_0"))
            response = await astra.commit_results(run.task_run_id, fence, result(f"t{number}_0"))
            paid = response.reservation.spend_reservation_id

    await asyncio.gather(say(), work())
    attempt = await astra.begin(run.task_run_id)
    told = [each.thread_event_id for each in attempt.turns if each.thread_event_id]
    assert [run.thread_event_id, *made] == told
    assert list(range(len(attempt.turns))) == [each.position for each in attempt.turns]


async def test_interrupted_run_is_found_as_it_was_left_at_every_step(astra: Astra) -> None:
    """A worker dies after any step; the next attempt goes on from the record and pays no turn twice."""
    dice = random.Random(7)
    run = await astra.create()
    turns, abandoned = 0, 0
    while turns < 6:
        attempt = await astra.begin(run.task_run_id)
        steps = dice.randint(1, 4)
        calls = [
            part.tool_call.call_id for part in attempt.turns[-1].message.parts if part.HasField("tool_call")
        ]
        if calls:
            response = await astra.commit_results(run.task_run_id, attempt.fence, *map(result, calls))
            reservation, steps = response.reservation.spend_reservation_id, steps - 1
        else:
            reservation = await astra.reserve(run.task_run_id, attempt.fence, 300)
        if steps <= 1:
            abandoned += 1
            continue
        turns += 1
        await astra.commit_turn(run.task_run_id, attempt.fence, reservation, call(f"t{turns}_0"))
    now = (await astra.begin(run.task_run_id)).task_run
    assert abandoned > 0
    assert (turns, turns * 100 + abandoned * 300) == (now.turn_count, now.estimated_cost_usd_micros)


async def test_turns_are_listed_in_pages(astra: Astra) -> None:
    run_id, fence, reservation = await begun(astra)
    await astra.commit_turn(run_id, fence, reservation)
    first = await astra.transcripts.ListTurns(transcript_pb.ListTurnsRequest(task_run_id=run_id, page_size=1))
    rest = await astra.transcripts.ListTurns(
        transcript_pb.ListTurnsRequest(task_run_id=run_id, page_size=1, page_token=first.next_page_token)
    )
    assert [0, 1, ""] == [first.turns[0].position, rest.turns[0].position, rest.next_page_token]
    second = await astra.transcripts.ListTurns(
        transcript_pb.ListTurnsRequest(task_run_id=run_id, from_position=1)
    )
    assert rest.turns == second.turns


async def test_a_page_of_long_turns_ends_early_and_goes_on(
    astra: Astra, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, fence, reservation = await begun(astra)
    await astra.commit_turn(run_id, fence, reservation)
    monkeypatch.setattr("services.astra.transcript_servicer.PAGE_BYTES_MAX", 1)
    request = transcript_pb.ListTurnsRequest(task_run_id=run_id)
    listed: list[int] = []
    while True:
        page = await astra.transcripts.ListTurns(request)
        assert 1 == len(page.turns)
        listed.append(page.turns[0].position)
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break
    assert [0, 1] == listed


async def test_why_a_model_stopped_and_who_was_passed_over_stay_on_record(astra: Astra) -> None:
    run = await astra.create()
    fence = (await astra.begin(run.task_run_id)).fence
    cut = turn(run.task_run_id, fence, await astra.reserve(run.task_run_id, fence))
    cut.finish_reason = FINISH_REASON_LENGTH
    cut.passed_over.add(model_alias="sonnet", reason="MODEL_UNAVAILABLE", cost_usd_micros=7)
    await astra.transcripts.CommitTurn(cut)
    resumed = await astra.begin(run.task_run_id)
    assert resumed.turns[-1].finish_reason == FINISH_REASON_LENGTH
    (event,) = (each.turn for each in await astra.events(run.task_run_id) if each.HasField("turn"))
    assert (event.cut, list(event.passed_over)) == ("length", list(cut.passed_over))

    whole = turn(run.task_run_id, resumed.fence, await astra.reserve(run.task_run_id, resumed.fence))
    whole.finish_reason = FINISH_REASON_STOP
    await astra.transcripts.CommitTurn(whole)
    assert (await astra.events(run.task_run_id))[-1].turn.cut == ""
