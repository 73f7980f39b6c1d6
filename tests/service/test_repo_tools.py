"""The repo tools against git itself, on a generated repository of more than 1,000 files."""

from __future__ import annotations

import re
import subprocess
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

import pytest

from services.tools.errors import (
    CommitNotFound,
    ContinuationInvalid,
    DocumentNotFound,
    FieldInvalid,
    PathIsSymlink,
    PathKindMismatch,
    PathNotFound,
    PathOutsideRepository,
    PatternInvalid,
    ToolFailure,
)
from services.tools.git_objects import GitObjects
from services.tools.repo_documents import list_adrs, list_specs, read_adr, read_spec
from services.tools.repo_history import git_log, git_show
from services.tools.repo_outline import outline_file
from services.tools.repo_pages import ENTRIES_MAX, TEXT_BYTES_MAX
from services.tools.repo_paths import parse_path, show_path
from services.tools.repo_reading import LINES_MAX, find_files, list_files, read_file
from services.tools.repo_search import HITS_COUNTED_MAX, search_text
from services.tools.repo_snapshot import Snapshot

COMMITS = 250
FILES = 1200
PAGES_MAX = 200

SPECIAL: dict[bytes, bytes] = {
    b"README.md": b"# Shop\n\nintro\n\n## Run\n```sh\n# no heading\n```\n### Tests ###\nOld style\n===\n",
    b"app.py": b"import os\n\n\nclass App:\n    def run(\n        self,\n    ) -> None:\n        if os:\n"
    b"            def inner(): pass\n\n    @property\n    def name(self): return 1\n\n\n"
    b"async def main(): ...\n",
    b"web/app.ts": b"export class Shop {\n  x = 1\n}\nexport const pay = async (sum: number) => {\n}\n",
    b"broken.py": b"def whole():\n    pass\n\ndef broken(:\n",
    b"windows.txt": b"first\r\nneedle here\r\n",
    b"latin.txt": b"caf\xe9 needle\n",
    b"binary.bin": b"needle\0needle\n",
    b"empty.txt": b"",
    b"long.txt": b"x" * 30_000 + b"needle" + b"y" * 30_000 + b"\nshort\n",
    b"huge-line.txt": b"z" * 200_000 + b"needle\n",
    b"numbers.txt": b"".join(b"line %d\n" % number for number in range(1, 1501)),
    b"odd/caf\xe9.txt": b"needle in latin\n",
    b'odd/new\nline "q".txt': b"needle in odd\nneedle again\n",
    b"odd/colon:1:x.txt": b"needle in colon\n",
    b"docs/specs/checkout.md": b"# Checkout flow\n\nStatus: **accepted**\n",
    b"docs/specs/deep/refunds.md": b"---\ntitle: x\n---\n# Refunds\n\n## Status\n\nDraft\n",
    b"docs/specs/picture.png": b"\x89PNG\0",
    b".context/decisions/0002-use-grpc.md": b"# 2. Use gRPC\n\n- Status: accepted\n",
    b".context/decisions/README.md": b"# Decisions\n",
    b"docs/adr/ADR-001-postgres.md": b"# PostgreSQL\n",
    b"docs/adr/0002-other-two.md": b"# Another two\n",
    b"docs/adr/template.md": b"# Title\n",
}
LINKS: dict[bytes, bytes] = {
    b"link.txt": b"README.md",
    b"outside": b"/etc/passwd",
    b"linked-folder": b"docs",
    b"docs/specs/linked.md": b"/etc/passwd",
}

T = TypeVar("T")


class Paged(Protocol):
    @property
    def text(self) -> str: ...
    @property
    def continuation(self) -> str: ...


PagedT = TypeVar("PagedT", bound=Paged)


@dataclass(frozen=True)
class Upstream:
    """The generated repository and git's own answers from it."""

    git_dir: Path

    def ask_bytes(self, *args: str) -> bytes:
        return subprocess.run(
            ["git", f"--git-dir={self.git_dir}", *args], check=True, capture_output=True
        ).stdout

    def ask(self, *args: str) -> str:
        return self.ask_bytes(*args).decode()


@pytest.fixture(scope="session")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Upstream:
    git_dir = tmp_path_factory.mktemp("upstream") / "shop.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(git_dir)], check=True)
    subprocess.run(
        ["git", f"--git-dir={git_dir}", "fast-import", "--quiet"],
        input=_history(),
        check=True,
        capture_output=True,
    )
    built = Upstream(git_dir)
    built.ask("read-tree", "main")  # an index, for git ls-files
    return built


