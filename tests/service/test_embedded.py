"""The embedded servers, with real processes: they keep their data and never outlive whoever started them."""

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
import pytest
from temporalio.client import Client

from services.cli import embedded, kept
from services.cli.embedded import AlreadyRunning, EmbeddedError, EmbeddedPostgres, EmbeddedTemporal, PortInUse

GONE_SECONDS_MAX = 20.0
ROOT = Path(embedded.__file__).parents[2]
NOBODY = pwd.getpwnam("nobody")
CAP_DAC_OVERRIDE = 1 << 1

as_root_on_linux = pytest.mark.skipif(
    os.geteuid() != 0 or sys.platform != "linux", reason="only root can run something as another user"
)

# Starts both servers in the state folder given, prints their process ids, and waits to be killed.
PARENT = """
import asyncio, sys
from pathlib import Path
from services.cli.embedded import EmbeddedPostgres, EmbeddedTemporal

async def main(state: Path) -> None:
    postgres = EmbeddedPostgres(state / "postgres", None, state / "postgres.log", "secret")
    temporal = EmbeddedTemporal(state / "temporal", None, None, state / "temporal.log")
    await asyncio.gather(postgres.start(), temporal.start())
    print(postgres.pid, temporal.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main(Path(sys.argv[1])))
"""


@dataclass(frozen=True)
class Stack:
    """Fresh servers on one state folder, as each `astra up` would make them."""

    state: Path

    def postgres(self, port: int | None = None, password: str = "secret") -> EmbeddedPostgres:
        return EmbeddedPostgres(self.state / "postgres", port, self.state / "postgres.log", password)

    def temporal(self, port: int | None = None, ui_port: int | None = None) -> EmbeddedTemporal:
        return EmbeddedTemporal(self.state / "temporal", port, ui_port, self.state / "temporal.log")


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack(tmp_path)


async def test_second_start_finds_what_the_first_one_committed(stack: Stack) -> None:
    async with stack.postgres() as server:
        await ask(server, "CREATE TABLE notes AS SELECT 'kept' AS text")

    async with stack.postgres() as server:
        assert "kept" == await ask(server, "SELECT text FROM notes")


async def test_committed_rows_survive_a_killed_postmaster_and_its_stale_lock(stack: Stack) -> None:
    server = stack.postgres()
    await server.start()
    await ask(server, "CREATE TABLE notes AS SELECT 'kept' AS text")
    os.kill(server.pid, signal.SIGKILL)
    assert 128 + signal.SIGKILL == await server.exited()
    assert (server.data_dir / "postmaster.pid").exists()

    await server.start()
    assert "kept" == await ask(server, "SELECT text FROM notes")
    await server.stop()


async def test_lock_whose_process_id_now_belongs_to_a_stranger_does_not_block_the_start(stack: Stack) -> None:
    server = stack.postgres()
    await server.start()
    lock = server.data_dir / "postmaster.pid"
    _, *rest = lock.read_text().splitlines(keepends=True)
    os.kill(server.pid, signal.SIGKILL)
    await server.exited()
    with subprocess.Popen(["sleep", "60"], user=lock.stat().st_uid) as stranger:
        lock.write_text(f"{stranger.pid}\n" + "".join(rest))
        try:
            async with server:
                assert 1 == await ask(server, "SELECT 1")
        finally:
            stranger.kill()


async def test_postgres_is_durable_local_and_asks_for_the_password(stack: Stack) -> None:
    async with stack.postgres() as server:
        settings = ("fsync", "synchronous_commit", "listen_addresses", "unix_socket_directories")
        shown = [await ask(server, f"SELECT current_setting('{name}')") for name in settings]
        assert ["on", "on", "127.0.0.1", ""] == shown
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            await psycopg.AsyncConnection.connect(server.dsn("postgres", "guess", "postgres"))


async def test_postgres_brings_pgvector(stack: Stack) -> None:
    async with stack.postgres() as server:
        await ask(server, "CREATE EXTENSION vector")
        assert 5.0 == await ask(server, "SELECT '[1,2]'::vector <-> '[4,6]'::vector")


