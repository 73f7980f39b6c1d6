"""Objects read by lasting git processes: what git says, whatever happens to those or to the mirror."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from services.tools import git_objects
from services.tools.git import GitError, GitTimeoutError
from services.tools.git_objects import GitObjects

ENOUGH = 1 << 20
LARGE = b"large\n" * 200_000
WAIT_SECONDS_MAX = 20

FILES = [
    (b"100644", b"plain.txt", b"plain\n"),
    (b"100755", b"run.sh", b"#!/bin/sh\n"),
    (b"120000", b"link", b"plain.txt"),
    (b"100644", b"large.txt", LARGE),
    (b"100644", b'"odd/new\\nline \\303\\251.txt"', b"odd\n"),
    (b"100644", b"odd/deep/er/empty", b""),
    *((b"100644", b"many/%d" % number, b"content of %d\n" % number) for number in range(40)),
]


@dataclass(frozen=True)
class Upstream:
    """A bare repository that git is asked about by hand."""

    git_dir: Path

    def ask(self, *args: str, given: bytes = b"") -> bytes:
        command = ["git", f"--git-dir={self.git_dir}", *args]
        return subprocess.run(command, input=given, check=True, capture_output=True).stdout

    def id_of(self, name: str) -> str:
        return self.ask("rev-parse", name).decode().strip()

    def commit(self, files: list[tuple[bytes, bytes, bytes]], branch: str = "main") -> None:
        stream = b"commit refs/heads/%s\ncommitter A <a@example.com> 0 +0000\ndata 1\nx\n" % branch.encode()
        for mode, path, content in files:
            stream += b"M %s inline %s\ndata %d\n%s\n" % (mode, path, len(content), content)
        self.ask("fast-import", "--quiet", given=stream + b"M 160000 %s vendored\n" % (b"1" * 40))


def made(git_dir: Path) -> Upstream:
    subprocess.run(["git", "init", "--quiet", "--bare", str(git_dir)], check=True)
    return Upstream(git_dir)


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Upstream:
    upstream = made(tmp_path_factory.mktemp("upstream") / "shop.git")
    upstream.commit(FILES)
    return upstream


@pytest.fixture
def changing(upstream: Upstream, tmp_path: Path) -> Upstream:
    """One for the test alone."""
    return Upstream(Path(shutil.copytree(upstream.git_dir, tmp_path / "changing.git")))


@pytest.fixture
async def objects() -> AsyncGenerator[GitObjects]:
    async with aclosing(GitObjects()) as opened:
        yield opened
    assert not running()


def running(git_dir: Path | None = None) -> list[psutil.Process]:
    """The git processes of this one that read a repository; without one, any."""
    return [
        child
        for child in psutil.Process().children()
        if child.status() != psutil.STATUS_ZOMBIE
        and "cat-file" in (words := child.cmdline())
        and (git_dir is None or f"--git-dir={git_dir}" in words)
    ]


async def text(objects: GitObjects, upstream: Upstream, name: str = "main:plain.txt") -> bytes:
    return (await objects.read(upstream.git_dir, upstream.id_of(name), ENOUGH)).content


async def test_every_folder_holds_what_git_says(objects: GitObjects, upstream: Upstream) -> None:
    listed = upstream.ask("ls-tree", "-z", "-r", "-t", "main").split(b"\0")[:-1]
    expected = {
        path: (mode, found.decode())
        for meta, path in (line.split(b"\t", 1) for line in listed)
        for mode, _, found in [meta.split()]
    }

    async def walked(tree: str, above: bytes) -> dict[bytes, tuple[bytes, str]]:
        entries: dict[bytes, tuple[bytes, str]] = {}
        for name, item in (await objects.tree(upstream.git_dir, tree)).items():
            entries[above + name] = (item.mode, item.object_id)
            if item.mode == b"040000":
                entries |= await walked(item.object_id, above + name + b"/")
        return entries

    assert expected == await walked(f"{upstream.id_of('main')}^{{tree}}", b"")


async def test_reads_at_once_share_one_process_and_each_gets_its_own(
    objects: GitObjects, upstream: Upstream
) -> None:
    ids = upstream.ask("rev-parse", *(f"main:many/{number}" for number in range(40))).decode().split()
    read = await asyncio.gather(*(objects.read(upstream.git_dir, each, ENOUGH) for each in ids))
    assert [b"content of %d\n" % number for number in range(40)] == [each.content for each in read]
    assert 1 == len(running(upstream.git_dir))


async def test_a_killed_process_is_replaced(objects: GitObjects, upstream: Upstream) -> None:
    assert b"plain\n" == await text(objects, upstream)
    (first,) = running(upstream.git_dir)
    first.kill()
    assert b"plain\n" == await text(objects, upstream)
    (second,) = running(upstream.git_dir)
    assert first.pid != second.pid


async def test_a_process_that_hangs_is_given_up_and_replaced(
    objects: GitObjects, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    await text(objects, upstream)
    running(upstream.git_dir)[0].suspend()
    with monkeypatch.context() as patched:
        patched.setattr(git_objects, "READ_SECONDS_MAX", 0.1)
        with pytest.raises(GitTimeoutError):
            await text(objects, upstream)
    assert b"plain\n" == await text(objects, upstream)


async def test_a_read_given_up_at_any_moment_does_not_spoil_the_next(
    objects: GitObjects, upstream: Upstream
) -> None:
    large, plain = upstream.id_of("main:large.txt"), upstream.id_of("main:plain.txt")
    for turns in range(10):
        reading = asyncio.create_task(objects.read(upstream.git_dir, large, len(LARGE)))
        for _ in range(turns):
            await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])
        assert b"plain\n" == (await objects.read(upstream.git_dir, plain, ENOUGH)).content


async def test_a_large_object_comes_without_content_or_cut(objects: GitObjects, upstream: Upstream) -> None:
    large = upstream.id_of("main:large.txt")
    bare = await objects.read(upstream.git_dir, large, 10)
    assert (len(LARGE), b"") == (bare.size_bytes, bare.content)
    cut = await objects.read(upstream.git_dir, large, 10, cut=True)
    assert (len(LARGE), LARGE[:10]) == (cut.size_bytes, cut.content)
    assert b"plain\n" == await text(objects, upstream)
    assert LARGE == (await objects.read(upstream.git_dir, large, len(LARGE))).content


async def test_what_came_or_was_packed_later_is_read(objects: GitObjects, changing: Upstream) -> None:
    assert b"plain\n" == await text(objects, changing)
    changing.commit([(b"100644", b"new.txt", b"new\n")], branch="newer")
    changing.ask("repack", "-a", "-d", "--quiet")
    assert b"new\n" == await text(objects, changing, "newer:new.txt")
    assert b"content of 7\n" == await text(objects, changing, "main:many/7")


async def test_a_removed_mirror_is_missed_and_one_made_anew_is_read(
    objects: GitObjects, changing: Upstream
) -> None:
    plain = changing.id_of("main:plain.txt")
    changing.ask("repack", "-a", "-d", "--quiet")  # into a file that git then holds open
    await objects.read(changing.git_dir, plain, ENOUGH)
    shutil.rmtree(changing.git_dir)
    with pytest.raises(GitError, match="not a git repository"):
        await objects.read(changing.git_dir, plain, ENOUGH)
    made(changing.git_dir).commit([(b"100644", b"other.txt", b"other\n")])
    assert b"other\n" == await text(objects, changing, "main:other.txt")
    with pytest.raises(GitError, match="missing"):
        await objects.read(changing.git_dir, plain, ENOUGH)


@pytest.mark.parametrize("name", ["HEAD", "main:plain.txt", "", "a" * 39, "a" * 40 + "\n", "a" * 40 + "\nb"])
async def test_nothing_but_an_id_is_asked_for(objects: GitObjects, upstream: Upstream, name: str) -> None:
    with pytest.raises(ValueError, match="full id"):
        await objects.read(upstream.git_dir, name, ENOUGH)


async def test_processes_of_many_mirrors_make_room_for_each_other(
    objects: GitObjects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_objects, "PROCESSES_MAX", 2)
    mirrors = [made(tmp_path / f"{number}.git") for number in range(3)]
    for mirror in mirrors:
        mirror.commit(FILES[:1])
    for mirror in [mirrors[0], mirrors[1], mirrors[0], mirrors[2]]:
        assert b"plain\n" == await text(objects, mirror)
    assert [1, 0, 1] == [len(running(mirror.git_dir)) for mirror in mirrors]


async def test_an_idle_process_is_ended(upstream: Upstream) -> None:
    async with aclosing(GitObjects(idle_seconds=0.01)) as objects:
        assert b"plain\n" == await text(objects, upstream)
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while running(upstream.git_dir):
                await asyncio.sleep(0.01)
        assert b"plain\n" == await text(objects, upstream)


async def test_a_full_memory_of_folders_changes_nothing(
    objects: GitObjects, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_objects, "TREE_ENTRIES_MAX", 3)
    root = f"{upstream.id_of('main')}^{{tree}}"
    first, second = [await objects.tree(upstream.git_dir, root) for _ in range(2)]
    assert first == second
    assert 40 == len(await objects.tree(upstream.git_dir, upstream.id_of("main:many")))


def test_no_process_is_left_when_the_service_is_killed(upstream: Upstream) -> None:
    script = f"""
        import asyncio, pathlib
        from services.tools.git_objects import GitObjects
        async def main():
            git_dir = pathlib.Path({str(upstream.git_dir)!r})
            print((await GitObjects().read(git_dir, {upstream.id_of("main")!r}, 1000)).kind, flush=True)
            await asyncio.Event().wait()
        asyncio.run(main())
    """
    service = psutil.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
    )
    with service:
        assert b"commit\n" == service.stdout.readline()
        (reader,) = service.children()
        service.kill()
    ends = time.monotonic() + WAIT_SECONDS_MAX
    while reader.is_running() and reader.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < ends, "git outlived the service"
        time.sleep(0.01)
