"""Mirrors and pins with real git: sharing, force-pushes, kills, bounds, and secrets that stay secret."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest

from services.tools import mirror
from services.tools.errors import CommitNotFound, FieldInvalid, RepositoryTooLarge, RepositoryUnreachable
from services.tools.git import Credential, GitOutputError, GitTimeoutError, Remote, redact, run_git
from services.tools.git_objects import GitObjects
from services.tools.repo_reading import read_file
from services.tools.repo_snapshot import Snapshot
from services.tools.workspace import Workspaces

SECRET = "s3cr3t/+päss word"
GIGABYTE = 1024**3
WAIT_SECONDS_MAX = 20


@dataclass
class Origin:
    """An upstream repository with a work tree to commit in."""

    path: Path
    made: int = 0

    def git(self, *args: str) -> str:
        date = f"{1_700_000_000 + self.made} +0000"
        person = {"NAME": "Ada", "EMAIL": "ada@example.com", "DATE": date}
        identity = {f"GIT_{who}_{what}": person[what] for who in ("AUTHOR", "COMMITTER") for what in person}
        environment = os.environ | identity | {"GIT_CONFIG_GLOBAL": os.devnull}
        return subprocess.run(
            ["git", "-C", str(self.path), *args], check=True, capture_output=True, text=True, env=environment
        ).stdout.strip()

    def commit(self, text: str, *options: str) -> str:
        self.made += 1
        (self.path / "file.txt").write_text(text)
        self.git("add", ".")
        self.git("commit", "--quiet", "-m", text, *options)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    path = tmp_path / "origin"
    subprocess.run(["git", "init", "--quiet", "-b", "main", str(path)], check=True)
    made = Origin(path)
    made.commit("first")
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "workspaces"


@pytest.fixture
def workspaces(root: Path) -> Workspaces:
    return Workspaces(root, bytes_max=GIGABYTE, repository_bytes_max=GIGABYTE)


@pytest.fixture
def always_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "FRESH_SECONDS", 0)


@pytest.fixture
def git_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every argument git is given, one a line, calls ended by an empty line."""
    log, folder = tmp_path / "arguments", tmp_path / "bin"
    folder.mkdir()
    wrapper = folder / "git"
    wrapper.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" "" >> {log}\nexec {shutil.which("git")} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return log


def mirrors(root: Path) -> list[Path]:
    return sorted((root / "mirrors").iterdir())