async def test_superuser_password_is_in_no_process_argument_and_no_file(stack: Stack) -> None:
    password = "not-to-be-seen-anywhere"
    server = stack.postgres(password=password)
    start = asyncio.create_task(server.start())
    seen = command_lines_below_us()
    while not start.done():
        await asyncio.sleep(0.01)
        seen |= command_lines_below_us()
    await start
    await server.stop()

    assert any("initdb" in line for line in seen)
    assert not [line for line in seen if password in line]
    files = [path for path in stack.state.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if password.encode() in path.read_bytes()]


async def test_wrong_superuser_password_is_told_at_once(stack: Stack) -> None:
    async with stack.postgres():
        pass
    with pytest.raises(EmbeddedError, match="password does not open"):
        await stack.postgres(password="another").start()
    async with stack.postgres():
        pass


async def test_second_postgres_on_the_same_directory_names_the_one_that_runs(stack: Stack) -> None:
    async with stack.postgres() as first:
        with pytest.raises(AlreadyRunning, match=str(first.pid)) as refusal:
            await stack.postgres(port=first.port).start()
        assert first.pid == refusal.value.pid


async def test_start_waits_for_a_postgres_that_is_shutting_down(stack: Stack) -> None:
    first, second = stack.postgres(), stack.postgres()
    await first.start()
    postmaster = psutil.Process(first.pid)
    checkpointer = next(child for child in postmaster.children() if "checkpointer" in child.cmdline()[0])
    checkpointer.suspend()  # holds the shutdown back
    stop = asyncio.create_task(first.stop())
    async with asyncio.timeout(GONE_SECONDS_MAX):
        while "stopping" not in (first.data_dir / "postmaster.pid").read_text():
            await asyncio.sleep(0.01)

    start = asyncio.create_task(second.start())
    await asyncio.sleep(0)  # its first look
    checkpointer.resume()
    await asyncio.gather(stop, start)
    assert 1 == await ask(second, "SELECT 1")
    await second.stop()


async def test_second_temporal_on_the_same_directory_names_the_one_that_runs(stack: Stack) -> None:
    async with stack.temporal() as first:
        with pytest.raises(AlreadyRunning) as refusal:
            await stack.temporal().start()
        assert first.pid == refusal.value.pid


