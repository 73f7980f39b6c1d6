"""The `astra` command as a person uses it: what it prints, where, and how it exits."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
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


async def astra(*arguments: str, state: Path, stdin: str = "") -> Ran:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli.main", *arguments),
        env={**os.environ, "ASTRA_STATE": str(state)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(stdin.encode()), PATIENCE_SECONDS)
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
    repo = ("tools", "call", "repo_read_file", '{"path": "README.md"}', "--repository")
    read = await astra(*repo, described[0]["slug"], state=state)
    assert (0, True) == (read.code, read.out.startswith("README.md, lines 1 to "))
    failed = await astra(*repo, "nobody/has-it", state=state)
    assert (1, True) == (failed.code, "REPOSITORY_NOT_FOUND" in failed.err)
    assert 1 == (await astra("tools", "show", "nothing", state=state)).code


async def test_models_are_listed_set_resolved_and_asked(state):
    listed = await astra("models", "list", state=state)
    assert "rehearsal  [R0]" in listed.out
    assert "sonnet is off: AWS_REGION is not set" in listed.err
    unknown = await astra("models", "set", "gpt-9", state=state)
    assert (1, "") == (unknown.code, unknown.out)
    given = await astra("models", "set", "rehearsal", "--agent", "atlas", state=state)
    assert "atlas  every operation  rehearsal\n" == given.out
    resolved = await astra("models", "resolve", "answer", "--agent", "atlas", state=state)
    assert ("", "rehearsal  [R0]\n") == (resolved.err, resolved.out)
    answer = await astra("models", "chat", "rehearsal", "Who are you?", state=state)
    assert "I am the rehearsal model." in answer.out
    assert "[R0]" in answer.err


async def test_a_token_is_put_listed_rotated_audited_and_removed_and_never_shown(state):
    put = await astra(
        "vault", "put", "brave", "--agent", "atlas", "--use", "read", state=state, stdin="BSA-seen?"
    )
    listed = await astra("vault", "list", "--json", state=state)
    (token,) = json.loads(listed.out)
    assert ("INTEGRATION_BRAVE", "atlas", ["TOKEN_USE_READ"], "local") == tuple(
        token[name] for name in ("integration", "agent_slug", "uses", "key_id")
    )
    rotated = await astra("vault", "rotate", state=state)
    assert (0, "key local: 0 sealed anew, 0 left\n") == (rotated.code, rotated.out)
    removed = await astra("vault", "remove", "brave", "--agent", "atlas", state=state)
    audited = await astra("vault", "audit", "--integration", "brave", state=state)
    heading, last, first = audited.out.splitlines()
    assert ["deleted", "put"] == [line.split()[1] for line in (last, first)]
    odd = await astra("vault", "put", "brave", "--field", "nothing=BSA-seen?", state=state, stdin="x")
    assert (2, True) == (odd.code, "brave has no nothing" in odd.err.replace("\n", " "))
    ran = [put, listed, rotated, removed, audited]
    assert [0] * 5 == [each.code for each in ran], [each.err for each in ran]
    assert "when" in heading
    assert not any("BSA-seen?" in each.out + each.err for each in (*ran, odd))


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


async def test_a_principals_token_is_shown_once(state):
    made = await astra("principals", "add", "reader", "--scope", "runs_read", state=state)
    assert 0 == made.code, made.err
    assert made.out.startswith("astra_reader_")
    listed = await astra("principals", "list", state=state)
    assert "reader yes runs_read" in " ".join(listed.out.split())
    assert made.out.strip() not in listed.out
    assert 1 == (await astra("principals", "revoke", "nobody", state=state)).code


async def test_the_guide_to_another_agent_is_typed_and_makes_one(state, tmp_path):
    guide = (Path(__file__).parents[2] / "docs" / "adding-an-agent.md").read_text()
    (block,) = re.findall(r"^```bash\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    for file in ("scribe.md", "adr.md"):
        (tmp_path / file).write_text(f"The text of {file}.")
    outputs: list[str] = []
    for line in block.splitlines():
        _, *typed = shlex.split(line)
        ran = await astra(
            *[str(tmp_path / each) if each.endswith(".md") else each for each in typed], state=state
        )
        assert 0 == ran.code, ran.err
        outputs.append(ran.out)
    *_, shown, listed = outputs
    assert "# who-scribe-is (all operations)\nThe text of scribe.md." in shown
    assert "# writes-adrs (spec_generate)\nThe text of adr.md." in shown
    assert ["atlas", "scribe"] == [each.split()[0] for each in listed.splitlines()[1:]]
    assert listed.splitlines()[2].endswith("github:scribe slack:u02scribe")

    again = await astra("agents", "add", "scribe", "-", state=state, stdin="You are another.")
    assert (1, True) == (again.code, "astra agents set scribe" in again.err)