def start_python(script: str) -> subprocess.Popen[str]:
    """Another process of the same code base."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


async def content(pin: mirror.Pin) -> str:
    async with aclosing(GitObjects()) as objects:
        return (await read_file(Snapshot(objects, pin.git_dir, pin.commit), "file.txt")).text


async def test_a_run_is_pinned_to_the_default_branch(workspaces: Workspaces, origin: Origin) -> None:
    pin = await workspaces.pin("t/shop", str(origin.path), "run-1")
    assert origin.git("rev-parse", "main") == pin.commit
    assert datetime.fromtimestamp(1_700_000_001, UTC) == pin.committed_time
    assert "1\tfirst" in await content(pin)


async def test_a_run_keeps_its_commit_while_the_branch_moves_on(
    workspaces: Workspaces, origin: Origin, always_stale: None
) -> None:
    first = await workspaces.pin("t/shop", str(origin.path), "run-1")
    newer = origin.commit("second")
    assert first == await workspaces.pin("t/shop", str(origin.path), "run-1")
    assert newer == (await workspaces.pin("t/shop", f"file://{origin.path}", "run-2")).commit


async def test_the_commit_on_record_wins_over_what_was_pinned_here(
    workspaces: Workspaces, origin: Origin, always_stale: None
) -> None:
    recorded = origin.git("rev-parse", "main")
    origin.commit("second")
    assert recorded != (await workspaces.pin("t/shop", str(origin.path), "run-1")).commit
    again = await workspaces.pin("t/shop", str(origin.path), "run-1", commit=recorded)
    assert recorded == again.commit
    assert again == await workspaces.pin("t/shop", str(origin.path), "run-1")


async def test_a_recorded_commit_is_fetched_onto_an_empty_machine(
    workspaces: Workspaces, origin: Origin
) -> None:
    recorded = origin.git("rev-parse", "main")
    origin.commit("second")
    assert "first" in await content(await workspaces.pin("t/shop", str(origin.path), "r", commit=recorded))


async def test_branches_tags_and_other_references_can_be_pinned(
    workspaces: Workspaces, origin: Origin
) -> None:
    first = origin.git("rev-parse", "main")
    origin.git("tag", "-a", "v1", "-m", "one")
    pull = origin.commit("pull")
    origin.git("update-ref", "refs/pull/7/head", pull)
    origin.git("reset", "--quiet", "--hard", first)
    topic = origin.commit("topic")
    origin.git("branch", "topic/one")
    expected = {"v1": first, "topic/one": topic, "refs/pull/7/head": pull, "refs/heads/topic/one": topic}
    for number, (ref, commit) in enumerate(expected.items()):
        assert commit == (await workspaces.pin("t/shop", str(origin.path), f"run-{number}", ref=ref)).commit
    only_there = await workspaces.pin("t/other", str(origin.path), "run-9", commit=pull)
    assert "pull" in await content(only_there)
    with pytest.raises(CommitNotFound, match="nowhere"):
        await workspaces.pin("t/shop", str(origin.path), "run-10", ref="nowhere")


async def test_a_branch_pushed_a_moment_after_a_refresh_is_found(
    workspaces: Workspaces, origin: Origin
) -> None:
    await workspaces.pin("t/shop", str(origin.path), "run-1")
    origin.git("branch", "late")
    late = await workspaces.pin("t/shop", str(origin.path), "run-2", ref="late")
    assert origin.git("rev-parse", "late") == late.commit


async def test_a_force_push_and_garbage_collection_leave_the_pinned_commit_readable(
    workspaces: Workspaces, origin: Origin, always_stale: None
) -> None:
    before = await workspaces.pin("t/shop", str(origin.path), "run-1")
    after = origin.commit("rewritten", "--amend")
    origin.git("reflog", "expire", "--expire=now", "--all")
    origin.git("gc", "--quiet", "--prune=now")
    assert after == (await workspaces.pin("t/shop", str(origin.path), "run-2")).commit
    await run_git(["gc", "--quiet", "--prune=now"], git_dir=before.git_dir)
    assert "first" in await content(
        await workspaces.pin("t/shop", str(origin.path), "run-1", commit=before.commit)
    )

    await workspaces.collect({"run-1"})
    await run_git(["gc", "--quiet", "--prune=now"], git_dir=before.git_dir)
    with pytest.raises(CommitNotFound, match="no longer"):
        await workspaces.pin("t/shop", str(origin.path), "run-3", commit=before.commit)


async def test_concurrent_runs_share_one_mirror_and_one_fetch(
    root: Path, origin: Origin, git_calls: Path
) -> None:
    processes = [Workspaces(root, bytes_max=GIGABYTE, repository_bytes_max=GIGABYTE) for _ in range(2)]
    pins = await asyncio.gather(
        *(processes[number % 2].pin("t/shop", str(origin.path), f"run-{number}") for number in range(8))
    )
    assert 1 == len({(pin.commit, pin.git_dir) for pin in pins})
    assert [pins[0].git_dir] == mirrors(root)
    assert 1 == git_calls.read_text().splitlines().count("fetch")
    assert {f"run-{number}" for number in range(8)} == await processes[0].pinned_runs()


async def test_repositories_of_different_keys_do_not_share(
    workspaces: Workspaces, root: Path, origin: Origin
) -> None:
    await workspaces.pin("a/shop", str(origin.path), "run-1")
    await workspaces.pin("a-shop", str(origin.path), "run-2")
    assert 2 == len(mirrors(root))


async def test_a_shallow_clone_or_a_detached_head_serves_as_upstream(
    workspaces: Workspaces, origin: Origin, tmp_path: Path
) -> None:
    origin.commit("second")
    origin.commit("third")
    shallow = Origin(tmp_path / "shallow")
    origin.git("clone", "--quiet", "--depth=1", f"file://{origin.path}", str(shallow.path))
    assert "third" in await content(await workspaces.pin("t/shallow", str(shallow.path), "run-1"))
    shallow.git("checkout", "--quiet", "--detach")
    detached = shallow.commit("detached")
    assert detached == (await workspaces.pin("t/detached", str(shallow.path), "run-1")).commit


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a repository to another user")
async def test_a_repository_of_another_user_can_be_read(workspaces: Workspaces, origin: Origin) -> None:
    for path in [origin.path, *origin.path.rglob("*")]:
        os.chown(path, 65534, 65534)
    assert "first" in await content(await workspaces.pin("t/shop", str(origin.path), "run-1"))


async def test_an_empty_or_absent_repository_says_what_to_do(
    workspaces: Workspaces, root: Path, tmp_path: Path
) -> None:
    await run_git(["init", "--quiet", str(tmp_path / "empty")])
    (tmp_path / "no-repository").mkdir()
    expected = {
        str(tmp_path / "empty"): "default branch has no commit",
        str(tmp_path / "no-repository"): "does not appear to be a git repository",
        "http://127.0.0.1:9/shop.git": "cannot be fetched",
    }
    for url, hint in expected.items():
        with pytest.raises(RepositoryUnreachable, match=hint) as failed:
            await workspaces.pin("t/shop", url, "run-1")
        assert "REPOSITORY_UNREACHABLE" == failed.value.reason
    assert [] == mirrors(root)
    assert [] == list((root / "unfinished").iterdir())


@pytest.mark.parametrize(
    "url", ["ext::sh -c x", "ssh://git@host/x", "git@host:x", "relative/path", "--upload-pack=x", "/nowhere",
            "https://user:pass@host/x", "http://host", "file://host/x"],
)  # fmt: skip
async def test_other_transports_options_and_credentials_in_urls_are_refused(
    workspaces: Workspaces, url: str
) -> None:
    with pytest.raises(FieldInvalid, match="clone URL"):
        await workspaces.pin("t/shop", url, "run-1")


async def test_a_mirror_is_nobodys_repository(
    workspaces: Workspaces, origin: Origin, root: Path, tmp_path: Path
) -> None:
    await workspaces.pin("t/shop", str(origin.path), "run-1")
    (kept,) = mirrors(root)
    (tmp_path / "link").symlink_to(kept)
    spelled = (kept, f"file://{kept}", f"file://{quote(str(kept)).replace('mirrors', 'mirror%73')}")
    for url in (*spelled, f"{root}/locks/../mirrors/{kept.name}", tmp_path / "link"):
        with pytest.raises(FieldInvalid, match="keeps the mirrors"):
            await workspaces.pin("other/shop", str(url), "run-2")


@pytest.mark.parametrize(
    "ref", ["--all", "a..b", "main^{tree}", "a b", "x.lock", "", "/x", "@{-1}", "x/", "a:b"]
)
async def test_a_reference_that_git_would_read_otherwise_is_refused(
    workspaces: Workspaces, origin: Origin, ref: str
) -> None:
    with pytest.raises(FieldInvalid):
        await workspaces.pin("t/shop", str(origin.path), "run-1", ref=ref)
    with pytest.raises(FieldInvalid):
        await workspaces.pin("t/shop", str(origin.path), ref)
    with pytest.raises(FieldInvalid):
        await workspaces.pin("t/shop", str(origin.path), "run-1", commit=ref)


async def test_a_repository_over_its_bound_is_not_kept(root: Path, origin: Origin) -> None:
    (origin.path / "large").write_bytes(os.urandom(300_000))
    origin.commit("large")
    small = Workspaces(root, bytes_max=GIGABYTE, repository_bytes_max=200_000)
    with pytest.raises(RepositoryTooLarge, match="200,000 bytes"):
        await small.pin("t/shop", str(origin.path), "run-1")
    assert [] == mirrors(root)
    assert [] == list((root / "unfinished").iterdir())


async def test_over_the_bound_the_least_recently_used_mirrors_without_runs_go(
    root: Path, origin: Origin
) -> None:
    workspaces = Workspaces(root, bytes_max=GIGABYTE, repository_bytes_max=GIGABYTE)
    pins = [await workspaces.pin(f"t/{name}", str(origin.path), f"run-{name}") for name in "abc"]
    for age, pin in enumerate(reversed(pins)):  # a was used last, c longest ago
        os.utime(pin.git_dir / mirror.USED, (1_700_000_000 + age, 1_700_000_000 + age))
    one = mirror.folder_bytes(pins[0].git_dir)
    bounded = Workspaces(root, bytes_max=2 * one + one // 2, repository_bytes_max=GIGABYTE)

    kept = await bounded.collect(set())
    assert (0, 0) == (kept.runs_released, kept.mirrors_removed)
    collected = await bounded.collect({"run-a", "run-c"})
    assert (2, 1) == (collected.runs_released, collected.mirrors_removed)
    assert collected.bytes_kept <= 2 * one + one // 2
    assert sorted([pins[0].git_dir, pins[1].git_dir]) == mirrors(root)
    assert {"run-b"} == await bounded.pinned_runs()
    assert "first" in await content(await bounded.pin("t/c", str(origin.path), "run-d"))


async def test_a_mirror_in_use_by_another_process_is_left_alone(root: Path, origin: Origin) -> None:
    workspaces = Workspaces(root, bytes_max=0, repository_bytes_max=GIGABYTE)
    pin = await workspaces.pin("t/shop", str(origin.path), "run-1")
    holder = start_python(f"""
        import fcntl, sys
        file = open({str(root / "locks" / pin.git_dir.name)!r}, "wb")
        fcntl.flock(file, fcntl.LOCK_EX)
        print("held", flush=True)
        sys.stdin.read()
    """)
    try:
        assert holder.stdout
        assert "held\n" == holder.stdout.readline()
        assert 0 == (await workspaces.collect({"run-1"})).runs_released
    finally:
        holder.kill()
        holder.communicate()
    collected = await workspaces.collect({"run-1"})
    assert (1, 1) == (collected.runs_released, collected.mirrors_removed)


async def test_lock_files_and_half_packs_of_a_killed_git_do_not_block(
    workspaces: Workspaces, origin: Origin, always_stale: None
) -> None:
    pin = await workspaces.pin("t/shop", str(origin.path), "run-1")
    leftovers = [
        "packed-refs.lock",
        "shallow.lock",
        "refs/upstream/HEAD.lock",
        "refs/upstream/heads/main.lock",
        "refs/astra/runs/run-2.lock",
        "objects/pack/tmp_pack_x",
    ]
    for name in leftovers:
        (pin.git_dir / name).write_bytes(b"")
    origin.git("branch", "gone")
    newer = origin.commit("second")
    assert newer == (await workspaces.pin("t/shop", str(origin.path), "run-2")).commit
    assert [] == [name for name in leftovers if (pin.git_dir / name).exists()]


@dataclass
class DumbServer:
    """Serves a bare repository as plain files over HTTP, behind Basic authentication."""

    url: str
    authorized: list[str] = field(default_factory=list[str])
    refused: int = 0
    hold_objects: threading.Event = field(default_factory=threading.Event)
    """While clear, requests for objects wait."""
    asked_for_objects: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def server(origin: Origin, tmp_path: Path) -> Iterator[DumbServer]:
    bare = tmp_path / "served" / "shop.git"
    origin.git("clone", "--quiet", "--bare", str(origin.path), str(bare))
    Origin(bare).git("update-server-info")
    token = base64.b64encode(f"astra:{SECRET}".encode()).decode()
    state = DumbServer("")
    state.hold_objects.set()

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Authorization") != f"Basic {token}":
                state.refused += 1
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="shop"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            state.authorized.append(self.path)
            if "/objects/" in self.path:
                state.asked_for_objects.set()
                state.hold_objects.wait(WAIT_SECONDS_MAX)
            try:
                super().do_GET()
            except ConnectionError:
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's word
            pass

    served = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path / "served")))
    state.url = f"http://127.0.0.1:{served.server_address[1]}/shop.git"
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    state.hold_objects.set()
    served.shutdown()
    thread.join()
    served.server_close()


async def test_a_credential_clones_and_is_found_nowhere_after(
    workspaces: Workspaces, root: Path, server: DumbServer, git_calls: Path
) -> None:
    credential = Credential("astra", SECRET)
    pin = await workspaces.pin("t/shop", server.url, "run-1", credential=credential)
    assert "first" in await content(pin)
    assert server.authorized
    assert SECRET not in repr(Remote(server.url, credential))

    forms = [SECRET.encode(), credential.basic.encode(), b"Authorization", b"extraHeader"]
    files = [path.read_bytes() for path in root.rglob("*") if path.is_file()]
    assert (pin.git_dir / "config").read_bytes() in files
    assert [] == [form for form in forms for file in files if form in file]
    arguments = git_calls.read_bytes()
    assert server.url.encode() in arguments
    assert [] == [form for form in forms if form in arguments]


async def test_a_wrong_credential_fails_without_being_repeated(
    workspaces: Workspaces, server: DumbServer
) -> None:
    wrong = Credential("astra", "wr0ng-secret")
    with pytest.raises(RepositoryUnreachable) as failed:
        await workspaces.pin("t/shop", server.url, "run-1", credential=wrong)
    assert server.refused
    assert "wr0ng-secret" not in str(failed.value)
    assert wrong.basic not in str(failed.value)
    assert failed.value.__cause__ is None
    assert "credential" in str(failed.value)


def test_secrets_are_taken_out_of_what_git_says() -> None:
    credential = Credential("astra", SECRET)
    remote = Remote("https://host/x", credential)
    quoted = quote(SECRET, safe="")
    said = f"fatal: https://astra:{quoted}@host gave {SECRET} and {quoted} and {credential.basic}"
    clean = redact(said, remote)
    assert "fatal: https://[redacted]@host gave [redacted] and [redacted] and [redacted]" == clean
    assert "://[redacted]@host" in redact("unable to access 'https://u:p@host/x'", None)


async def test_a_killed_clone_leaves_nothing_that_blocks_the_next(
    workspaces: Workspaces, root: Path, server: DumbServer
) -> None:
    server.hold_objects.clear()
    clone = start_python(f"""
        import asyncio, pathlib
        from services.tools.git import Credential
        from services.tools.workspace import Workspaces
        workspaces = Workspaces(pathlib.Path({str(root)!r}), bytes_max=10**9, repository_bytes_max=10**9)
        credential = Credential("astra", {SECRET!r})
        asyncio.run(workspaces.pin("t/shop", {server.url!r}, "run-1", credential=credential))
    """)
    try:
        assert await asyncio.to_thread(server.asked_for_objects.wait, WAIT_SECONDS_MAX)
    finally:
        clone.send_signal(signal.SIGKILL)
        clone.communicate()
    assert 1 == len(list((root / "unfinished").iterdir()))
    assert [] == mirrors(root)

    server.hold_objects.set()
    pin = await workspaces.pin("t/shop", server.url, "run-1", credential=Credential("astra", SECRET))
    assert "first" in await content(pin)
    assert [pin.git_dir] == mirrors(root)


async def test_git_is_ended_at_its_bounds(
    workspaces: Workspaces, origin: Origin, server: DumbServer, tmp_path: Path
) -> None:
    pin = await workspaces.pin("t/shop", str(origin.path), "run-1")
    with pytest.raises(GitOutputError):
        await run_git(
            ["cat-file", "--batch-all-objects", "--batch"], git_dir=pin.git_dir, stdout_bytes_max=10
        )
    server.hold_objects.clear()
    remote = Remote(server.url, Credential("astra", SECRET))
    empty = tmp_path / "empty.git"
    await run_git(["init", "--quiet", "--bare", str(empty)])
    with pytest.raises(GitTimeoutError, match=r"git fetch took longer than 0\.5 s"):
        await run_git(["fetch", server.url, "HEAD"], git_dir=empty, remote=remote, seconds_max=0.5)


async def test_the_users_own_configuration_takes_no_part(
    workspaces: Workspaces, origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = tmp_path / "home"
    hostile.mkdir()
    (hostile / ".gitconfig").write_text('[core]\n\tpager = false\n[url "/nowhere/"]\n\tinsteadOf = /\n')
    monkeypatch.setenv("HOME", str(hostile))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    assert "first" in await content(await workspaces.pin("t/shop", str(origin.path), "run-1"))