@pytest.fixture(scope="module")
async def objects() -> AsyncGenerator[GitObjects]:
    async with aclosing(GitObjects()) as opened:
        yield opened


@pytest.fixture
def snapshot(objects: GitObjects, upstream: Upstream) -> Snapshot:
    return Snapshot(objects, upstream.git_dir, upstream.ask("rev-parse", "main").strip())


def _history() -> bytes:
    """A stream for git fast-import: the files over the commits, a merge and an unmerged branch."""
    stream = bytearray()

    def commit(branch: str, number: int, changes: list[tuple[bytes, bytes, bytes]], extra: str = "") -> None:
        author = "Ada Löve <ada@example.com>" if number % 3 else "Bob O'Neil <bob@example.com>"
        message = f"Change {number}: näme\n\nBody of {number}.\n".encode()
        stream.extend(f"commit refs/heads/{branch}\nmark :{number}\n".encode())
        stream.extend(f"author {author} {1_700_000_000 + number * 3600} +0100\n".encode())
        stream.extend(f"committer CI <ci@example.com> {1_700_000_000 + number * 3600} +0000\n".encode())
        stream.extend(b"data %d\n%s\n%s" % (len(message), message, extra.encode()))
        for mode, path, content in changes:
            quoted = b'"' + b"".join(_escape(byte) for byte in path) + b'"'
            stream.extend(b"M %s inline %s\ndata %d\n%s\n" % (mode, quoted, len(content), content))

    bulk = [
        (b"100644", b"src/m%02d/f%04d.%s" % (n % 40, n, b"py" if n % 2 else b"md"), _source(n))
        for n in range(FILES)
    ]
    per_commit = FILES // (COMMITS - 2) + 1
    for number in range(1, COMMITS - 1):
        commit("main", number, bulk[(number - 1) * per_commit : number * per_commit])
    commit("side", 9000, [(b"100644", b"side.txt", b"needle aside\n")], "from :100\n")
    commit("unmerged", 9001, [(b"100644", b"secret.txt", b"other branch\n")], "from :100\n")
    special = [(b"100644", path, content) for path, content in SPECIAL.items()]
    special += [(b"120000", path, target) for path, target in LINKS.items()]
    commit("main", COMMITS - 1, special)
    stream.extend(b"M 160000 %s vendored\n" % (b"1" * 40))
    commit("main", COMMITS, [(b"100644", b"side.txt", b"needle aside\n")], "merge :9000\n")
    return bytes(stream)


def _escape(byte: int) -> bytes:
    return bytes([byte]) if 0x20 <= byte < 0x7F and byte not in b'"\\' else b"\\%03o" % byte


def _source(number: int) -> bytes:
    body = "".join(f"value_{number}_{line} = {line}\n" for line in range(number % 30))
    return f"# Item {number}\ndef handle_{number}(x):\n    needle = x\n{body}".encode()


async def pages(call: Callable[[str], Awaitable[PagedT]]) -> list[PagedT]:
    """All pages of a call, followed by their tokens; each within the bound and telling of the next."""
    found = [await call("")]
    while found[-1].continuation:
        assert found[-1].continuation in found[-1].text
        found.append(await call(found[-1].continuation))
        assert len(found) <= PAGES_MAX
    assert all(len(page.text.encode()) <= TEXT_BYTES_MAX for page in found)
    assert "[Cut:" not in found[-1].text
    return found


async def test_listing_all_files_page_by_page_is_what_ls_files_says(
    snapshot: Snapshot, upstream: Upstream
) -> None:
    listed = await pages(lambda token: list_files(snapshot, recursive=True, continuation=token))
    expected = upstream.ask_bytes("ls-files", "-z").split(b"\0")[:-1]
    assert len(expected) > FILES
    assert expected == [entry.path for page in listed for entry in page.entries]
    assert len(listed) > 5
    assert all(len(page.entries) <= ENTRIES_MAX for page in listed)


async def test_listing_a_folder_shows_kinds_and_sizes(snapshot: Snapshot) -> None:
    listed = await list_files(snapshot)
    kinds = {entry.shown: (entry.kind, entry.size_bytes) for entry in listed.entries}
    assert ("folder", 0) == kinds["src"]
    assert ("symlink", 0) == kinds["outside"]
    assert ("submodule", 0) == kinds["vendored"]
    assert ("file", len(SPECIAL[b"numbers.txt"])) == kinds["numbers.txt"]
    assert "src/\n" in listed.text
    assert [b"docs/adr/0002-other-two.md", b"docs/adr/ADR-001-postgres.md", b"docs/adr/template.md"] == [
        entry.path for entry in (await list_files(snapshot, "docs/adr/")).entries
    ]