@pytest.mark.parametrize("make", [Stack.postgres, Stack.temporal])
async def test_taken_port_is_named(
    stack: Stack, make: Callable[[Stack, int], EmbeddedPostgres | EmbeddedTemporal]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port: int = other.getsockname()[1]
        with pytest.raises(PortInUse, match=f"Port {port} .* choose another port"):
            await make(stack, port).start()


async def test_taken_port_of_the_web_page_is_named(stack: Stack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port: int = other.getsockname()[1]
        with pytest.raises(PortInUse, match=str(port)):
            await stack.temporal(ui_port=port).start()


async def test_free_port_lost_to_another_program_is_replaced(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, socket.create_server(("127.0.0.1", 0)) as spare:
        ports = [other.getsockname()[1], spare.getsockname()[1]]
        spare.close()
        monkeypatch.setattr(kept, "_free_port", iter(ports).__next__)
        async with stack.temporal() as server:
            assert ports[1] == server.port


async def test_directory_with_other_files_is_left_alone(stack: Stack) -> None:
    (stack.state / "postgres").mkdir()
    (stack.state / "postgres" / "letter").write_text("dear")
    with pytest.raises(EmbeddedError, match="holds files of something else"):
        await stack.postgres().start()
    assert ["letter"] == os.listdir(stack.state / "postgres")


async def test_half_made_directory_is_made_again(stack: Stack) -> None:
    half = stack.state / "postgres.new" / "data"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    async with stack.postgres() as server:
        assert 1 == await ask(server, "SELECT 1")
    assert not half.parent.exists()


async def test_temporal_keeps_workflows_it_acknowledged_though_it_is_killed(stack: Stack) -> None:
    server = stack.temporal()
    await server.start()
    client = await Client.connect(server.address)
    await client.start_workflow("Nothing", id="kept", task_queue="nobody")
    os.kill(server.pid, signal.SIGKILL)
    await server.exited()

    async with server:
        client = await Client.connect(server.address)
        assert "kept" == (await client.get_workflow_handle("kept").describe()).id


async def test_servers_listen_on_the_loopback_address_only(stack: Stack) -> None:
    async with stack.postgres() as postgres, stack.temporal() as temporal:
        sockets = [
            connection.laddr.ip
            for pid in (postgres.pid, temporal.pid)
            for connection in psutil.Process(pid).net_connections()
            if connection.status == psutil.CONN_LISTEN
        ]
    assert sockets
    assert {"127.0.0.1"} == set(sockets)


def test_servers_end_when_their_parent_is_killed_and_start_again_cleanly(stack: Stack) -> None:
    with parent_of_both(stack) as servers:
        pass
    assert_gone(servers)
    assert "database system is shut down" in (stack.state / "postgres.log").read_text()

    with parent_of_both(stack) as servers:
        pass
    assert_gone(servers)
    assert "not properly shut down" not in (stack.state / "postgres.log").read_text()


def test_servers_of_a_killed_parent_make_way_for_the_next_start(stack: Stack) -> None:
    with parent_of_both(stack) as old:
        pass
    with parent_of_both(stack) as new:
        assert_gone(old)
    assert_gone(new)


def test_interrupt_at_the_terminal_does_not_reach_the_servers(stack: Stack) -> None:
    with parent_of_both(stack) as servers:
        assert os.getsid(0) not in {os.getsid(server.pid) for server in servers}
    assert_gone(servers)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux only")
async def test_servers_end_when_their_keeper_is_killed(stack: Stack) -> None:
    postgres, temporal = stack.postgres(), stack.temporal()
    await asyncio.gather(postgres.start(), temporal.start())
    servers = [psutil.Process(postgres.pid), psutil.Process(temporal.pid)]
    for server in servers:
        os.kill(server.ppid(), signal.SIGKILL)
    await asyncio.to_thread(assert_gone, servers)
    await asyncio.gather(postgres.stop(), temporal.stop())


@as_root_on_linux
@pytest.mark.parametrize("mode", [0o755, 0o700], ids=["open", "closed"])
async def test_root_runs_postgres_as_nobody_and_leaves_folder_modes_alone(mode: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(mode)
        async with Stack(Path(folder)).postgres() as server:
            assert 1 == await ask(server, "SELECT 1")
            assert "nobody" == psutil.Process(server.pid).username()
            assert 0 == effective_capabilities(server.pid) & ~CAP_DAC_OVERRIDE
        assert mode == Path(folder).stat().st_mode & 0o777


@as_root_on_linux
def test_ordinary_user_runs_both_servers(stack: Stack) -> None:
    os.chown(stack.state, NOBODY.pw_uid, NOBODY.pw_gid)
    # `reach` because pytest's folders, and maybe this interpreter, are closed to other users.
    with parent_of_both(stack, [f"{NOBODY.pw_uid}:{NOBODY.pw_gid}", "reach"]) as servers:
        keepers = [psutil.Process(server.ppid()) for server in servers]
        assert ["nobody"] * 4 == [process.username() for process in (*servers, *keepers)]
    assert_gone(servers)


def test_keeper_exits_with_the_status_of_its_command() -> None:
    with keeper("SIGTERM", "5", "exit 7") as process:
        assert 7 == process.wait(GONE_SECONDS_MAX)


def test_keeper_sends_the_named_signal_when_its_caller_lets_go() -> None:
    with keeper("SIGUSR1", "5", "trap 'exit 9' USR1; echo up; while :; do sleep 0.05; done") as process:
        wait_for_line(process)
    assert 9 == process.returncode


def test_keeper_ends_its_command_when_it_is_asked_to_end_itself() -> None:
    with keeper("SIGUSR1", "5", "trap 'exit 9' USR1; echo up; while :; do sleep 0.05; done") as process:
        wait_for_line(process)
        process.terminate()
        assert 9 == process.wait(GONE_SECONDS_MAX)


def test_keeper_kills_a_command_that_ignores_every_request() -> None:
    with keeper("SIGTERM", "0.1", "trap '' TERM QUIT; echo up; while :; do sleep 0.05; done") as process:
        wait_for_line(process)
    assert 128 + signal.SIGKILL == process.returncode


def test_keeper_says_why_a_command_did_not_start() -> None:
    with keeper("SIGTERM", "5", program=["/no/such/program"]) as process:
        _, told = process.communicate(timeout=GONE_SECONDS_MAX)
    assert "/no/such/program did not start: [Errno 2] No such file or directory\n" == told
    assert 127 == process.returncode


async def ask(server: EmbeddedPostgres, statement: str) -> object:
    """Run one statement as superuser, commit, and return the first column of the first row."""
    address = server.dsn("postgres", server.superuser_password, "postgres")
    async with await psycopg.AsyncConnection.connect(address) as connection:
        cursor = await connection.execute(statement.encode())
        row = await cursor.fetchone() if cursor.description else None
        return row and row[0]


@contextmanager
def parent_of_both(stack: Stack, account: Sequence[str] = ()) -> Generator[list[psutil.Process]]:
    """Run a Python process that starts both servers, yield the servers, then SIGKILL it."""
    command = [sys.executable, "-c", PARENT, str(stack.state)]
    with keeper("SIGKILL", "1", program=command, account=account) as process:
        assert process.stdout is not None
        parent = int(process.stdout.readline())
        try:
            yield [psutil.Process(int(pid)) for pid in wait_for_line(process).split()]
        finally:
            os.kill(parent, signal.SIGKILL)
            process.wait(GONE_SECONDS_MAX)


def keeper(
    ending: str, seconds: str, script: str = "", *, program: Sequence[str] = (), account: Sequence[str] = ()
) -> subprocess.Popen[str]:
    """Start a keeper of a shell script or a program; leaving its context lets go of it."""
    command = program or ["/bin/sh", "-c", script]
    return subprocess.Popen(
        [
            sys.executable,
            "-I",
            "-S",
            ROOT / "services/cli/keeper.py",
            ending,
            seconds,
            *account,
            "--",
            *command,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def wait_for_line(process: subprocess.Popen[str]) -> str:
    """Return the first line a kept command wrote: it is up. Its keeper gives it stderr for all output."""
    assert process.stderr is not None
    return process.stderr.readline()


def assert_gone(processes: Sequence[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=GONE_SECONDS_MAX)
    for process in alive:
        process.kill()
    assert [] == alive


def command_lines_below_us() -> set[str]:
    lines: set[str] = set()
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            lines.add(" ".join(process.cmdline()))
    return lines


def effective_capabilities(pid: int) -> int:
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["CapEff"], 16)


@as_root_on_linux
async def test_root_runs_postgresql_from_a_checkout_that_is_closed_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    binaries = embedded.postgres_binary("postgres").parent
    package = binaries.parents[1]
    for folder in (package, package.with_name(f"{package.name}.libs")):
        if folder.exists():
            shutil.copytree(folder, closed / folder.name)
    moved = closed / package.name / binaries.relative_to(package)
    monkeypatch.setattr(embedded, "postgres_binary", lambda name: moved / name)
    async with EmbeddedPostgres(closed / "data", None, closed / "log") as server:
        url = server.dsn(embedded.SUPERUSER, server.superuser_password, "postgres")
        async with await psycopg.AsyncConnection.connect(url) as connection:
            assert (1,) == await (await connection.execute("SELECT 1")).fetchone()


async def test_a_server_whose_own_other_port_was_taken_is_started_again():
    tried: list[int] = []
    words = "failed listening for HTTP API on 127.0.0.1:40791: bind: address already in use"

    async def launch(port: int):
        tried.append(port)
        if len(tried) == 1:
            raise EmbeddedError(f"Temporal ended at once:\n{words}")
        return "server"

    port, server = await kept.start_on_port("Temporal", 0, launch)
    assert (tried[1], "server", 2) == (port, server, len(tried))
