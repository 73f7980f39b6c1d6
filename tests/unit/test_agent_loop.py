"""The loop is a function of the record: whatever was recorded, the next step follows from it alone."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aucert.astra.v1.transcript_pb2 import TranscriptTurn
from aucert.models.v1.generation_pb2 import (
    FINISH_REASON_CONTENT_FILTER,
    FINISH_REASON_LENGTH,
    FINISH_REASON_MALFORMED,
    FINISH_REASON_UNSPECIFIED,
    FinishReason,
)
from aucert.models.v1.message_pb2 import (
    ROLE_ASSISTANT,
    ROLE_TOOL,
    ROLE_USER,
    Message,
    Part,
    ToolCall,
    ToolResult,
    Usage,
)
from services.worker.agent import (
    CALLS_PER_TURN_MAX,
    CUT_ANSWER,
    CUT_BEFORE_CALLS,
    CUT_CALLS,
    CUTS_IN_A_ROW_MAX,
    EMPTY_ANSWER,
    MALFORMED_ANSWER,
    TWO_AUTHORS,
    CallModel,
    Correct,
    Fail,
    Finish,
    Limits,
    RunTools,
    Step,
    answer_of,
    as_recorded,
    mistakes_in_a_row,
    next_step,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIMITS = Limits(turns_max=5, tokens_max=1000, mistakes_max=2, deadline=NOW + timedelta(minutes=10))
CALL = ToolCall(call_id="t1_0", tool_name="repo_read_file", arguments_json="{}")


def user(text: str = "hello", event: str = "") -> TranscriptTurn:
    return TranscriptTurn(message=Message(role=ROLE_USER, parts=[Part(text=text)]), thread_event_id=event)


def said(
    text: str,
    tokens: int = 1,
    finish: FinishReason.ValueType = FINISH_REASON_UNSPECIFIED,
    label: str = "R0",
) -> TranscriptTurn:
    parts = [Part(text=text)] if text else []
    return TranscriptTurn(
        message=Message(role=ROLE_ASSISTANT, parts=parts),
        model_label=label,
        usage=Usage(tokens_output=tokens),
        finish_reason=finish,
    )


def cut(text: str, label: str = "R0") -> TranscriptTurn:
    return said(text, finish=FINISH_REASON_LENGTH, label=label)


def called(*calls: ToolCall) -> TranscriptTurn:
    parts = [Part(text="Let me look."), *(Part(tool_call=call) for call in calls or (CALL,))]
    return TranscriptTurn(message=Message(role=ROLE_ASSISTANT, parts=parts), model_label="R0")


def results(*outcomes: str) -> TranscriptTurn:
    """Results of the last turn's calls: "ok", "failed", or "mistake" (failed and fixable)."""
    parts = [
        Part(
            tool_result=ToolResult(call_id="t1_0", text=each, failed=each != "ok", fixable=each == "mistake")
        )
        for each in outcomes
    ]
    return TranscriptTurn(message=Message(role=ROLE_TOOL, parts=parts))


@pytest.mark.parametrize(
    ("turns", "step"),
    [
        ([user()], CallModel()),
        ([user(), called()], RunTools((CALL,))),
        ([user(), called(), results("ok")], CallModel()),
        ([user(), called(), results("ok"), said("Done.")], Finish("Done.", "R0")),
        ([user(), said("[R0] Done.")], Finish("Done.", "R0")),
        ([user(), said("Done."), user("and this?", "e2")], CallModel()),
        ([user(), called(), results("ok"), user("and this?", "e2")], CallModel()),
        ([user(), said("")], Correct(EMPTY_ANSWER)),
        ([user(), said(" \n")], Correct(EMPTY_ANSWER)),
        ([user(), said("[R0]")], Correct(EMPTY_ANSWER)),
        ([user(), said(""), user(EMPTY_ANSWER)], CallModel()),
        ([user(), *[said(""), user(EMPTY_ANSWER)] * 2, said("")], Fail("MODEL_MISTAKES")),
        ([user(), *[said(""), user(EMPTY_ANSWER)] * 2, said("Done.")], Finish("Done.", "R0")),
        ([user(), *[called(), results("mistake")] * 2], CallModel()),
        ([user(), *[called(), results("mistake")] * 3], Fail("MODEL_MISTAKES")),
        ([user(), *[called(), results("failed")] * 3], CallModel()),
        ([user(), *[called(), results("mistake")] * 2, said("")], Fail("MODEL_MISTAKES")),
        ([user(), *[called(), results("mistake", "ok")] * 3], CallModel()),
        ([user(), *[called(), results("ok")] * 5], Fail("TURNS_EXCEEDED")),
        ([user(), *[called(), results("ok")] * 4, called()], Fail("TURNS_EXCEEDED")),
        ([user(), *[called(), results("ok")] * 4, said("Done.")], Finish("Done.", "R0")),
        ([user(), said("", tokens=1000)], Fail("TOKENS_EXCEEDED")),
        ([user(), said("Done.", tokens=9999)], Finish("Done.", "R0")),
    ],
)
def test_next_step(turns: list[TranscriptTurn], step: Step) -> None:
    assert step == next_step(turns, LIMITS, NOW)


