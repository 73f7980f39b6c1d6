"""The pure parts of `make bench loop`: what is asked of the contenders, and what is made of their figures."""

import json

import pytest

from scripts.loop_bench.assignment import Assignment, next_message, note
from scripts.loop_bench.explaining import rpc_costs, statement_costs, statement_name
from scripts.loop_bench.measuring import NAMES, Batch, Growth, Results, Work, check, in_turn
from scripts.loop_bench.model_server import Call
from scripts.loop_bench.processes import WrongResult
from scripts.loop_bench.report import Figure, figures, p90, table

ASSIGNMENT = Assignment("k1", turns=2, result_bytes=200)


def conversation(said):
    system = {"role": "system", "content": "Read 9 notes of 9 bytes for run other."}
    asked = {"role": "user", "content": f"<comment>{ASSIGNMENT.prompt}</comment>"}
    return [system, asked, *[{"role": "assistant", "content": None}] * said]


def test_an_assignment_is_found_among_what_the_platform_puts_around_it():
    assert ASSIGNMENT == Assignment.of(conversation(said=0))


def test_a_conversation_without_an_assignment_is_refused():
    with pytest.raises(ValueError, match="no assignment"):
        Assignment.of([{"role": "user", "content": "hello"}])


@pytest.mark.parametrize("turn", [0, 1])
def test_the_model_asks_for_another_note_in_each_turn(turn):
    said = next_message(conversation(said=turn))
    arguments = json.loads(said["tool_calls"][0]["function"]["arguments"])
    assert ASSIGNMENT.path(turn) == arguments["path"]


def test_the_model_answers_after_the_last_turn():
    assert {"role": "assistant", "content": ASSIGNMENT.answer} == next_message(conversation(said=2))


@pytest.mark.parametrize("size", [0, 1, 200, 40_000])
def test_a_note_is_as_long_as_its_path_says(size):
    assert size == len(note(f"k1/0/{size}").encode())


def test_a_note_is_the_same_each_time_and_unlike_any_other():
    assert note("k1/0/200") == note("k1/0/200") != note("k1/1/200")


def calls(*result_bytes):
    return [Call(asked=0.0, answered=0.0, result_bytes=each) for each in result_bytes]


def test_a_run_that_asked_once_a_turn_and_read_every_result_is_right():
    check("astra", ASSIGNMENT, calls(-1, 200, 200))


@pytest.mark.parametrize(
    "seen",
    [calls(-1, 200), calls(-1, 200, 200, 200), calls(-1, 200, 199)],
    ids=["a turn lost", "a turn paid twice", "a result cut"],
)
def test_a_run_that_lost_or_repeated_something_fails_the_bench(seen):
    with pytest.raises(WrongResult):
        check("astra", ASSIGNMENT, seen)


def test_each_contender_is_first_in_a_third_of_the_rounds():
    assert {*NAMES} == {in_turn(NAMES, number)[0] for number in range(3)}
    assert all(sorted(NAMES) == sorted(in_turn(NAMES, number)) for number in range(3))


LOG = """\
astra|LOG:  duration: 0.100 ms  parse <unnamed>: SELECT id,
\t\tslug
\tFROM agents WHERE id = $1
astra|LOG:  duration: 0.200 ms  bind <unnamed>: SELECT id,
\t\tslug
\tFROM agents WHERE id = $1
astra|DETAIL:  Parameters: $1 = '7'
astra|LOG:  duration: 0.300 ms  execute <unnamed>: SELECT id,
\t\tslug
\tFROM agents WHERE id = $1
dispatcher|LOG:  duration: 5.000 ms  statement: COMMIT
[unknown]|LOG:  duration: 9.000 ms  statement: ALTER SYSTEM RESET log_line_prefix
2026-01-01 00:00:00 UTC [1] LOG:  checkpoint starting: time
"""


