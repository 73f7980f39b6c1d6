"""Paths and globs: what is refused before git sees it, and what means what."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.tools.errors import ContinuationInvalid, PathOutsideRepository, PatternInvalid
from services.tools.repo_pages import TEXT_BYTES_MAX, Page, Place
from services.tools.repo_paths import parse_glob, parse_path, show_path
from services.tools.repo_search import check_pattern

WORDS = st.text(min_size=1, max_size=12)
GIT_FOLDERS = st.sampled_from([".git", ".GIT", ".Git", ".git ", ".git.", "GIT~1"])
NAMES = st.binary(min_size=1, max_size=12).filter(
    lambda name: (
        not set(name) & set(b"/\0\\")
        and name not in (b".", b"..")
        and not name.lower().startswith((b".git", b"git~"))
    )
)


@given(
    before=st.lists(WORDS, max_size=3),
    bad=st.one_of(st.just(".."), GIT_FOLDERS),
    after=st.lists(WORDS, max_size=3),
)
def test_a_path_with_a_forbidden_name_is_refused_wherever_it_stands(
    before: list[str], bad: str, after: list[str]
) -> None:
    with pytest.raises(PathOutsideRepository):
        parse_path("/".join([*before, bad, *after]))


@given(prefix=st.sampled_from(["/", "C:/", "d:\\", "\\", "\\\\host\\"]), rest=st.text(max_size=20))
def test_an_absolute_path_is_refused(prefix: str, rest: str) -> None:
    with pytest.raises(PathOutsideRepository):
        parse_path(prefix + rest)


@given(before=st.text(max_size=8), bad=st.sampled_from(["\0", "\\"]), after=st.text(max_size=8))
def test_nul_and_backslash_are_refused(before: str, bad: str, after: str) -> None:
    path = before + bad + after
    assume(not (path.startswith('"') and path.endswith('"')))  # the quoted form has escapes
    with pytest.raises(PathOutsideRepository):
        parse_path(path)


@given(st.text(max_size=60))
def test_an_accepted_path_has_only_plain_names(text: str) -> None:
    try:
        path = parse_path(text)
    except PathOutsideRepository:
        return
    names = path.replace(b"\\", b"/").split(b"/") if path else []
    assert not path.startswith(b"/")
    assert b"\0" not in path
    assert [] == [name for name in names if name in (b"..",) or name.lower() == b".git"]


@pytest.mark.parametrize(
    "path", [r'"..\\x"', r'"\056\056/x"', r'".gi\164/config"', r'"/etc"', r'"a\000b"', "\ud800", "x" * 5000]
)
def test_quoting_or_odd_text_is_no_way_around_the_rules(path: str) -> None:
    with pytest.raises(PathOutsideRepository):
        parse_path(path)


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_every_stored_name_can_be_shown_and_asked_for_again(names: list[bytes]) -> None:
    path = b"/".join(names)
    assume(path[1:2] != b":")
    assert path == parse_path(show_path(path))
    assert show_path(path).isprintable()


def test_slashes_and_dots_that_add_nothing_are_dropped() -> None:
    assert b"src/app.py" == parse_path("./src//./app.py/")
    assert b"" == parse_path("") == parse_path(".")


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("*.py", "app.py", True),
        ("*.py", "src/app.py", False),
        ("**/*.py", "app.py", True),
        ("**/*.py", "src/deep/app.py", True),
        ("src/**", "src/deep/app.py", True),
        ("src/**", "src", False),
        ("src/**/app.py", "src/app.py", True),
        ("src/**/b/**/c", "src/a/b/x/b/y/c", True),
        ("src/*/app.py", "src/a/b/app.py", False),
        ("**/.env", ".env", True),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("[!a]x", "bx", True),
        ("[^a]x", "ax", False),
        ("{src,lib}/*.{py,pyi}", "lib/a.pyi", True),
        ("{src,lib}/*.{py,pyi}", "lib/a.js", False),
        ("**", "a/b", True),
    ],
)
def test_globs_are_over_whole_paths(glob: str, path: str, matches: bool) -> None:
    assert matches is parse_glob(glob).matches(path.encode())


def test_a_glob_made_to_be_slow_is_not() -> None:
    glob = parse_glob("**/" * 20 + "*a" * 30 + "b")
    assert not glob.matches(b"/".join([b"a" * 200] * 40))


@pytest.mark.parametrize("glob", ["", "a\\*", "{a,b}" * 6, "x" * 513])
def test_a_glob_that_cannot_be_read_is_refused(glob: str) -> None:
    with pytest.raises(PatternInvalid):
        parse_glob(glob)


def test_a_glob_that_leaves_the_repository_is_refused() -> None:
    with pytest.raises(PathOutsideRepository):
        parse_glob("src/{a,..}/x")


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        (r"\d+", "[0-9]"),
        (r"[\w.]+", "[[:alnum:]_]"),
        (r"(?:a|b)", "plain ( )"),
        (r"(?i)a", "ignore_case"),
        (r"a+?", "lazy"),
        ("a\nb", "one line"),
        ("", "1 to"),
    ],
)
def test_a_pattern_git_would_read_otherwise_is_refused_with_the_way_to_write_it(
    pattern: str, hint: str
) -> None:
    with pytest.raises(
        PatternInvalid, match=hint.replace("[", r"\[").replace("(", r"\(").replace(")", r"\)")
    ):
        check_pattern(pattern, fixed=False)


@pytest.mark.parametrize(
    "pattern", [r"def +\w+\(", r"[[:digit:]]+", r"[]x]", r"a\?", r"\*?", r"[^\\]", r"\bfoo\b", r"x{2,3}"]
)
def test_patterns_in_the_documented_language_pass(pattern: str) -> None:
    check_pattern(pattern, fixed=False)


def test_a_plain_text_pattern_may_hold_anything_but_line_breaks() -> None:
    check_pattern(r"\d(?:[\w", fixed=True)


@given(st.integers(0, 9_999_999), st.text(max_size=20))
def test_a_continuation_token_is_good_for_its_own_arguments_only(position: int, path: str) -> None:
    place = Place("c" * 40, "list_files", (path, True))
    token = place.token(position)
    assert position == place.position(token)
    others = [
        Place("d" * 40, "list_files", (path, True)),
        Place("c" * 40, "find_files", (path, True)),
        Place("c" * 40, "list_files", (path + "x", True)),
    ]
    for other in others:
        with pytest.raises(ContinuationInvalid):
            other.position(token)
    with pytest.raises(ContinuationInvalid):
        place.position(f"{position + 1}{token[token.index('-') :]}")


def test_a_page_ends_before_its_text_grows_too_large() -> None:
    page = Page(entries_max=100_000)
    while page.add("é" * 100):
        pass
    assert len(page.text("head", "foot").encode()) <= TEXT_BYTES_MAX
    assert len(page.lines) > 100