@pytest.mark.parametrize("turns", [[user()], [user(), called()], [user(), said("Done.")]])
def test_nothing_is_done_past_the_deadline(turns: list[TranscriptTurn]) -> None:
    assert Fail("DEADLINE_EXCEEDED") == next_step(turns, LIMITS, LIMITS.deadline)


def test_cached_tokens_count_toward_the_ceiling() -> None:
    turn = said("")
    turn.usage.CopyFrom(Usage(tokens_cache_read=600, tokens_cache_write=400))

    assert Fail("TOKENS_EXCEEDED") == next_step([user(), turn], LIMITS, NOW)


def test_a_follow_up_does_not_forgive_mistakes() -> None:
    assert mistakes_in_a_row([user(), said(""), user("and this?", "e2"), said("")]) == 2


def test_calls_get_ids_of_the_platform_whatever_the_provider_called_them() -> None:
    message = Message(
        role=ROLE_ASSISTANT,
        parts=[
            Part(tool_call=ToolCall(call_id="x")),
            Part(text="and"),
            Part(tool_call=ToolCall(call_id="x")),
        ],
    )

    recorded = as_recorded(message, 7)

    assert ["t7_0", "t7_1"] == [
        part.tool_call.call_id for part in recorded.parts if part.HasField("tool_call")
    ]
    assert message.parts[0].tool_call.call_id == "x"


def test_calls_past_the_bound_are_left_out_of_the_turn() -> None:
    message = Message(parts=[Part(tool_call=ToolCall())] * (CALLS_PER_TURN_MAX + 5))

    assert len(as_recorded(message, 1).parts) == CALLS_PER_TURN_MAX


ANSWERS = st.sampled_from(["", "[R0]", "Done."])


@st.composite
def records(draw: st.DrawFn) -> list[TranscriptTurn]:
    """A record grown the way the worker grows one: each turn is what the step before it asked for."""
    turns = [user()]
    for _ in range(draw(st.integers(0, 12))):
        match next_step(turns, LIMITS, NOW):
            case CallModel():
                turns.append(
                    draw(st.one_of(ANSWERS.map(said), st.integers(1, 3).map(lambda n: called(*[CALL] * n))))
                )
            case RunTools(calls):
                outcomes = draw(
                    st.lists(
                        st.sampled_from(["ok", "failed", "mistake"]), min_size=len(calls), max_size=len(calls)
                    )
                )
                turns.append(results(*outcomes))
            case Correct(text):
                turns.append(user(text))
            case Finish() if draw(
                st.booleans()
            ):  # an attempt died before it posted, and a follow-up was folded in
                pass
            case _:
                return turns
        if draw(st.booleans()) and not isinstance(next_step(turns, LIMITS, NOW), RunTools | Correct):
            turns.append(user("and this?", "e2"))
    return turns