@pytest.mark.parametrize(
    "glob",
    [
        "**/*.py",
        "*.md",
        "src/m0?/**",
        "src/**/f00[0-3]*.md",
        "**/m1*/*7*",
        "docs/**/*.md",
        "**/[!a-z]*",
        "**",
    ],
)
async def test_globs_find_what_git_finds(snapshot: Snapshot, upstream: Upstream, glob: str) -> None:
    found = await pages(lambda token: find_files(snapshot, glob, continuation=token))
    expected = upstream.ask_bytes("ls-files", "-z", "--", f":(glob){glob}").split(b"\0")[:-1]
    assert expected
    assert [show_path(path) for path in expected] == [path for page in found for path in page.paths]


async def test_a_glob_without_folders_that_finds_nothing_tells_how_to_look_deeper(snapshot: Snapshot) -> None:
    found = await find_files(snapshot, "f0001.py")
    assert () == found.paths
    assert "**/f0001.py" in found.text


@pytest.mark.parametrize(
    ("pattern", "options"),
    [
        ("needle", {}),
        ("def handle_1[0-9]+\\(", {}),
        ("NEEDLE|item 7$", {"ignore_case": True}),
        ("handle_7(x):", {"fixed": True}),
        ("needle", {"glob": "src/m0*/*.py"}),
        ("^$", {}),
        ("value_.*_2[0-9] = ", {"glob": "**/*.{py,md}"}),
    ],
)
async def test_search_finds_exactly_what_git_grep_finds(
    snapshot: Snapshot, upstream: Upstream, pattern: str, options: dict[str, str | bool]
) -> None:
    args = ["-F" if options.get("fixed") else "-E", *(["-i"] if options.get("ignore_case") else [])]
    globs = {"src/m0*/*.py": [":(glob)src/m0*/*.py"], "**/*.{py,md}": [":(glob)**/*.py", ":(glob)**/*.md"]}
    paths = globs.get(str(options.get("glob")), [])
    answer = upstream.ask_bytes("grep", "-n", "-z", "-I", *args, "-e", pattern, snapshot.commit, "--", *paths)
    expected = re.findall(rb"[0-9a-f]{40}:([^\0]+)\0(\d+)\0(.*)\n", answer)
    found = await pages(
        lambda token: search_text(
            snapshot, pattern, fixed=bool(options.get("fixed")), ignore_case=bool(options.get("ignore_case")),
            glob=str(options.get("glob", "")), continuation=token,
        )
    )  # fmt: skip
    hits = [hit for page in found for hit in page.hits]
    assert expected
    assert [(show_path(path), int(line)) for path, line, _ in expected] == [
        (hit.path, hit.line) for hit in hits
    ]
    texts = [text.decode(errors="replace").rstrip("\r") for _, _, text in expected]
    short = [(text, hit.text) for text, hit in zip(texts, hits, strict=True) if len(text) < 500]
    assert [text for text, _ in short] == [shown for _, shown in short]


async def test_search_with_context_shows_the_lines_around_as_git_grep_does(
    snapshot: Snapshot, upstream: Upstream
) -> None:
    glob = "src/m03/*.py"
    answer = upstream.ask("grep", "-n", "-C2", "-e", "needle", snapshot.commit, "--", f":(glob){glob}")
    lines = [line.removeprefix(f"{snapshot.commit}:") for line in answer.splitlines()]
    expected = [re.sub(r"([:-])(\d+)[:-]", r"\1\2\1 ", line, count=1) for line in lines]
    found = await pages(
        lambda token: search_text(snapshot, "needle", glob=glob, context_lines=2, continuation=token)
    )
    shown = [line for page in found for line in page.text.splitlines()[1:] if not line.startswith("[Cut:")]
    assert "--" in shown
    assert expected == shown


async def test_search_shows_the_match_of_a_long_line_and_says_what_was_cut(snapshot: Snapshot) -> None:
    found = await search_text(snapshot, "needle", glob="long.txt")
    assert "xneedley" in found.hits[0].text
    assert "cut here" in found.hits[0].text
    assert len(found.hits[0].text) < 1200
    beyond = await search_text(snapshot, "needle", glob="huge-line.txt")
    assert [1] == [hit.line for hit in beyond.hits]


