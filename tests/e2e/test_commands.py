"""The `astra` command as a person uses it: what it prints, where, and how it exits."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.story import PATIENCE_SECONDS


@dataclass(frozen=True)
class Ran:
    code: int | None
    out: str
    err: str


async def astra(*arguments: str, state: Path) -> Ran:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli.main", *arguments),
        env={**os.environ, "ASTRA_STATE": str(state)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    return Ran(process.returncode, out.decode(), err.decode())


@asynccontextmanager
async def up(state: Path) -> AsyncIterator[None]:
    """`astra up`, from ready to ended by SIGTERM."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli.main", "up", "--free-ports"),
        env={**os.environ, "ASTRA_STATE": str(state)},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr
    try:
        first = await asyncio.wait_for(process.stderr.readline(), PATIENCE_SECONDS)
        assert b"Astra is ready" in first
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    assert 0 == process.returncode


@pytest.fixture(scope="module")
async def state(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    folder = tmp_path_factory.mktemp("up") / "state"
    async with up(folder):
        yield folder


async def test_smoke_starts_all_by_itself_and_ends_with_one_json_object(tmp_path, repository):
    ran = await astra("smoke", "--repo", str(repository), state=tmp_path / "state")
    assert 0 == ran.code, ran.err
    result = json.loads(ran.out.splitlines()[-1])
    assert ("success", "github", "rehearsal", "[R0]") == tuple(
        result[name] for name in ("outcome", "source", "model", "label")
    )
    assert result["reply"].startswith("[R0] ")
    assert "repo_list_files" in result["tools_called"]
    assert "maria commented" in ran.err


async def test_the_commands_look_at_what_a_running_stack_did(state, repository):
    smoke = await astra("smoke", "--source", "manual", "--repo", str(repository), state=state)
    assert "using the stack that runs" in smoke.err
    run_id = json.loads(smoke.out.splitlines()[-1])["task_run_id"]

    listed = await astra("runs", "list", "--json", state=state)
    assert [run_id] == [run["task_run_id"] for run in json.loads(listed.out)]
    shown = await astra("runs", "show", run_id, state=state)
    assert "[R0] " in shown.out
    watched = await astra("runs", "watch", run_id, state=state)
    assert "started with rehearsal" in watched.out.splitlines()[0]
    asked = await astra("task", "which decisions are there?", "--repository", "acme/shop", state=state)
    assert (0, True) == (asked.code, asked.out.startswith("[R0] "))
    counted = await astra("sql", "SELECT count(*) FROM task_runs WHERE outcome = 'success'", state=state)
    assert "2" in counted.out
    doctor = await astra("doctor", "--json", state=state)
    assert {"ok", "off"} == {each["verdict"] for each in json.loads(doctor.out)}


async def test_the_tools_are_listed_shown_and_called_by_hand(state, repository):
    await astra("smoke", "--repo", str(repository), state=state)
    listed = await astra("tools", "list", state=state)
    assert "github_create_issue              write             Open an issue" in listed.out
    shown = await astra("tools", "show", "github_update_issue", state=state)
    assert "effect    idempotent write\ntrust     standing\napproval  none\ntimeout   90 s\n" in shown.out
    described = json.loads((await astra("repositories", "list", "--json", state=state)).out)
    containers = [name for each in described for name in each.get("source_containers", ())]
    container = min(name for name in containers if name.startswith("github:"))
    issue = json.dumps({"repository": container.removeprefix("github:"), "title": "Seen by hand"})
    calls = [
        await astra("tools", "call", "github_create_issue", issue, "--request-id", "mine", state=state)
        for _ in range(2)
    ]
    assert [0, 0] == [each.code for each in calls], calls[0].err
    assert calls[0].out == calls[1].out
    assert "Opened acme/" in calls[0].out
    failed = await astra("tools", "call", "repo_read_file", '{"path": "README.md"}', state=state)
    assert (1, True) == (failed.code, "RUN_REQUIRED" in failed.err)
    assert 1 == (await astra("tools", "show", "nothing", state=state)).code


async def test_a_second_up_says_what_already_runs(state):
    second = await astra("up", "--free-ports", state=state)
    assert 1 == second.code
    assert "already runs" in second.err
    assert "gateway http://127.0.0.1:" in second.err


async def test_sql_cannot_write(state):
    ran = await astra("sql", "DELETE FROM task_runs", state=state)
    assert 0 != ran.code
    assert "permission denied" in ran.err


async def test_without_a_stack_commands_say_how_to_start_one(tmp_path):
    ran = await astra("runs", "list", state=tmp_path / "none")
    assert (1, True) == (ran.code, "astra up" in ran.err)


async def test_an_unknown_repository_is_named_and_told_what_to_do(state):
    ran = await astra("task", "look", "--repository", "acme/nobody", state=state)
    assert 1 == ran.code
    assert "acme/nobody" in ran.err


async def test_wrong_usage_exits_with_2(tmp_path):
    assert 2 == (await astra("serve", "nothing", state=tmp_path)).code
    assert 2 == (await astra("runs", "list", "--limit", "0", state=tmp_path)).code