@given(records())
def test_every_prefix_of_a_record_has_a_legal_next_step(turns: list[TranscriptTurn]) -> None:
    for length in range(1, len(turns) + 1):
        prefix = turns[:length]
        last = prefix[-1].message
        step = next_step(prefix, LIMITS, NOW)
        match step:
            case RunTools(calls):
                assert list(calls) == [part.tool_call for part in last.parts if part.HasField("tool_call")]
            case Finish(text, _):
                assert text
                assert last.role == ROLE_ASSISTANT
            case Correct():
                assert last.role == ROLE_ASSISTANT
            case CallModel():
                assert last.role in (ROLE_USER, ROLE_TOOL)
            case Fail(reason):
                assert reason in {"MODEL_MISTAKES", "TURNS_EXCEEDED"}


@given(records())
def test_an_attempt_that_reads_the_record_anew_decides_the_same(turns: list[TranscriptTurn]) -> None:
    read_back = [TranscriptTurn.FromString(turn.SerializeToString()) for turn in turns]

    assert next_step(turns, LIMITS, NOW) == next_step(read_back, LIMITS, NOW)


@given(records())
def test_model_turns_never_pass_the_ceiling(turns: list[TranscriptTurn]) -> None:
    assert sum(turn.message.role == ROLE_ASSISTANT for turn in turns) <= LIMITS.turns_max


def test_a_text_that_was_cut_is_continued_and_answered_in_one_piece():
    assert next_step([user(), cut("[R0] Once upon")], LIMITS, NOW) == Correct(CUT_ANSWER)
    turns = [
        user(),
        cut("[R0] Once upon"),
        user(CUT_ANSWER),
        cut(" a time"),
        user(CUT_ANSWER),
        said("[R0] it was."),
    ]
    assert next_step(turns, LIMITS, NOW) == Finish("Once upon a time it was.", "R0")


def test_a_text_from_before_other_work_is_no_part_of_the_answer_and_the_model_is_told():
    turns = [user(), cut("Once"), user(CUT_ANSWER), called()]
    assert next_step(turns, LIMITS, NOW) == RunTools((CALL,), CUT_BEFORE_CALLS)
    turns += [results("ok"), user(CUT_BEFORE_CALLS), said("It is a shop.")]
    assert next_step(turns, LIMITS, NOW) == Finish("It is a shop.", "R0")


def test_an_answer_that_two_models_wrote_is_asked_for_anew_since_it_has_one_label():
    turns = [user(), cut("Once", "S46"), user(CUT_ANSWER), said(" upon a time", label="K26")]
    assert next_step(turns, LIMITS, NOW) == Correct(TWO_AUTHORS)
    turns += [user(TWO_AUTHORS), said("Once upon a time", label="K26")]
    assert next_step(turns, LIMITS, NOW) == Finish("Once upon a time", "K26")


def test_a_model_that_is_cut_again_and_again_is_given_up():
    turns = [user(), *[cut("more")] * CUTS_IN_A_ROW_MAX]
    assert next_step(turns, LIMITS, NOW) == Correct(CUT_ANSWER)
    assert next_step([*turns, cut("more")], LIMITS, NOW) == Fail("MODEL_OUTPUT_EXCEEDED")


def test_calls_of_a_turn_that_was_cut_are_made_and_the_model_is_told():
    turn = called()
    turn.finish_reason = FINISH_REASON_LENGTH
    assert next_step([user(), turn], LIMITS, NOW) == RunTools((CALL,), CUT_CALLS)


def test_a_filtered_turn_ends_the_run_whatever_it_holds():
    filtered = called()
    filtered.finish_reason = FINISH_REASON_CONTENT_FILTER
    for turn in (filtered, said("Half", finish=FINISH_REASON_CONTENT_FILTER)):
        assert next_step([user(), turn], LIMITS, NOW) == Fail("MODEL_FILTERED")
        assert answer_of([user(), turn]) is None


def test_a_turn_its_own_provider_could_not_read_is_a_mistake_told_to_the_model():
    broken = said("Half", finish=FINISH_REASON_MALFORMED)
    assert next_step([user(), broken], LIMITS, NOW) == Correct(MALFORMED_ANSWER)
    assert mistakes_in_a_row([user(), broken, user(MALFORMED_ANSWER), broken]) == 2