async def test_search_counts_all_hits_up_to_a_bound(snapshot: Snapshot) -> None:
    first = await search_text(snapshot, ".")
    assert f"More than {HITS_COUNTED_MAX:,} hits" in first.text
    assert first.continuation


@pytest.mark.parametrize("pattern", ["(", "a{2,1}", "[[:nope:]]", "*", "x\\d"])
async def test_a_broken_pattern_is_refused_with_advice(snapshot: Snapshot, pattern: str) -> None:
    with pytest.raises(PatternInvalid, match="fixed"):
        await search_text(snapshot, pattern)


async def test_a_pattern_that_looks_like_an_option_is_a_pattern(snapshot: Snapshot) -> None:
    assert () == (await search_text(snapshot, "--open-files-in-pager=touch x")).hits


@pytest.mark.parametrize(
    ("author", "since", "path"),
    [("", "", ""), ("o'neil", "", ""), ("ADA@", "", "src/m05"), ("", "2023-11-20", ""), ("", "", "app.py")],
)
async def test_the_log_page_by_page_is_what_git_log_says(
    snapshot: Snapshot, upstream: Upstream, author: str, since: str, path: str
) -> None:
    options = [*(["-F", "-i", f"--author={author}"] if author else []),
               *([f"--since={since}T00:00:00Z"] if since else [])]  # fmt: skip
    answer = upstream.ask(
        "log", "--format=%H|%an|%aI|%s", *options, snapshot.commit, "--", *([path] if path else [])
    )
    found = await pages(
        lambda token: git_log(snapshot, path, author=author, since=since, limit=40, continuation=token)
    )
    commits = [commit for page in found for commit in page.commits]
    assert answer.splitlines()
    assert answer.splitlines() == [f"{c.commit}|{c.author}|{c.authored_date}|{c.subject}" for c in commits]


async def test_the_log_has_thirty_commits_unless_asked_otherwise(snapshot: Snapshot) -> None:
    assert 30 == len((await git_log(snapshot)).commits)
    assert 2 == len((await git_log(snapshot, limit=2)).commits)
    for wrong in ({"limit": 101}, {"since": "yesterday"}):
        with pytest.raises(FieldInvalid):
            await git_log(snapshot, **wrong)  # pyright: ignore[reportArgumentType]


async def test_showing_a_commit_page_by_page_is_what_git_show_says(
    snapshot: Snapshot, upstream: Upstream
) -> None:
    special = upstream.ask("rev-parse", "main~1").strip()
    found = await pages(lambda token: git_show(snapshot, special[:10], continuation=token))
    answer = upstream.ask_bytes(
        "-c",
        "core.quotePath=false",
        "show",
        "--stat=120",
        "--patch",
        "--format=fuller",
        "--date=iso-strict",
        special,
    )
    lines = [line.rstrip("\r") for line in answer.decode(errors="replace").rstrip("\n").split("\n")]
    shown = [line for page in found for line in page.text.split("\n") if not line.startswith("[Cut:")]
    assert len(found) > 1
    assert [line[:1000] for line in lines] == [line[:1000] for line in shown]
    assert special == found[0].commit


async def test_showing_a_commit_can_be_narrowed_to_a_path(snapshot: Snapshot, upstream: Upstream) -> None:
    special = upstream.ask("rev-parse", "main~1").strip()
    shown = await git_show(snapshot, special, path="app.py")
    assert "+class App:" in shown.text
    assert "README" not in shown.text
    assert "does not touch src" in (await git_show(snapshot, special, path="src")).text


async def test_a_merge_is_shown_against_its_first_parent(snapshot: Snapshot) -> None:
    assert "+needle aside" in (await git_show(snapshot, snapshot.commit)).text


async def test_only_commits_in_the_pinned_history_are_shown(snapshot: Snapshot, upstream: Upstream) -> None:
    unmerged = upstream.ask("rev-parse", "unmerged").strip()
    older = replace(snapshot, commit=upstream.ask("rev-parse", "main~5").strip())
    newer = upstream.ask("rev-parse", "main~1").strip()
    folder = upstream.ask("rev-parse", "main:src").strip()
    with pytest.raises(CommitNotFound):
        await git_show(older, newer)
    for name in (unmerged, folder, "main", "HEAD~1", "--all", "0" * 40, "refs/heads/main"):
        with pytest.raises(CommitNotFound):
            await git_show(snapshot, name)