def test_a_statement_counts_once_with_the_time_of_all_its_phases():
    expected = [("dispatcher: COMMIT", 1, 5.0), ("astra: SELECT agents", 1, pytest.approx(0.6))]
    assert expected == statement_costs(LOG.splitlines(keepends=True))


@pytest.mark.parametrize(
    ("name", "sql"),
    [
        ("UPDATE task_runs", "UPDATE task_runs SET x = 1 WHERE id = $1"),
        ("INSERT tool_calls", "insert into tool_calls (id) values ($1)"),
        ("SELECT set_config('app.tenant_id', $1, true)", "SELECT  set_config('app.tenant_id', $1, true)"),
    ],
)
def test_a_statement_is_named_by_verb_and_table(name, sql):
    assert name == statement_name(sql)


def test_calls_are_added_up_by_method_without_the_benchs_own_watching():
    lines = [
        {"event": "call", "method": "/aucert.astra.v1.TranscriptService/CommitTurn", "duration_ms": 2.0},
        {"event": "serving", "service": "astra"},
        {"event": "call", "method": "/aucert.astra.v1.TranscriptService/CommitTurn", "duration_ms": 3.0},
        {"event": "call", "method": "/aucert.astra.v1.TaskRunService/WatchTaskRun", "duration_ms": 900.0},
    ]
    expected = [("astra.v1.TranscriptService/CommitTurn", 2, 5.0)]
    assert expected == rpc_costs(json.dumps(line) for line in lines)


def test_p90_is_the_value_nine_tenths_do_not_exceed():
    assert p90(range(1, 11)) == 9
    assert p90([4.0]) == 4.0


def test_a_line_holds_the_ratios_to_the_others_and_none_to_nothing():
    line = Figure("x", "ms", {"astra": 3.0, "openai": 2.0, "langgraph": 0.0}, samples=7).to_json()
    assert line["astra_to_openai"] == 1.5
    assert "astra_to_langgraph" not in line


def batch(work, overhead_ms):
    return Batch(
        work=work,
        seconds=2.0,
        cpu_seconds={"python": 0.5, "postgres": 0.3, "temporal": 0.2, "other": 0.0},
        overheads_ms=(overhead_ms,) * work.turns,
        periods_ms=(overhead_ms + 1,) * work.turns,
        around_ms=(50.0,),
    )


def results():
    found = Results()
    for name, overhead_ms in zip(NAMES, (12.0, 3.0, 6.0), strict=True):
        found.alone[name] = [batch(Work(1), overhead_ms), batch(Work(1), overhead_ms + 2)]
        found.together[name] = [batch(Work(16, lanes=8), overhead_ms)]
        large = batch(Work(2, turns=40, result_bytes=40_000), overhead_ms)
        found.stored[name] = [Growth(large, postgres_bytes=8_000, wal_bytes=80_000, history_bytes=4_000)]
    return found


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("one run: a turn beyond model and tool, median", 13.0),
        ("one run: the same, the quietest round's median", 12.0),
        ("one run: CPU time a turn", 100.0),
        ("one run: of it postgres", 30.0),
        ("8 runs: turns a second, whole runs, median", 80.0),
        ("40 turns of 40,000 B: PostgreSQL grew a turn", 0.1),
        ("40 turns of 40,000 B: write-ahead log a turn", 1.0),
        ("40 turns of 40,000 B: Temporal history a run", 2.0),
        ("40 turns of 40,000 B: Temporal history a turn", 50.0),
    ],
)
def test_a_figure_is_made_of_what_was_measured(what, value):
    found = {line.what: line.values["astra"] for line in figures(results())}
    assert value == pytest.approx(found[what])


def test_the_table_shows_every_figure_on_a_line_with_its_aim():
    lines = figures(results())
    _, *rows = table(lines).splitlines()
    assert len(lines) == len(rows)
    assert all(
        row.startswith(line.what) and row.endswith(line.aim) for line, row in zip(lines, rows, strict=True)
    )