async def test_reading_a_file_page_by_page_gives_every_line_once(snapshot: Snapshot) -> None:
    read = await pages(lambda token: read_file(snapshot, "numbers.txt", continuation=token))
    lines = [line for page in read for line in page.text.splitlines() if "\t" in line]
    assert [f"{number}\tline {number}" for number in range(1, 1501)] == lines
    assert 1500 == read[0].line_count
    assert (1, LINES_MAX) == (read[0].start_line, read[0].end_line)


async def test_reading_a_range_shows_the_range_and_that_the_file_goes_on(snapshot: Snapshot) -> None:
    read = await read_file(snapshot, "numbers.txt", start_line=700, line_count=3)
    assert (700, 702) == (read.start_line, read.end_line)
    assert "" == read.continuation
    assert "700\tline 700\n701\tline 701\n702\tline 702\n[The file goes on to line 1,500.]" in read.text
    assert "nothing is at line 2,000" in (await read_file(snapshot, "numbers.txt", start_line=2000)).text


async def test_odd_files_are_read_or_described(snapshot: Snapshot) -> None:
    assert "2\tneedle here" in (await read_file(snapshot, "windows.txt")).text
    assert "\r" not in (await read_file(snapshot, "windows.txt")).text
    assert "caf\ufffd needle" in (await read_file(snapshot, "latin.txt")).text
    assert "is binary, 14 bytes" in (await read_file(snapshot, "binary.bin")).text
    assert "is empty" in (await read_file(snapshot, "empty.txt")).text
    long = await read_file(snapshot, "long.txt")
    assert "the line is cut here, 59,006 or more characters follow" in long.text
    assert "2\tshort" in long.text


async def test_names_that_are_not_plain_text_can_be_listed_and_read(snapshot: Snapshot) -> None:
    listed = await list_files(snapshot, "odd")
    texts = [(await read_file(snapshot, entry.shown)).text for entry in listed.entries]
    assert [r'"odd/caf\351.txt"', "odd/colon:1:x.txt", r'"odd/new\nline \"q\".txt"'] == [
        entry.shown for entry in listed.entries
    ]
    assert all("needle in" in text for text in texts)


ODD_PATHS = ["../x", "src/../../x", "/etc/passwd", ".git/config", "src/.GIT/x", "a\\..\\b", "a\0b"]


@pytest.mark.parametrize("path", ODD_PATHS)
async def test_every_tool_refuses_paths_that_leave_the_repository(snapshot: Snapshot, path: str) -> None:
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: list_files(snapshot, path),
        lambda: read_file(snapshot, path),
        lambda: outline_file(snapshot, path),
        lambda: git_log(snapshot, path),
        lambda: git_show(snapshot, snapshot.commit, path=path),
    ]
    for call in calls:
        with pytest.raises(PathOutsideRepository) as refused:
            await call()
        assert "PATH_OUTSIDE_REPOSITORY" == refused.value.reason
    for document in (read_spec, read_adr):
        with pytest.raises(DocumentNotFound):
            await document(snapshot, path)


@pytest.mark.parametrize("path", ["outside", "link.txt", "linked-folder", "linked-folder/specs/checkout.md"])
async def test_symlinks_are_refused_with_their_target_named(snapshot: Snapshot, path: str) -> None:
    target = LINKS[path.partition("/")[0].encode()].decode()
    for tool in (list_files, read_file, outline_file):
        with pytest.raises(PathIsSymlink, match=target):
            await tool(snapshot, path)


async def test_a_wrong_kind_or_a_missing_path_is_told_with_the_way_on(snapshot: Snapshot) -> None:
    expected: list[tuple[Callable[[], Awaitable[object]], type[ToolFailure], str]] = [
        (lambda: read_file(snapshot, "src"), PathKindMismatch, "repo_list_files"),
        (lambda: list_files(snapshot, "app.py"), PathKindMismatch, "repo_read_file"),
        (lambda: read_file(snapshot, "vendored"), PathKindMismatch, "submodule"),
        (lambda: read_file(snapshot, "source/f0001.py"), PathNotFound, "src/m01/f0001.py"),
        (lambda: read_file(snapshot, "nowhere/at-all"), PathNotFound, "repo_find_files"),
        (lambda: read_file(snapshot, ":(top)app.py"), PathNotFound, "repo_find_files"),
        (lambda: read_file(snapshot, "*.py"), PathNotFound, "repo_find_files"),
    ]
    for call, failure, hint in expected:
        with pytest.raises(failure, match=hint):
            await call()


async def test_a_token_used_with_other_arguments_is_refused(snapshot: Snapshot, upstream: Upstream) -> None:
    token = (await list_files(snapshot, recursive=True)).continuation
    older = replace(snapshot, commit=upstream.ask("rev-parse", "main~1").strip())
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: list_files(snapshot, "src", recursive=True, continuation=token),
        lambda: list_files(older, recursive=True, continuation=token),
        lambda: find_files(snapshot, "**", continuation=token),
        lambda: search_text(snapshot, "needle", continuation=token),
        lambda: list_files(snapshot, recursive=True, continuation="rubbish"),
    ]
    for call in calls:
        with pytest.raises(ContinuationInvalid, match="start over"):
            await call()


async def test_outlines_show_headings_and_definitions_with_their_lines(snapshot: Snapshot) -> None:
    readme = await outline_file(snapshot, "README.md")
    assert [(1, 0, "Shop"), (5, 1, "Run"), (9, 2, "Tests"), (10, 0, "Old style")] == [
        (entry.line, entry.depth, entry.title) for entry in readme.entries
    ]
    app = await outline_file(snapshot, "app.py")
    assert [
        (4, 0, "class App  [to line 12]"), (5, 1, "def run( self, ) -> None  [to line 9]"),
        (9, 2, "def inner(): pass"), (12, 1, "def name(self): return 1"), (15, 0, "async def main(): ..."),
    ] == [(entry.line, entry.depth, entry.title) for entry in app.entries]  # fmt: skip
    web = await outline_file(snapshot, "web/app.ts")
    assert [(1, "export class Shop"), (4, "export const pay = async (sum: number) =>")] == [
        (entry.line, entry.title) for entry in web.entries
    ]
    assert [1, 4] == [entry.line for entry in (await outline_file(snapshot, "broken.py")).entries]
    assert "no outline" in (await outline_file(snapshot, "numbers.txt")).text
    assert "is binary" in (await outline_file(snapshot, "binary.bin")).text


async def test_specs_are_listed_with_titles_and_read_by_any_of_their_names(snapshot: Snapshot) -> None:
    listed = await list_specs(snapshot)
    assert [
        ("docs/specs/checkout.md", "Checkout flow", "accepted"),
        ("docs/specs/deep/refunds.md", "Refunds", "Draft"),
    ] == [(one.path, one.title, one.status) for one in listed.documents]
    for name in ("checkout", "Checkout.md", "docs/specs/checkout.md", "heckou"):
        assert "# Checkout flow" in (await read_spec(snapshot, name)).text
    with pytest.raises(DocumentNotFound, match="2 documents may be meant"):
        await read_spec(snapshot, "docs/specs")
    with pytest.raises(DocumentNotFound, match="repo_list_specs"):
        await read_spec(snapshot, "app.py")


async def test_decision_records_come_from_the_first_folder_first(snapshot: Snapshot) -> None:
    listed = await list_adrs(snapshot)
    assert [
        ".context/decisions/0002-use-grpc.md",
        "docs/adr/0002-other-two.md",
        "docs/adr/ADR-001-postgres.md",
    ] == [one.path for one in listed.documents]
    assert "accepted" == listed.documents[0].status
    for name in ("2", "0002", "ADR-2", "0002-use-grpc", "use-grpc"):
        assert ".context/decisions/0002-use-grpc.md" == (await read_adr(snapshot, name)).path
    assert "docs/adr/ADR-001-postgres.md" == (await read_adr(snapshot, "1")).path
    with pytest.raises(DocumentNotFound, match="repo_list_adrs"):
        await read_adr(snapshot, "99")


async def test_folders_are_set_per_repository(snapshot: Snapshot) -> None:
    moved = replace(
        snapshot, spec_folders=("nowhere/", "linked-folder", "docs/adr"), adr_folders=("nowhere",)
    )
    assert 3 == len((await list_specs(moved)).documents)
    assert "looked in nowhere" in (await list_adrs(moved)).text


async def test_a_long_list_of_documents_is_paged(snapshot: Snapshot) -> None:
    everything = replace(snapshot, spec_folders=("src",))
    listed = await pages(lambda token: list_specs(everything, continuation=token))
    titles = [one.title for page in listed for one in page.documents]
    assert FILES // 2 == len(titles)
    assert {f"Item {number}" for number in range(0, FILES, 2)} == set(titles)


async def test_every_listed_path_leads_back_to_its_entry(snapshot: Snapshot) -> None:
    listed = await pages(lambda token: list_files(snapshot, recursive=True, continuation=token))
    entries = [entry for page in listed for entry in page.entries]
    assert [entry.path for entry in entries] == [parse_path(entry.shown) for entry in entries]
